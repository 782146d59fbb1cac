//! What the parts of one process tell each other: a job was queued, a job has ended, I still run.
//!
//! These are hints that save waiting, never the truth: the store has that, and whoever listens here
//! looks there again from time to time, since another machine's worker notifies nobody here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::watch;

/// Wakes whoever waits. Notifications between two waits count as one.
#[derive(Debug, Clone)]
pub struct Notifier(Arc<watch::Sender<()>>);

impl Notifier {
    pub fn notify(&self) {
        self.0.send_replace(());
    }

    /// Sees every notification from now on.
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
    /// Keeps the channel open, so that waiting never ends for want of anyone to notify.
    _notifier: Notifier,
}

impl Subscription {
    /// Waits for a notification, or for none if there was one since the last wait. Safe to drop half way.
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
    /// A job has completed, failed or was cancelled.
    pub ended: Notifier,
}

/// What workers may fail at apart from the jobs themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    Claiming,
    Ending,
}

/// What keeps the workers from working, each as the end of a sentence; nothing while all is well.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<BTreeMap<Work, String>>>);

impl Faults {
    /// How this went the last time: what was noted of it before counts no more.
    pub fn note(&self, work: Work, fault: Option<String>) {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match fault {
            Some(fault) => faults.insert(work, fault),
            None => faults.remove(&work),
        };
    }

    pub fn current(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().next().cloned()
    }
}

/// Held by a part of the process for as long as it runs; dropped however it ends, a panic included.
#[derive(Debug, Clone, Default)]
pub struct Running(Arc<()>);

impl Running {
    pub fn watch(&self) -> Liveness {
        Liveness(Arc::downgrade(&self.0))
    }
}

/// Tells whether the part that holds the [`Running`] still runs.
#[derive(Debug, Clone)]
pub struct Liveness(Weak<()>);

impl Liveness {
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
