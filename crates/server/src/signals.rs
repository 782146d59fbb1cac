//! What the parts of one process tell each other: a job was queued, a job has ended, I still run.
//!
//! These are hints that save waiting, never the truth: the store has that, and whoever listens here
//! looks there again from time to time, since another machine's worker rings no bell of ours.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::watch;

/// Rings for whoever listens. Rings between two waits are heard as one.
#[derive(Debug, Clone)]
pub struct Bell(Arc<watch::Sender<()>>);

impl Bell {
    pub fn ring(&self) {
        self.0.send_replace(());
    }

    /// Hears every ring from now on.
    pub fn listen(&self) -> Listener {
        Listener { rings: self.0.subscribe(), _bell: self.clone() }
    }
}

impl Default for Bell {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(())))
    }
}

/// See [`Bell::listen`].
#[derive(Debug)]
pub struct Listener {
    rings: watch::Receiver<()>,
    /// Keeps the channel open, so that waiting never ends for want of anyone to ring.
    _bell: Bell,
}

impl Listener {
    /// Waits until the bell rings, or has rung since the last wait. Safe to drop half way.
    pub async fn wait(&mut self) {
        if self.rings.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The bells of one process.
#[derive(Debug, Clone, Default)]
pub struct Bells {
    /// The API has put a job into the store.
    pub queued: Bell,
    /// A job has completed, failed or was cancelled.
    pub ended: Bell,
}

/// What workers may fail at apart from the jobs themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    Claiming,
    Ending,
}

/// What keeps the workers from working, each as the end of a sentence; nothing while all is well.
#[derive(Debug, Clone, Default)]
pub struct Trouble(Arc<Mutex<BTreeMap<Work, String>>>);

impl Trouble {
    /// How this went the last time: what was noted of it before counts no more.
    pub fn note(&self, work: Work, trouble: Option<String>) {
        let mut troubles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match trouble {
            Some(trouble) => troubles.insert(work, trouble),
            None => troubles.remove(&work),
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
    pub fn watch(&self) -> Alive {
        Alive(Arc::downgrade(&self.0))
    }
}

/// Tells whether the part that holds the [`Running`] still runs.
#[derive(Debug, Clone)]
pub struct Alive(Weak<()>);

impl Alive {
    pub fn is_alive(&self) -> bool {
        self.0.strong_count() > 0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_ring_before_the_wait_is_heard_and_only_once() {
        let bell = Bell::default();
        let mut listener = bell.listen();
        bell.ring();
        bell.ring();
        listener.wait().await;
        assert!(tokio::time::timeout(Duration::ZERO, listener.wait()).await.is_err());
        bell.ring();
        listener.wait().await;
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
