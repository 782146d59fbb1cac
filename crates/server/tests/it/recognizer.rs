//! Recognizers that are not our engine: a test double, and one in another process.

use std::process::Stdio;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use verbatim::jobs::JobId;
use verbatim::recognizer::{Recognizer, RecognizerError, RecognizerInput, RecognizerModel, RecognizerPool};
use verbatim::signals::{Liveness, Running};
use verbatim_speech::{
    DecodeOptions, Language, LanguageProbabilities, Segment, Window, WindowTranscript, Word,
};

use crate::pipeline::comparable;
use crate::service::Service;
use crate::speech::{TestEngine, novel, vad};
use crate::support::app::{json, problem};
use crate::support::form;
use crate::webhook::Receiver;
use crate::workers;

/// Says of every window how long it is, in French.
#[derive(Debug, Default)]
struct Double {
    running: Running,
}

#[async_trait]
impl Recognizer for Double {
    fn model(&self) -> &RecognizerModel {
        static MODEL: std::sync::LazyLock<RecognizerModel> = std::sync::LazyLock::new(|| RecognizerModel {
            name: "double".into(),
            fingerprint: "1".into(),
            languages: [Language::ENGLISH, Language::parse("fr").unwrap()].into(),
        });
        &MODEL
    }

    fn capacity(&self) -> usize {
        2
    }

    async fn detect(
        &self,
        _: JobId,
        _: Arc<RecognizerInput>,
    ) -> Result<LanguageProbabilities, RecognizerError> {
        Ok(LanguageProbabilities::new(self.model().languages.iter().copied().zip([0.25, 0.75]).collect()))
    }

    async fn transcribe(
        &self,
        job: JobId,
        input: Arc<RecognizerInput>,
        options: Arc<DecodeOptions>,
    ) -> Result<WindowTranscript, RecognizerError> {
        let (start, end) = (input.window().start(), input.window().end());
        let text = format!(" La fenêtre dure {:.0} secondes.", end - start);
        let words = vec![Word { word: text.clone(), start, end, probability: 1.0 }];
        Ok(WindowTranscript {
            segments: vec![Segment { start, end, text, words, ..Segment::default() }],
            language: options.language.unwrap_or(Language::ENGLISH),
            language_probabilities: self.detect(job, input).await?,
        })
    }

    fn stop(&self) {}

    fn liveness(&self) -> Liveness {
        self.running.watch()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_runs_on_a_recognizer_that_knows_nothing_of_our_engine() {
    let service =
        Service::with_recognizer(|_, _| Ok((RecognizerPool::of(Arc::new(Double::default())), vad()))).await;
    let (receiver, dir) = (Receiver::start([]).await, TempDir::new().unwrap());
    let recording = novel(dir.path(), 100);
    let (_, health) = json(service.client.get("/health").await).await;
    assert_eq!(
        (&health["status"], &health["models_loaded"]["whisper"]),
        (&json!("healthy"), &json!("double"))
    );
    let refused = service.client.post("/process?language=de", form::file(&recording)).await;
    assert!(problem(refused, 422).await.contains("The model double does not know the language de"));

    let hook = format!("{}/hook", receiver.url);
    let form = form::file(&recording).text("webhook_url", hook);
    let (_, accepted) = json(service.client.post("/process", form).await).await;
    let collected = service.completed(accepted["job_id"].as_str().unwrap()).await;
    let result = &collected["result"];
    assert_eq!(result["models_used"]["whisper"], "double");
    assert_eq!(result["language_detection"], json!({"language": "fr", "confidence": 0.75}));
    let segments = result["whisper_segments"].as_array().unwrap();
    assert!(segments.len() >= 3, "{segments:?}");
    assert!(segments.iter().all(|segment| segment["text"].as_str().unwrap().ends_with(" secondes.")));
    assert_eq!(result["sentences"].as_array().unwrap().len(), segments.len());
    let call = &receiver.wait_for(1).await[0];
    assert_eq!(serde_json::from_str::<serde_json::Value>(&call.body).unwrap(), collected);
    service.shut_down().await;
}

/// What a process is asked, in a line of JSON before the window's bytes.
#[derive(Debug, Serialize, Deserialize)]
struct Asked {
    /// `None` to detect the language alone.
    options: Option<DecodeOptions>,
}

/// Has every window transcribed by a process of its own, which gets it as bytes.
#[derive(Debug)]
struct OtherProcess {
    model: RecognizerModel,
    running: Running,
}

/// Set for the process that transcribes.
const ASKED: &str = "VERBATIM_TEST_TRANSCRIBE";

impl OtherProcess {
    async fn ask(&self, input: &RecognizerInput, asked: &Asked) -> Result<String, RecognizerError> {
        let gone = |error: std::io::Error| RecognizerError::Panicked(error.to_string());
        let mut child = tokio::process::Command::new(std::env::current_exe().map_err(gone)?)
            .args(["--exact", "recognizer::this_process_transcribes_for_another", "--nocapture"])
            .env(ASKED, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(gone)?;
        let mut question = serde_json::to_vec(asked).unwrap();
        question.push(b'\n');
        question.extend(input.window().to_bytes());
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&question).await.map_err(gone)?;
        drop(stdin);
        let output = child.wait_with_output().await.map_err(gone)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let answer = text.lines().find_map(|line| line.split_once("ANSWER "));
        answer.map(|(_, answer)| answer.to_owned()).ok_or(RecognizerError::Panicked(text))
    }
}

#[async_trait]
impl Recognizer for OtherProcess {
    fn model(&self) -> &RecognizerModel {
        &self.model
    }

    fn capacity(&self) -> usize {
        2
    }

    async fn detect(
        &self,
        _: JobId,
        input: Arc<RecognizerInput>,
    ) -> Result<LanguageProbabilities, RecognizerError> {
        Ok(serde_json::from_str(&self.ask(&input, &Asked { options: None }).await?).unwrap())
    }

    async fn transcribe(
        &self,
        _: JobId,
        input: Arc<RecognizerInput>,
        options: Arc<DecodeOptions>,
    ) -> Result<WindowTranscript, RecognizerError> {
        let asked = Asked { options: Some((*options).clone()) };
        Ok(serde_json::from_str(&self.ask(&input, &asked).await?).unwrap())
    }

    fn stop(&self) {}

    fn liveness(&self) -> Liveness {
        self.running.watch()
    }
}

/// Not a test of its own: what [`OtherProcess`] starts.
#[tokio::test]
async fn this_process_transcribes_for_another() {
    if std::env::var_os(ASKED).is_none() {
        return;
    }
    let bytes = std::io::Read::bytes(std::io::stdin()).collect::<Result<Vec<u8>, _>>().unwrap();
    let line = bytes.iter().position(|byte| *byte == b'\n').unwrap();
    let asked: Asked = serde_json::from_slice(&bytes[..line]).unwrap();
    let input = RecognizerInput::new(Window::from_bytes(&bytes[line + 1..]).unwrap());
    let recognizer = TestEngine::base().start();
    let answer = match asked.options {
        None => serde_json::to_string(&recognizer.detect(JobId::new(), input).await.unwrap()),
        Some(options) => serde_json::to_string(
            &recognizer.transcribe(JobId::new(), input, Arc::new(options)).await.unwrap(),
        ),
    };
    println!("ANSWER {}", answer.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_windows_another_process_transcribes_has_the_same_result() {
    let dir = TempDir::new().unwrap();
    let recording = novel(dir.path(), 60);
    let engine = TestEngine::base();
    let [here, there] = ["here", "there"].map(|name| dir.path().join(name));
    for dir in [&here, &there] {
        std::fs::create_dir(dir).unwrap();
    }
    let here = workers::Service::start(&here, &engine).await;
    let id = here.submit(&recording, None).await;
    let expected = here.result(id).await;
    here.shut_down().await;

    let elsewhere = |pipeline: &mut verbatim::work::Pipeline| {
        let process = OtherProcess { model: engine.model(), running: Running::default() };
        pipeline.recognizers = RecognizerPool::of(Arc::new(process));
    };
    let there = workers::Service::with(&there, &engine, elsewhere).await;
    let id = there.submit(&recording, None).await;
    assert_eq!(comparable(there.result(id).await), comparable(expected));
    assert_eq!(engine.log.encoded.load(std::sync::atomic::Ordering::Relaxed), 3, "only the first job's");
    there.shut_down().await;
}
