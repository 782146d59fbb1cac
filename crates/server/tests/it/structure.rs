//! What a job says of its transcript besides the words, and that this never stands in the transcript's way.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use verbatim::store::MAX_STRIKES;
use verbatim::store::ProcessId;
use verbatim_speech::Language;

use crate::speech::{TestEngine, novel};
use crate::support::clips;
use crate::workers::Service;

fn list<'v>(result: &'v Value, field: &str) -> &'v [Value] {
    result[field].as_array().unwrap_or_else(|| panic!("no {field} in {result}"))
}

/// The second at which a word of that text is said first.
fn second_of(result: &Value, text: &str) -> f64 {
    let mut words = list(result, "whisper_segments").iter().flat_map(|segment| list(segment, "words"));
    let word = words.find(|word| word["word"].as_str().unwrap().contains(text)).expect("the word is said");
    word["start"].as_f64().unwrap()
}

#[tokio::test]
async fn an_english_job_tells_who_and_what_is_spoken_of_and_when() {
    let dir = TempDir::new().unwrap();
    let service = Service::start(dir.path(), &TestEngine::tiny_en()).await;
    let id = service.submit(&novel(dir.path(), 24), None).await;
    let result = service.result(id).await;
    let used = json!({"whisper": "tiny.en", "spacy": "en_core_web_sm", "topics": "all-MiniLM-L6-v2"});
    assert_eq!((&result["models_used"], &result["structure_error"]), (&used, &Value::Null));
    let transcript: Vec<char> = result["transcript"].as_str().unwrap().chars().collect();
    let entities = list(&result, "entities");
    for entity in entities {
        let place = |field: &str| entity[field].as_u64().unwrap() as usize;
        let text: String = transcript[place("start")..place("end")].iter().collect();
        assert_eq!(entity["text"], text);
    }
    let dashwood = entities.iter().find(|entity| entity["text"].as_str().unwrap().contains("John Dashwood"));
    let dashwood = dashwood.unwrap_or_else(|| panic!("{entities:?}"));
    assert_eq!(dashwood["label"], "PERSON");
    assert!((dashwood["seconds"].as_f64().unwrap() - second_of(&result, "John")).abs() < 1.0, "{dashwood}");
    let keywords = list(&result, "keywords");
    let man = keywords.iter().find(|keyword| keyword["phrase"].as_str().unwrap().ends_with("young man"));
    let man = man.unwrap_or_else(|| panic!("{keywords:?}"));
    for keyword in keywords {
        let seconds = list(keyword, "seconds");
        assert_eq!(keyword["count"], seconds.len());
        assert!(seconds.is_sorted_by_key(|second| second.as_f64().unwrap()), "{keyword}");
    }
    assert!(list(man, "seconds")[0].as_f64().unwrap() <= second_of(&result, "young"), "{man}");
    service.shut_down().await;
}

#[tokio::test]
async fn a_german_job_has_timed_sentences_and_topics_by_words_alone() {
    let dir = TempDir::new().unwrap();
    let service = Service::start(dir.path(), &TestEngine::base()).await;
    let id = service.submit(&clips::german(dir.path()), None).await;
    let result = service.result(id).await;
    let used = json!({"whisper": "base", "spacy": null, "topics": "lexical"});
    assert_eq!((&result["models_used"], &result["structure_error"]), (&used, &Value::Null));
    let sentences = list(&result, "sentences");
    assert!(sentences.len() >= 3, "{sentences:?}");
    let second = |sentence: &Value, field: &str| sentence[field].as_f64().unwrap();
    assert!(sentences.iter().all(|sentence| second(sentence, "start") < second(sentence, "end")));
    assert!(sentences.is_sorted_by(|a, b| second(a, "end") <= second(b, "start")), "{sentences:?}");
    let topic = &list(&result, "topics")[0];
    assert_eq!(list(topic, "sentences").len(), sentences.len());
    assert!(!topic["summary"].as_str().unwrap().is_empty(), "{topic}");
    assert_eq!((&result["entities"], &result["keywords"]), (&json!([]), &json!([])));
    service.shut_down().await;
}

#[tokio::test]
async fn topics_that_are_turned_off_are_missing_and_no_error() {
    let dir = TempDir::new().unwrap();
    let engine = TestEngine::tiny_en();
    let service = Service::with(dir.path(), &engine, |pipeline| pipeline.structurer.topics = None).await;
    let id = service.submit(&clips::novel(), None).await;
    let result = service.result(id).await;
    assert!(result["transcript"].as_str().unwrap().contains("young man"), "{result}");
    assert_eq!((&result["topics"], &result["models_used"]["topics"]), (&json!([]), &Value::Null));
    assert_eq!(result["structure_error"], Value::Null);
    assert_eq!(list(&result, "sentences").len(), 1);
    service.shut_down().await;
}

/// As if the process had died in structuring a transcript each time: out of memory, say.
#[tokio::test]
async fn a_transcript_whose_structure_ends_the_service_completes_without_it() {
    let dir = TempDir::new().unwrap();
    let service = Service::start(dir.path(), &TestEngine::tiny_en()).await;
    let Service { store, pipeline, .. } = &service;
    service.stop.soft.cancel();
    let id = service.submit(&clips::novel(), Language::parse("en")).await;
    let mut errors = Vec::new();
    // The first start stores the window, which absolves it.
    for start in 0..=MAX_STRIKES {
        let (process, lease) = (ProcessId::new(), Duration::from_secs(60));
        let claim = store.claim(process, Timestamp::now(), lease).await.unwrap().unwrap();
        assert_eq!((claim.job.id, claim.strikes), (id, start.saturating_sub(1)));
        let finished = pipeline.run(&claim, &CancellationToken::new()).await.unwrap();
        let job = service.job(id).await;
        assert_eq!((job.progress_percentage, job.current_step.as_str()), (99, "Structuring transcript"));
        let result: Value = serde_json::from_str(&finished.result).unwrap();
        assert!(result["transcript"].as_str().unwrap().contains("young man"), "{result}");
        assert_eq!(result["topics"] == json!([]), start == MAX_STRIKES, "{result}");
        errors.push(result["structure_error"].clone());
        store.process_ended(process, Timestamp::now()).await.unwrap();
    }
    let left_out = "The transcript was not structured: the service ended each time that it tried.";
    assert_eq!(errors, [Value::Null, Value::Null, Value::Null, left_out.into()]);
    service.shut_down().await;
}
