//! Recognizers by the name of their model: loaded when a job first asks for one, kept while they are used, and unloaded
//! when another model needs the room or nobody has asked for a while.
//!
//! At most [`PoolLimits::max_loaded`] models are in memory, also while jobs of several models wait. A job whose model is
//! not loaded waits until a slot is free: until a slot's model has no user, the least recently used one first. Jobs of a
//! loaded model do not wait behind it, but only for [`MAX_BYPASS`], so that each model has its turn.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use verbatim_speech::Language;

use super::{Recognizer, RecognizerModel};

/// How long jobs of loaded models may go before one whose model is not loaded.
const MAX_BYPASS: Duration = Duration::from_secs(60);

/// How long an unloaded model may take to end what it computes, before another one is loaded beside it.
const MAX_UNLOADING: Duration = Duration::from_secs(10);

/// Why a job gets no recognizer. The text is a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    #[error("There is no model “{name}” here; there are: {}.", known.join(", "))]
    Unknown { name: String, known: Vec<String> },
    /// The model is there, but cannot be loaded.
    #[error("The model “{name}” cannot be loaded: {reason}.")]
    Load { name: String, reason: String },
    #[error("No model is loaded any more, because the service is shutting down.")]
    Stopping,
}

/// Where recognizers come from: the model files of this machine, or in tests something else.
pub trait RecognizerSource: fmt::Debug + Send + Sync + 'static {
    /// The name of the model for jobs that name none.
    fn default_name(&self) -> &str;

    /// The names of all models that can be loaded now, in order.
    fn names(&self) -> Vec<String>;

    /// The languages of a model, without loading it. Blocks. The error is the end of a sentence.
    fn languages(&self, name: &str) -> Result<Arc<[Language]>, String>;

    /// Loads a model. Blocks. The error is the end of a sentence.
    fn load(&self, name: &str) -> Result<Arc<dyn Recognizer>, String>;
}

/// How much is kept in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolLimits {
    /// Models in memory at the same time.
    pub max_loaded: usize,
    /// How long a model stays without a user; `None` until another one needs its room.
    pub idle_timeout: Option<Duration>,
}

/// The recognizers of a process. Clones share them.
#[derive(Debug, Clone)]
pub struct RecognizerPool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: Box<dyn RecognizerSource>,
    limits: PoolLimits,
    state: Mutex<State>,
    /// Notified when a recognizer has lost a user, and at a stop.
    released: Notify,
    /// Held by the one job that waits for a slot, and by the load that follows. The others queue behind it, first come,
    /// first served.
    turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
struct State {
    loaded: Vec<Loaded>,
    languages: HashMap<String, Arc<[Language]>>,
    /// Since when a job waits for a slot, and loads.
    waiting_since: Option<Instant>,
    stopped: bool,
}

#[derive(Debug)]
struct Loaded {
    name: String,
    recognizer: Arc<dyn Recognizer>,
    users: usize,
    last_used: Instant,
}

impl RecognizerPool {
    /// A pool without a model in memory.
    pub fn new(source: impl RecognizerSource, limits: PoolLimits) -> Self {
        let inner = Inner {
            source: Box::new(source),
            limits,
            state: Mutex::default(),
            released: Notify::new(),
            turn: Arc::default(),
        };
        Self(Arc::new(inner))
    }

    /// A pool whose default model is in memory: `recognizer`.
    pub fn with_default(
        source: impl RecognizerSource,
        limits: PoolLimits,
        recognizer: Arc<dyn Recognizer>,
    ) -> Self {
        let pool = Self::new(source, limits);
        let name = pool.default_name().to_owned();
        pool.state().loaded.push(Loaded { name, recognizer, users: 0, last_used: Instant::now() });
        pool
    }

    /// A pool of one recognizer, which is the only model that it knows.
    pub fn of(recognizer: Arc<dyn Recognizer>) -> Self {
        let limits = PoolLimits { max_loaded: 1, idle_timeout: None };
        Self::with_default(OnlyOne(recognizer.clone()), limits, recognizer)
    }

    /// The name of the model for jobs that name none.
    pub fn default_name(&self) -> &str {
        self.0.source.default_name()
    }

    /// The names of all models that can be asked for.
    pub fn names(&self) -> Vec<String> {
        self.0.source.names()
    }

    /// The names of the models in memory.
    pub fn loaded(&self) -> Vec<String> {
        self.state().loaded.iter().map(|loaded| loaded.name.clone()).collect()
    }

    /// Whether a job may ask for this model.
    pub fn knows(&self, name: &str) -> bool {
        name == self.default_name() || self.names().iter().any(|known| known == name)
    }

    /// The languages of a model, without loading it.
    pub async fn languages(&self, name: &str) -> Result<Arc<[Language]>, PoolError> {
        if let Some(languages) = self.state().languages.get(name) {
            return Ok(languages.clone());
        }
        if let Some(loaded) = self.state().loaded.iter().find(|loaded| loaded.name == name) {
            return Ok(loaded.recognizer.model().languages.clone());
        }
        self.require(name)?;
        let (pool, owned) = (self.clone(), name.to_owned());
        let languages = spawn_blocking(move || pool.0.source.languages(&owned)).await;
        let languages = flatten(name, languages)?;
        self.state().languages.insert(name.to_owned(), languages.clone());
        Ok(languages)
    }

    /// The recognizer of a model, loaded if it is not in memory; waits for a slot if there is none.
    pub async fn acquire(&self, name: &str) -> Result<RecognizerLease, PoolError> {
        if let Some(lease) = self.take_loaded(name, false)? {
            return Ok(lease);
        }
        self.require(name)?;
        let turn = self.0.turn.clone().lock_owned().await;
        let waiting = Waiting::begin(self);
        loop {
            let released = self.0.released.notified();
            if let Some(lease) = self.take_loaded(name, true)? {
                return Ok(lease);
            }
            if self.has_room() {
                break;
            }
            released.await;
        }
        // In a task of its own, with the turn: if this job is cancelled meanwhile, the next one does not load beside it.
        let (pool, owned) = (self.clone(), name.to_owned());
        let loading = tokio::spawn(async move {
            let _turn = (turn, waiting);
            pool.load(&owned).await
        });
        loading
            .await
            .unwrap_or_else(|error| Err(PoolError::Load { name: name.to_owned(), reason: error.to_string() }))
    }

    /// The recognizer of a model in memory that will do, of the default one if it will. `None` if there is none.
    pub fn take_any(&self, will_do: impl Fn(&RecognizerModel) -> bool) -> Option<RecognizerLease> {
        let mut state = self.state();
        if state.stopped {
            return None;
        }
        let mut suitable: Vec<_> =
            state.loaded.iter_mut().filter(|loaded| will_do(loaded.recognizer.model())).collect();
        suitable.sort_by_key(|loaded| loaded.name != self.default_name());
        let loaded = suitable.into_iter().next()?;
        loaded.users += 1;
        Some(self.lease(loaded))
    }

    /// Unloads models that have had no user for the idle timeout.
    pub fn unload_idle(&self, now: Instant) {
        let Some(timeout) = self.0.limits.idle_timeout else { return };
        let is_idle =
            |loaded: &Loaded| loaded.users == 0 && now.saturating_duration_since(loaded.last_used) >= timeout;
        let idle: Vec<Loaded> = self.state().loaded.extract_if(.., |loaded| is_idle(loaded)).collect();
        for Loaded { name, .. } in idle {
            tracing::info!(model = name, "model unloaded: it was not used for a while");
        }
    }

    /// Unloads idle models now and then, for as long as it is polled.
    pub async fn watch_idle(self) {
        let Some(timeout) = self.0.limits.idle_timeout else { return };
        loop {
            tokio::time::sleep((timeout / 4).clamp(Duration::from_millis(100), Duration::from_secs(30)))
                .await;
            self.unload_idle(Instant::now());
        }
    }

    /// Stops all recognizers, see [`Recognizer::stop`]; no more are loaded.
    pub fn stop(&self) {
        let mut state = self.state();
        state.stopped = true;
        for loaded in &state.loaded {
            loaded.recognizer.stop();
        }
        drop(state);
        self.0.released.notify_waiters();
    }

    /// Whether all recognizers in memory still run.
    pub fn is_alive(&self) -> bool {
        self.state().loaded.iter().all(|loaded| loaded.recognizer.liveness().is_alive())
    }

    fn require(&self, name: &str) -> Result<(), PoolError> {
        if self.knows(name) {
            return Ok(());
        }
        Err(PoolError::Unknown { name: name.to_owned(), known: self.names() })
    }

    /// A lease on a recognizer that is in memory. `None` if there is none of this model, or if others have waited too
    /// long for a slot and it is not this job's `turn`.
    fn take_loaded(&self, name: &str, turn: bool) -> Result<Option<RecognizerLease>, PoolError> {
        let mut state = self.state();
        if state.stopped {
            return Err(PoolError::Stopping);
        }
        let overdue = state.waiting_since.is_some_and(|since| since.elapsed() >= MAX_BYPASS);
        if overdue && !turn {
            return Ok(None);
        }
        let loaded = state.loaded.iter_mut().find(|loaded| loaded.name == name);
        Ok(loaded.map(|loaded| {
            loaded.users += 1;
            self.lease(loaded)
        }))
    }

    fn lease(&self, loaded: &Loaded) -> RecognizerLease {
        RecognizerLease {
            pool: self.clone(),
            recognizer: loaded.recognizer.clone(),
            name: loaded.name.clone(),
        }
    }

    /// Whether another model can be loaded, perhaps in the place of one that has no user.
    fn has_room(&self) -> bool {
        let state = self.state();
        state.loaded.len() < self.0.limits.max_loaded || state.loaded.iter().any(|loaded| loaded.users == 0)
    }

    /// Unloads the least recently used model that has no user, if another one needs its room, and waits until its threads
    /// have let go of it. False if all are in use.
    async fn make_room(&self) -> bool {
        let Some(Loaded { name, recognizer, .. }) = ({
            let mut state = self.state();
            if state.loaded.len() < self.0.limits.max_loaded {
                return true;
            }
            let unused = state.loaded.iter().enumerate().filter(|(_, loaded)| loaded.users == 0);
            let oldest = unused.min_by_key(|(_, loaded)| loaded.last_used).map(|(oldest, _)| oldest);
            oldest.map(|oldest| state.loaded.swap_remove(oldest))
        }) else {
            return false;
        };
        let running = recognizer.liveness();
        drop(recognizer);
        let begun = Instant::now();
        // What a cancelled job had in the engine ends with its step.
        while running.is_alive() && begun.elapsed() < MAX_UNLOADING {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tracing::info!(model = name, "model unloaded: another one needs its room");
        true
    }

    /// Loads a model into a free slot. To be called in this job's turn.
    async fn load(&self, name: &str) -> Result<RecognizerLease, PoolError> {
        // Jobs of loaded models do not wait for the turn, so one of them may have been faster.
        loop {
            let released = self.0.released.notified();
            if self.state().stopped {
                return Err(PoolError::Stopping);
            }
            if self.make_room().await {
                break;
            }
            released.await;
        }
        let (pool, owned) = (self.clone(), name.to_owned());
        let recognizer = flatten(name, spawn_blocking(move || pool.0.source.load(&owned)).await)?;
        let mut state = self.state();
        if state.stopped {
            recognizer.stop();
            return Err(PoolError::Stopping);
        }
        let loaded = Loaded { name: name.to_owned(), recognizer, users: 1, last_used: Instant::now() };
        let lease = self.lease(&loaded);
        state.loaded.push(loaded);
        Ok(lease)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to use a recognizer, which stays in memory until this is dropped.
#[derive(Debug)]
pub struct RecognizerLease {
    pool: RecognizerPool,
    recognizer: Arc<dyn Recognizer>,
    name: String,
}

impl RecognizerLease {
    pub fn recognizer(&self) -> &Arc<dyn Recognizer> {
        &self.recognizer
    }
}

impl Drop for RecognizerLease {
    fn drop(&mut self) {
        if let Some(loaded) = self.pool.state().loaded.iter_mut().find(|loaded| loaded.name == self.name) {
            loaded.users -= 1;
            loaded.last_used = Instant::now();
        }
        // One job at most waits; a permit is kept for one that is about to.
        self.pool.0.released.notify_one();
    }
}

/// Tells the pool that a job waits for a slot or loads, until it is dropped.
struct Waiting(RecognizerPool);

impl Waiting {
    fn begin(pool: &RecognizerPool) -> Self {
        pool.state().waiting_since = Some(Instant::now());
        Self(pool.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.state().waiting_since = None;
    }
}

/// The source of a single recognizer.
#[derive(Debug)]
struct OnlyOne(Arc<dyn Recognizer>);

impl RecognizerSource for OnlyOne {
    fn default_name(&self) -> &str {
        &self.0.model().name
    }

    fn names(&self) -> Vec<String> {
        vec![self.0.model().name.clone()]
    }

    fn languages(&self, _: &str) -> Result<Arc<[Language]>, String> {
        Ok(self.0.model().languages.clone())
    }

    fn load(&self, _: &str) -> Result<Arc<dyn Recognizer>, String> {
        Ok(self.0.clone())
    }
}

fn flatten<T>(name: &str, result: Result<Result<T, String>, tokio::task::JoinError>) -> Result<T, PoolError> {
    let result = result.unwrap_or_else(|error| Err(error.to_string()));
    result.map_err(|reason| PoolError::Load { name: name.to_owned(), reason })
}

#[cfg(test)]
mod tests;
