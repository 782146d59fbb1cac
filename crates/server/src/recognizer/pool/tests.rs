use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tokio::time::timeout;
use verbatim_speech::{DecodeOptions, LanguageProbabilities, WindowTranscript};

use super::*;
use crate::jobs::JobId;
use crate::recognizer::{RecognizerError, RecognizerInput, RecognizerModel};
use crate::signals::{Liveness, Running};

/// Recognizers that are never asked for a transcript. Counts those that are in memory.
#[derive(Debug, Clone, Default)]
struct Source {
    in_memory: Arc<AtomicUsize>,
    most_in_memory: Arc<AtomicUsize>,
    loads: Arc<Mutex<Vec<String>>>,
    /// Loading waits while a test holds it.
    gate: Arc<Mutex<()>>,
}

#[derive(Debug)]
struct Counted {
    model: RecognizerModel,
    running: Running,
    in_memory: Arc<AtomicUsize>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.in_memory.fetch_sub(1, Ordering::SeqCst);
    }
}

impl RecognizerSource for Source {
    fn default_name(&self) -> &str {
        "a"
    }

    fn names(&self) -> Vec<String> {
        ["a", "b", "broken", "c"].map(String::from).into()
    }

    fn languages(&self, name: &str) -> Result<Arc<[Language]>, String> {
        if name == "broken" { Err("its file is cut off".into()) } else { Ok([Language::ENGLISH].into()) }
    }

    fn load(&self, name: &str) -> Result<Arc<dyn Recognizer>, String> {
        let languages = self.languages(name)?;
        let now = self.in_memory.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_in_memory.fetch_max(now, Ordering::SeqCst);
        self.loads.lock().unwrap().push(name.to_owned());
        drop(self.gate.lock().unwrap());
        let model = RecognizerModel { name: name.to_owned(), fingerprint: String::new(), languages };
        Ok(Arc::new(Counted { model, running: Running::default(), in_memory: self.in_memory.clone() }))
    }
}

#[async_trait]
impl Recognizer for Counted {
    fn model(&self) -> &RecognizerModel {
        &self.model
    }

    fn capacity(&self) -> usize {
        1
    }

    async fn detect(
        &self,
        _: JobId,
        _: Arc<RecognizerInput>,
    ) -> Result<LanguageProbabilities, RecognizerError> {
        Err(RecognizerError::Gone)
    }

    async fn transcribe(
        &self,
        _: JobId,
        _: Arc<RecognizerInput>,
        _: Arc<DecodeOptions>,
    ) -> Result<WindowTranscript, RecognizerError> {
        Err(RecognizerError::Gone)
    }

    fn stop(&self) {}

    fn liveness(&self) -> Liveness {
        self.running.watch()
    }
}

fn pool(max_loaded: usize, idle_timeout: Option<Duration>) -> (RecognizerPool, Source) {
    let source = Source::default();
    (RecognizerPool::new(source.clone(), PoolLimits { max_loaded, idle_timeout }), source)
}

const SOON: Duration = Duration::from_millis(50);

#[tokio::test]
async fn a_model_is_loaded_once_and_shared() {
    let (pool, source) = pool(1, None);
    assert_eq!(pool.loaded(), Vec::<String>::new());
    let first = pool.acquire("a").await.unwrap();
    let second = pool.acquire("a").await.unwrap();
    assert_eq!((first.recognizer().model().name.as_str(), pool.loaded()), ("a", vec!["a".to_owned()]));
    drop((first, second));
    pool.acquire("a").await.unwrap();
    assert_eq!(*source.loads.lock().unwrap(), ["a"]);
}

#[tokio::test]
async fn the_least_recently_used_model_without_a_user_makes_room() {
    let (pool, source) = pool(2, None);
    let a = pool.acquire("a").await.unwrap();
    drop(pool.acquire("b").await.unwrap());
    drop(a);
    // b was released before a.
    let c = pool.acquire("c").await.unwrap();
    assert_eq!(pool.loaded(), ["a", "c"]);
    let a = pool.acquire("a").await.unwrap();
    assert!(timeout(SOON, pool.acquire("b")).await.is_err(), "both are used");
    drop(c);
    let b = pool.acquire("b").await.unwrap();
    drop((a, b));
    assert_eq!(*source.loads.lock().unwrap(), ["a", "b", "c", "b"]);
    assert_eq!(source.most_in_memory.load(Ordering::SeqCst), 2, "never more than there are slots");
}

#[tokio::test]
async fn whoever_waits_for_a_slot_gets_it_and_jobs_of_the_loaded_model_go_on_meanwhile() {
    let (pool, _) = pool(1, None);
    let first = pool.acquire("a").await.unwrap();
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire("b").await.unwrap().recognizer().model().name.clone() }
    });
    while pool.state().waiting_since.is_none() {
        tokio::task::yield_now().await;
    }
    let second = timeout(SOON, pool.acquire("a")).await.expect("does not wait").unwrap();
    pool.state().waiting_since = Instant::now().checked_sub(MAX_BYPASS);
    assert!(timeout(SOON, pool.acquire("a")).await.is_err(), "the other has waited long enough");
    drop((first, second));
    assert_eq!(waiting.await.unwrap(), "b");
    assert_eq!(pool.acquire("a").await.unwrap().recognizer().model().name, "a");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_cancelled_while_its_model_loads_makes_no_room_for_another_beside_it() {
    let (pool, source) = pool(1, None);
    let gate = source.gate.clone();
    let acquiring = |name: &'static str| {
        let pool = pool.clone();
        tokio::spawn(async move { pool.acquire(name).await.map(drop) })
    };
    let closed = gate.lock().unwrap();
    let cancelled = acquiring("a");
    while source.loads.lock().unwrap().is_empty() {
        std::thread::yield_now();
    }
    cancelled.abort();
    let next = acquiring("b");
    std::thread::sleep(SOON);
    assert_eq!(*source.loads.lock().unwrap(), ["a"]);
    drop(closed);
    next.await.unwrap().unwrap();
    assert_eq!(*source.loads.lock().unwrap(), ["a", "b"]);
    assert_eq!(source.most_in_memory.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_idle_model_is_unloaded_and_a_used_one_is_not() {
    let minute = Duration::from_secs(60);
    let (pool, source) = pool(2, Some(minute));
    let used = pool.acquire("a").await.unwrap();
    drop(pool.acquire("b").await.unwrap());
    pool.unload_idle(Instant::now());
    assert_eq!(pool.loaded(), ["a", "b"]);
    pool.unload_idle(Instant::now() + minute);
    assert_eq!((pool.loaded(), source.in_memory.load(Ordering::SeqCst)), (vec!["a".to_owned()], 1));
    drop(used);
    pool.unload_idle(Instant::now() + minute);
    assert_eq!(source.in_memory.load(Ordering::SeqCst), 0);
    assert!(pool.is_alive(), "an empty pool is not a dead one");
}

#[tokio::test]
async fn unknown_and_broken_models_are_refused_by_name_and_take_no_slot() {
    let (pool, _) = pool(1, None);
    let error = pool.acquire("huge").await.unwrap_err();
    assert_eq!(error.to_string(), "There is no model “huge” here; there are: a, b, broken, c.");
    assert_eq!(pool.languages("huge").await.unwrap_err(), error);
    let error = pool.acquire("broken").await.unwrap_err();
    assert_eq!(error.to_string(), "The model “broken” cannot be loaded: its file is cut off.");
    assert_eq!(pool.languages("broken").await.unwrap_err(), error);
    assert_eq!(*pool.languages("b").await.unwrap(), [Language::ENGLISH]);
    assert_eq!(pool.loaded(), Vec::<String>::new());
    drop(pool.acquire("a").await.unwrap());
}

#[tokio::test]
async fn a_model_in_memory_will_do_for_who_is_not_particular() {
    let (pool, source) = pool(2, None);
    let named = |name: &'static str| move |model: &RecognizerModel| model.name == name;
    assert!(pool.take_any(|_| true).is_none(), "nothing is loaded for it");
    let (_b, _a) = (pool.acquire("b").await.unwrap(), pool.acquire("a").await.unwrap());
    let any = pool.take_any(|_| true).unwrap();
    assert_eq!(any.recognizer().model().name, "a", "the default one");
    assert_eq!(pool.take_any(named("b")).unwrap().recognizer().model().name, "b");
    assert!(pool.take_any(named("c")).is_none());
    assert_eq!(*source.loads.lock().unwrap(), ["b", "a"]);
}

#[tokio::test]
async fn a_stop_ends_all_waits() {
    let (pool, _) = pool(1, None);
    let _used = pool.acquire("a").await.unwrap();
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire("b").await.map(drop) }
    });
    while pool.state().waiting_since.is_none() {
        tokio::task::yield_now().await;
    }
    pool.stop();
    assert_eq!(waiting.await.unwrap(), Err(PoolError::Stopping));
    assert_eq!(pool.acquire("a").await.map(drop), Err(PoolError::Stopping));
}
