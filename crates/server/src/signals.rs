//! Signals between the parts of one process: a job was queued, a job has ended, a part still runs.
//!
//! Notifications only shorten waiting. The store holds the actual state, and every subscriber also polls the store,
//! because workers of other processes send no notifications here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::watch;

/// Wakes all subscribers. Several notifications between two waits of a subscriber count as one.
#[derive(Debug, Clone)]
pub struct Notifier(Arc<watch::Sender<()>>);

impl Notifier {
    /// Wakes all subscribers.
    pub fn notify(&self) {
        self.0.send_replace(());
    }

    /// Receives notifications from now on.
    pub fn subscribe(&self) -> Subscription {
        Subscription { notifications: self.0.subscribe(), _notifier: self.clone() }
    }
}

impl Default for Notifier {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(())))
    }
}

/// See [`Notifier::subscribe`].
#[derive(Debug)]
pub struct Subscription {
    notifications: watch::Receiver<()>,
    /// Keeps the channel open: on a closed channel, waiting would end at once.
    _notifier: Notifier,
}

impl Subscription {
    /// Waits for a notification. Returns at once if there was one since the last wait. Cancel-safe.
    pub async fn wait(&mut self) {
        if self.notifications.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The notifiers of one process.
#[derive(Debug, Clone, Default)]
pub struct Notifiers {
    /// The API has put a job into the store.
    pub queued: Notifier,
    /// A job has completed, failed, or was cancelled or removed.
    pub ended: Notifier,
    /// A job has new events.
    pub changed: Notifier,
}

/// The operations of workers that may fail for reasons other than the job itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// Claiming the next job.
    Claiming,
    /// Storing how a job has ended.
    Ending,
}

/// What keeps the workers from working: for each operation that fails, the reason as the end of a sentence. Empty if
/// all work.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<BTreeMap<Work, String>>>);

impl Faults {
    /// Records the last outcome of an operation: its fault, or `None` if it succeeded. Replaces the previous one.
    pub fn note(&self, work: Work, fault: Option<String>) {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match fault {
            Some(fault) => faults.insert(work, fault),
            None => faults.remove(&work),
        };
    }

    /// One of the current faults, if there is any.
    pub fn current(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().next().cloned()
    }
}

/// Held by a part of the process while it runs. It is dropped when the part ends, also by a panic.
#[derive(Debug, Clone, Default)]
pub struct Running(Arc<()>);

impl Running {
    /// A handle that tells whether this value, or a clone of it, still exists.
    pub fn watch(&self) -> Liveness {
        Liveness(Arc::downgrade(&self.0))
    }
}

/// Tells whether the part that holds the [`Running`] still runs: see [`Running::watch`].
#[derive(Debug, Clone)]
pub struct Liveness(Weak<()>);

impl Liveness {
    /// Whether the part still runs.
    pub fn is_alive(&self) -> bool {
        self.0.strong_count() > 0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_notification_before_the_wait_counts_and_only_once() {
        let notifier = Notifier::default();
        let mut subscription = notifier.subscribe();
        notifier.notify();
        notifier.notify();
        subscription.wait().await;
        assert!(tokio::time::timeout(Duration::ZERO, subscription.wait()).await.is_err());
        notifier.notify();
        subscription.wait().await;
    }

    #[test]
    fn a_part_that_panicked_is_no_longer_alive() {
        let running = Running::default();
        let alive = running.watch();
        assert!(alive.is_alive());
        let part = std::thread::spawn(move || {
            let _running = running;
            panic!("as a part might");
        });
        part.join().unwrap_err();
        assert!(!alive.is_alive());
    }
}
