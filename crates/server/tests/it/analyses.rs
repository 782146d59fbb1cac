//! What is found out about windows besides their words is stored with them and put together in the result.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;
use verbatim::store::StoredWindow;
use verbatim::work::{Analysis, Pipeline};
use verbatim_speech::Window;

use crate::speech::{TestEngine, novel};
use crate::workers::Service;

/// Has segments cut in the middle of every window.
#[derive(Debug, Default)]
struct Middles {
    analyzed: Arc<AtomicUsize>,
}

impl Analysis for Middles {
    fn kind(&self) -> &'static str {
        "middles"
    }

    fn fingerprint(&self) -> &str {
        "1"
    }

    fn analyze(&self, window: &Window) -> Value {
        self.analyzed.fetch_add(1, Ordering::Relaxed);
        json!({ "second": (window.start() + window.end()) / 2.0 })
    }

    fn cuts(&self, windows: &[StoredWindow]) -> Vec<f64> {
        windows.iter().map(|window| window.analyses["middles"]["second"].as_f64().unwrap()).collect()
    }
}

#[tokio::test]
async fn findings_survive_an_interruption_and_cut_the_segments() {
    let dir = TempDir::new().unwrap();
    let file = novel(dir.path(), 140);
    let engine = TestEngine::tiny_en();
    let analyzed = Arc::<AtomicUsize>::default();
    let middles = |pipeline: &mut Pipeline| {
        pipeline.analyses = vec![Arc::new(Middles { analyzed: analyzed.clone() })];
    };
    let first = Service::with(dir.path(), &engine, middles).await;
    let id = first.submit(&file, None).await;
    first.until_windows(id, 2).await;
    first.shut_down().await;

    let second = Service::with(dir.path(), &engine, middles).await;
    let stored = second.store.windows(id).await.unwrap();
    assert!(
        stored.iter().all(|window| window.analyses["middles"]["second"].as_f64().is_some()),
        "{stored:?}"
    );
    let cut = second.result(id).await;
    second.shut_down().await;

    let dir = TempDir::new().unwrap();
    let without = Service::start(dir.path(), &engine).await;
    let id = without.submit(&file, None).await;
    let whole = without.result(id).await;
    without.shut_down().await;
    let segments = |result: &Value| result["whisper_segments"].as_array().unwrap().len();
    assert!(segments(&cut) > segments(&whole), "{} and {}", segments(&cut), segments(&whole));
    assert_eq!(cut["transcript"], whole["transcript"]);
    for segment in cut["whisper_segments"].as_array().unwrap() {
        let words: String =
            segment["words"].as_array().unwrap().iter().map(|word| word["word"].as_str().unwrap()).collect();
        assert_eq!(segment["text"], words);
    }
}
