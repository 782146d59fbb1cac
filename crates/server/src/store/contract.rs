//! Tests that every store must pass. Each gets two handles on one database, as two processes would have.

mod collections;
mod recovery;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use verbatim_speech::{Language, Segment, Task, WindowTranscript, Word};

use super::{Claim, Counts, EventKind, JobStore, Lease, Outcome, Progress, StoreError, StoredWindow};
use crate::jobs::options::{Channels, JobOptions, Temperatures};
use crate::jobs::{FileType, Job, JobId, JobStatus, NewJob};
use crate::store::ProcessId;

pub(super) type Handles = [Arc<dyn JobStore>; 2];

const LEASE: Duration = Duration::from_secs(15);

/// Makes a test of every function named, each on a database of its own.
macro_rules! contract_tests {
    ($open:path: $($name:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                let (handles, _kept) = $open().await;
                $crate::store::contract::$name(handles).await;
            }
        )+
    };
}
pub(super) use collections::*;
pub(super) use contract_tests;
pub(super) use recovery::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

const TRACKS: &str = r#"[{"index":1,"channels":{"layout":"stereo","weights":[1.0,1.0]},
    "times":{"Stamped":{"origin":-0.021,"max_gap":600.0}}}]"#;

fn new_job() -> NewJob {
    NewJob {
        id: JobId::new(),
        filename: "Grüße \"from\" Zürich 🎙.mp4".to_owned(),
        file_size: 5_000_000_000,
        file_type: FileType::Video,
        duration: Some(61.5),
        tracks: serde_json::from_str(TRACKS).unwrap(),
        options: JobOptions {
            language: Language::parse("de"),
            model: Some("large-v3".to_owned()),
            task: Some(Task::Translate),
            word_timestamps: Some(false),
            initial_prompt: Some("Grüße aus \"Zürich\", 🎙".to_owned()),
            hotwords: None,
            temperature: Temperatures::parse("0,0.1").ok(),
            audio_track: Some("2".to_owned()),
            channels: Some(Channels::Separate),
        },
        webhook_url: None,
        content_hash: Some("00ff".to_owned()),
    }
}

fn with_webhook() -> NewJob {
    NewJob { webhook_url: Some("https://example.com/hook?a=b".to_owned()), ..new_job() }
}

fn window(index: usize, text: &str) -> StoredWindow {
    let start = index as f64 * 30.1;
    StoredWindow {
        index,
        start,
        end: start + 29.9,
        transcript: WindowTranscript {
            segments: vec![Segment {
                seek: (start * 100.0) as u64,
                start: start + 0.1,
                end: start + 0.3,
                text: text.to_owned(),
                tokens: vec![50_364, 1, 2, 50_380],
                temperature: 0.2,
                avg_logprob: -0.123_456_79,
                compression_ratio: 1.1,
                no_speech_prob: 1.0e-12,
                suspect: true,
                words: vec![Word {
                    word: text.to_owned(),
                    start: start + 0.1,
                    end: start + 0.3,
                    probability: 0.987_654_3,
                }],
            }],
            language: Language::ENGLISH,
            language_probabilities: serde_json::from_str(r#"[["en",0.7],["de",0.1],["yue",0.033333335]]"#)
                .unwrap(),
        },
        analyses: [("turns".to_owned(), serde_json::json!([{"start": start, "speaker": "A"}]))].into(),
    }
}

fn progress(percentage: u8) -> Progress {
    Progress { percentage, step: "Transcribing audio".to_owned() }
}

fn failed(message: &str) -> Outcome {
    let partial = Some(r#"{"transcript":"Hel"}"#.to_owned());
    Outcome::Failed { message: message.to_owned(), detail: Some("exit status 1".to_owned()), partial }
}

fn completed() -> Outcome {
    Outcome::Completed { result: r#"{"transcript":"Hello — “you”"}"#.to_owned() }
}

async fn get(store: &Arc<dyn JobStore>, id: JobId) -> Job {
    store.get(id).await.unwrap().unwrap()
}

/// Claims a job for a new process, which works on no other job.
async fn claim(store: &Arc<dyn JobStore>, now: Timestamp) -> Lease {
    claim_by(store, ProcessId::new(), now).await.expect("a job to claim").lease
}

async fn claim_by(store: &Arc<dyn JobStore>, process: ProcessId, now: Timestamp) -> Option<Claim> {
    store.claim(process, now, LEASE).await.unwrap()
}

fn assert_lost<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::LeaseLost(_))), "{result:?}");
}

pub(super) async fn a_job_comes_back_as_it_went_in([store, other]: Handles) {
    let new = with_webhook();
    let inserted = store.insert(new.clone(), at(0)).await.unwrap();
    let job = get(&other, new.id).await;
    assert_eq!(format!("{inserted:?}"), format!("{job:?}"));
    assert_eq!(job.filename, new.filename);
    assert_eq!(job.file_size, new.file_size);
    assert_eq!(job.file_type, new.file_type);
    assert_eq!(job.duration, new.duration);
    assert_eq!(job.tracks, new.tracks);
    assert!(job.tracks.is_some());
    assert_eq!(job.options, new.options);
    assert_eq!(job.webhook_url, new.webhook_url);
    assert_eq!(job.status, JobStatus::Pending);
    assert_eq!(job.created_at, at(0));
    assert_eq!((job.started_at, job.completed_at), (None, None));
    assert_eq!((job.progress_percentage, job.current_step.as_str()), (0, "Queued"));
    assert!(store.get(JobId::new()).await.unwrap().is_none());
    assert_eq!(store.result(new.id).await.unwrap(), None);
    assert_eq!(store.unfinished().await.unwrap(), [new.id]);
    store.check().await.unwrap();
}

pub(super) async fn jobs_are_claimed_oldest_first([store, _]: Handles) {
    let (process, mut ids) = (ProcessId::new(), Vec::new());
    for second in [0, 1, 1, 2] {
        ids.push(store.insert(new_job(), at(second)).await.unwrap().id);
    }
    for (done, id) in ids.iter().enumerate() {
        let claim = claim_by(&store, process, at(10 + done as i64)).await.unwrap();
        assert_eq!(claim.job.id, *id);
        assert_eq!(claim.job.status, JobStatus::Processing);
        assert_eq!(claim.job.started_at, Some(at(10 + done as i64)));
    }
    assert!(claim_by(&store, process, at(20)).await.is_none());
    assert_eq!(store.processing().await.unwrap(), ids);
    assert_eq!(store.counts().await.unwrap(), Counts { pending: 0, processing: 4 });
}

pub(super) async fn many_racing_claims_share_no_job(handles: Handles) {
    const JOBS: usize = 40;
    let process = [ProcessId::new(), ProcessId::new()];
    for _ in 0..JOBS {
        handles[0].insert(new_job(), at(0)).await.unwrap();
    }
    let claims: Vec<_> = (0..JOBS * 2)
        .map(|turn| {
            let store = handles[turn % 2].clone();
            tokio::spawn(async move { claim_by(&store, process[turn % 2], at(1)).await })
        })
        .collect();
    let (mut jobs, mut tokens, mut empty) = (HashSet::new(), HashSet::new(), 0);
    for claim in claims {
        match claim.await.unwrap() {
            Some(claim) => {
                assert!(jobs.insert(claim.job.id), "{} was claimed twice", claim.job.id);
                assert!(tokens.insert(claim.lease.token));
            }
            None => empty += 1,
        }
    }
    assert_eq!((jobs.len(), empty), (JOBS, JOBS));
}

pub(super) async fn a_job_with_an_expired_lease_is_claimed_once_and_the_old_lease_is_refused(
    handles: Handles,
) {
    let [store, other] = &handles;
    let id = store.insert(new_job(), at(0)).await.unwrap().id;
    let lost = claim(store, at(0)).await;
    store.store_window(&lost, &window(0, " one"), &progress(40), at(0)).await.unwrap();
    store.heartbeat(&lost, at(10), LEASE).await.unwrap();
    assert!(
        claim_by(other, ProcessId::new(), at(24)).await.is_none(),
        "the heartbeat was to extend the lease"
    );

    let racing: Vec<_> = (0..20)
        .map(|turn| {
            let store = handles[turn % 2].clone();
            tokio::spawn(async move { claim_by(&store, ProcessId::new(), at(25)).await })
        })
        .collect();
    let mut claims = Vec::new();
    for claim in racing {
        claims.extend(claim.await.unwrap());
    }
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].job.progress_percentage, 40, "what was done stays done");
    assert_eq!(claims[0].job.started_at, Some(at(0)));

    assert_lost(store.heartbeat(&lost, at(25), LEASE).await);
    assert_lost(store.set_progress(&lost, &progress(50), at(0)).await);
    assert_lost(store.store_window(&lost, &window(1, " two"), &progress(50), at(0)).await);
    assert_lost(store.release(&lost, at(0)).await);
    assert_lost(store.finish(&lost, &completed(), at(25)).await);
    assert_eq!(store.windows(id).await.unwrap(), [window(0, " one")]);
    assert_eq!(get(store, id).await.status, JobStatus::Processing);
    other.finish(&claims[0].lease, &completed(), at(26)).await.unwrap();
}

pub(super) async fn windows_come_back_bit_by_bit_and_in_order([store, other]: Handles) {
    let id = store.insert(new_job(), at(0)).await.unwrap().id;
    let lease = claim(&store, at(0)).await;
    for index in [2, 0, 1] {
        store.store_window(&lease, &window(index, " text"), &progress(index as u8), at(0)).await.unwrap();
    }
    store.store_window(&lease, &window(1, " another text"), &progress(3), at(0)).await.unwrap();
    let expected: Vec<_> = (0..3).map(|index| window(index, " text")).collect();
    assert_eq!(other.windows(id).await.unwrap(), expected);
    assert_eq!(other.windows_from(id, 1).await.unwrap(), expected[1..]);
    assert_eq!(other.windows_from(id, 3).await.unwrap(), []);
    assert_eq!(other.windows(JobId::new()).await.unwrap(), []);
}

pub(super) async fn progress_never_falls_and_stays_under_100([store, _]: Handles) {
    let id = store.insert(new_job(), at(0)).await.unwrap().id;
    let lease = claim(&store, at(0)).await;
    for (set, expected) in [(10, 10), (5, 10), (100, 99), (255, 99), (0, 99)] {
        store.set_progress(&lease, &progress(set), at(0)).await.unwrap();
        assert_eq!(get(&store, id).await.progress_percentage, expected);
    }
    store.finish(&lease, &completed(), at(1)).await.unwrap();
    let job = get(&store, id).await;
    assert_eq!((job.progress_percentage, job.current_step.as_str()), (100, "Completed"));
}

pub(super) async fn events_of_a_job_are_numbered_and_stored([store, other]: Handles) {
    let id = store.insert(new_job(), at(0)).await.unwrap().id;
    let lease = claim(&store, at(1)).await;
    store.set_progress(&lease, &progress(0), at(2)).await.unwrap();
    store.set_progress(&lease, &progress(0), at(3)).await.unwrap();
    for _ in 0..2 {
        store.store_window(&lease, &window(0, " one"), &progress(50), at(4)).await.unwrap();
    }
    store.finish(&lease, &completed(), at(5)).await.unwrap();
    let events = other.events(id, 0, 100).await.unwrap();
    let step = |percentage: u8| serde_json::json!({"percentage": percentage, "step": "Transcribing audio"});
    let status = |status: &str| serde_json::json!({ "status": status });
    // Through its text: a number of single precision is written with as many digits as it has.
    let segment = serde_json::to_string(&window(0, " one").transcript.segments[0]).unwrap();
    let mut segment: serde_json::Value = serde_json::from_str(&segment).unwrap();
    segment["window"] = 0.into();
    segment["language"] = "en".into();
    let expected = [
        (1, at(0), EventKind::Status, status("pending")),
        (2, at(1), EventKind::Status, status("processing")),
        (3, at(2), EventKind::Progress, step(0)),
        (4, at(4), EventKind::Segment, segment),
        (5, at(4), EventKind::Progress, step(50)),
        (6, at(5), EventKind::Status, status("completed")),
    ];
    let found: Vec<_> =
        events.iter().map(|event| (event.number, event.at, event.kind, event.data.clone())).collect();
    assert_eq!(found, expected);
    assert_eq!(other.events(id, 4, 1).await.unwrap(), events[4..5]);
    assert_eq!(other.events(JobId::new(), 0, 100).await.unwrap(), []);
}

pub(super) async fn a_finished_job_has_result_and_webhook_and_never_changes([store, other]: Handles) {
    let new = with_webhook();
    store.insert(new.clone(), at(0)).await.unwrap();
    let lease = claim(&store, at(1)).await;
    store.store_window(&lease, &window(0, " one"), &progress(50), at(0)).await.unwrap();
    let now = at(2) + SignedDuration::from_millis(345);
    store.finish(&lease, &completed(), now).await.unwrap();

    let job = get(&other, new.id).await;
    assert_eq!((job.status, job.completed_at, job.error_message), (JobStatus::Completed, Some(now), None));
    assert_eq!(other.result(new.id).await.unwrap().as_deref(), Some(r#"{"transcript":"Hello — “you”"}"#));
    assert_eq!(other.windows(new.id).await.unwrap(), [], "the result replaces the windows");
    assert_eq!(other.unfinished().await.unwrap(), []);
    assert_eq!(other.counts().await.unwrap(), Counts::default());

    assert_lost(store.finish(&lease, &failed("again"), at(3)).await);
    assert!(!store.cancel(new.id, "too late", at(3)).await.unwrap());
    assert!(claim_by(&store, ProcessId::new(), at(10_000)).await.is_none());
    let calls = store.due_deliveries(now, LEASE, 10).await.unwrap();
    assert_eq!(calls.len(), 1);
    assert_eq!(Some(calls[0].url.clone()), new.webhook_url);
    assert_eq!(
        calls[0].body,
        format!(
            r#"{{"job_id":"{}","status":"completed","completed_at":"2027-01-15T08:00:02.345Z","result":{{"transcript":"Hello — “you”"}}}}"#,
            new.id
        )
    );
}

pub(super) async fn a_failed_job_has_its_reason_in_status_and_webhook([store, _]: Handles) {
    let new = with_webhook();
    store.insert(new.clone(), at(0)).await.unwrap();
    let lease = claim(&store, at(1)).await;
    store.finish(&lease, &failed("The file is \"broken\"."), at(2)).await.unwrap();
    let job = get(&store, new.id).await;
    assert_eq!(job.status, JobStatus::Failed);
    assert_eq!(job.current_step, "Failed");
    assert_eq!(job.error_message.as_deref(), Some("The file is \"broken\"."));
    assert_eq!(job.error_detail.as_deref(), Some("exit status 1"));
    assert_eq!(store.result(new.id).await.unwrap().as_deref(), Some(r#"{"transcript":"Hel"}"#));
    let calls = store.due_deliveries(at(2), LEASE, 10).await.unwrap();
    assert_eq!(
        calls[0].body,
        format!(
            r#"{{"job_id":"{}","status":"failed","completed_at":"2027-01-15T08:00:02.000Z","error_message":"The file is \"broken\"."}}"#,
            new.id
        )
    );
}

pub(super) async fn a_job_is_cancelled_also_while_a_worker_holds_it([store, other]: Handles) {
    let running = store.insert(with_webhook(), at(0)).await.unwrap().id;
    let waiting = store.insert(new_job(), at(1)).await.unwrap().id;
    let lease = claim(&store, at(2)).await;
    assert!(other.cancel(running, "The client went away.", at(3)).await.unwrap());
    assert!(other.cancel(waiting, "The client went away.", at(3)).await.unwrap());
    assert!(!other.cancel(waiting, "Again.", at(4)).await.unwrap());
    assert!(!other.cancel(JobId::new(), "Unknown.", at(4)).await.unwrap());
    assert_lost(store.heartbeat(&lease, at(4), LEASE).await);
    assert!(claim_by(&store, ProcessId::new(), at(1000)).await.is_none());
    for id in [running, waiting] {
        let job = get(&store, id).await;
        assert_eq!((job.status, job.current_step.as_str()), (JobStatus::Cancelled, "Cancelled"));
        assert_eq!(job.error_message.as_deref(), Some("The client went away."));
    }
    let calls = store.due_deliveries(at(3), LEASE, 10).await.unwrap();
    assert_eq!(calls.len(), 1);
    assert!(calls[0].body.contains(r#""status":"failed""#), "the contract has no other: {}", calls[0].body);
}

pub(super) async fn a_webhook_call_is_taken_by_one_caller_until_its_lease_has_passed(handles: Handles) {
    const CALLS: usize = 12;
    let [store, other] = &handles;
    for _ in 0..CALLS {
        let id = store.insert(with_webhook(), at(0)).await.unwrap().id;
        store.cancel(id, "Cancelled.", at(1)).await.unwrap();
    }
    assert_eq!(store.next_delivery_at().await.unwrap(), Some(at(1)));
    assert!(store.due_deliveries(at(0), LEASE, 10).await.unwrap().is_empty());
    let takers: Vec<_> = (0..8)
        .map(|turn| {
            let store = handles[turn % 2].clone();
            tokio::spawn(async move { store.due_deliveries(at(1), LEASE, 2).await.unwrap() })
        })
        .collect();
    let mut taken = Vec::new();
    for taker in takers {
        taken.extend(taker.await.unwrap().into_iter().map(|call| call.id));
    }
    assert_eq!(taken.len(), CALLS);
    assert_eq!(taken.iter().collect::<HashSet<_>>().len(), CALLS, "a call was handed out twice");
    assert_eq!(store.next_delivery_at().await.unwrap(), Some(at(16)));
    let again = other.due_deliveries(at(16), LEASE, 100).await.unwrap();
    assert_eq!(again.len(), CALLS, "whoever took them is gone: they are due again");
    assert!(again.iter().all(|call| call.attempts == 0));
}

pub(super) async fn webhook_attempts_are_counted_and_end([store, _]: Handles) {
    let id = store.insert(with_webhook(), at(0)).await.unwrap().id;
    store.cancel(id, "Cancelled.", at(0)).await.unwrap();
    let call = store.due_deliveries(at(0), LEASE, 1).await.unwrap().remove(0);
    store.delivery_failed(call.id, "500 Internal Server Error", Some(at(5))).await.unwrap();
    assert_eq!(store.next_delivery_at().await.unwrap(), Some(at(5)));
    assert!(store.due_deliveries(at(4), LEASE, 1).await.unwrap().is_empty());
    let call = store.due_deliveries(at(5), LEASE, 1).await.unwrap().remove(0);
    assert_eq!(call.attempts, 1);
    store.delivered(call.id, at(6)).await.unwrap();
    store
        .delivery_failed(call.id, "a late answer to an attempt that was given up", Some(at(7)))
        .await
        .unwrap();
    assert_eq!(store.next_delivery_at().await.unwrap(), None);

    let id = store.insert(with_webhook(), at(10)).await.unwrap().id;
    store.cancel(id, "Cancelled.", at(10)).await.unwrap();
    let call = store.due_deliveries(at(10), LEASE, 1).await.unwrap().remove(0);
    store.delivery_failed(call.id, "no route to host", None).await.unwrap();
    assert_eq!(store.next_delivery_at().await.unwrap(), None);
    assert!(store.due_deliveries(at(100_000), LEASE, 10).await.unwrap().is_empty());
}
