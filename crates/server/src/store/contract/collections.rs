//! Lists, the queue, idempotency keys, and what becomes of jobs after their end.

use super::*;
use crate::store::{Ahead, IdempotencyKey, Inserted, JobFilter, KeyedJob, Run};

fn all() -> JobFilter {
    JobFilter { statuses: Vec::new(), since: None, name: String::new(), before: None, limit: 100 }
}

async fn listed(store: &Arc<dyn JobStore>, filter: &JobFilter) -> Vec<JobId> {
    store.list(filter).await.unwrap().into_iter().map(|job| job.id).collect()
}

async fn inserted(store: &Arc<dyn JobStore>, second: i64) -> JobId {
    store.insert(new_job(), at(second)).await.unwrap().id
}

pub(in crate::store) async fn jobs_are_listed_newest_first_page_by_page([store, other]: Handles) {
    // Several of one moment: none may be left out or come twice where a page ends among them.
    let mut ids = Vec::new();
    for second in [0, 1, 1, 1, 2] {
        ids.push(inserted(&store, second).await);
    }
    let mut expected = ids[1..4].to_vec();
    expected.sort_by_key(|id| std::cmp::Reverse(id.to_string()));
    expected.insert(0, ids[4]);
    expected.push(ids[0]);
    assert_eq!(listed(&other, &all()).await, expected);
    for limit in 1..=5 {
        let (mut found, mut before) = (Vec::new(), None);
        loop {
            let page = other.list(&JobFilter { before, limit, ..all() }).await.unwrap();
            let Some(last) = page.last() else { break };
            before = Some((last.created_at, last.id));
            found.extend(page.into_iter().map(|job| job.id));
        }
        assert_eq!(found, expected, "{limit} a page");
    }
}

pub(in crate::store) async fn lists_are_filtered_by_status_time_and_name([store, _]: Handles) {
    let named = |name: &str| NewJob { filename: name.to_owned(), ..new_job() };
    let first = store.insert(named("ÄRZTE 100%_Talk.mp3"), at(0)).await.unwrap().id;
    let second = store.insert(named("talk.wav"), at(10)).await.unwrap().id;
    let third = store.insert(named("Interview.mkv"), at(20)).await.unwrap().id;
    assert!(store.cancel(second, "Cancelled.", at(21)).await.unwrap());
    let by_status = |statuses: &[JobStatus]| JobFilter { statuses: statuses.to_vec(), ..all() };
    assert_eq!(listed(&store, &by_status(&[JobStatus::Cancelled])).await, [second]);
    assert_eq!(listed(&store, &by_status(&[JobStatus::Pending, JobStatus::Failed])).await, [third, first]);
    let since = |second| JobFilter { since: Some(at(second)), ..all() };
    assert_eq!(listed(&store, &since(10)).await, [third, second]);
    assert_eq!(listed(&store, &since(21)).await, []);
    for (name, found) in [
        ("TALK", vec![second, first]),
        ("ärzte", vec![first]),
        ("0%_t", vec![first]),
        ("%", vec![first]),
        ("view.m", vec![third]),
        ("nothing", vec![]),
    ] {
        assert_eq!(listed(&store, &JobFilter { name: name.to_owned(), ..all() }).await, found, "{name}");
    }
}

pub(in crate::store) async fn a_job_that_waits_knows_what_is_ahead_of_it([store, other]: Handles) {
    let running = inserted(&store, 0).await;
    let lease = claim(&store, at(1)).await;
    store.set_progress(&lease, &progress(50), at(2)).await.unwrap();
    let unknown = store.insert(NewJob { duration: None, ..new_job() }, at(3)).await.unwrap().id;
    let (next, last) = (inserted(&store, 3).await, inserted(&store, 4).await);
    let ahead = |id| {
        let other = other.clone();
        async move { other.ahead(&get(&other, id).await).await.unwrap() }
    };
    assert_eq!(lease.job, running);
    assert_eq!(ahead(unknown).await, Ahead { jobs: 0, seconds: 30.75 });
    assert_eq!(ahead(next).await, Ahead { jobs: 1, seconds: 30.75 });
    assert_eq!(ahead(last).await, Ahead { jobs: 2, seconds: 92.25 });
    store.finish(&lease, &completed(), at(5)).await.unwrap();
    assert_eq!(ahead(last).await, Ahead { jobs: 2, seconds: 61.5 });
}

pub(in crate::store) async fn completed_jobs_tell_how_fast_they_went([store, other]: Handles) {
    assert_eq!(other.recent_runs(10).await.unwrap(), []);
    for (second, outcome) in [(0, completed()), (10, failed("No.")), (20, completed())] {
        inserted(&store, second).await;
        let lease = claim(&store, at(second + 1)).await;
        store.finish(&lease, &outcome, at(second + 5)).await.unwrap();
    }
    let run = |second: i64| Run { started_at: at(second + 1), completed_at: at(second + 5), seconds: 61.5 };
    assert_eq!(other.recent_runs(10).await.unwrap(), [run(20), run(0)]);
    assert_eq!(other.recent_runs(1).await.unwrap(), [run(20)]);
}

pub(in crate::store) async fn a_deleted_job_leaves_nothing_and_its_worker_loses_its_lease(
    [store, other]: Handles,
) {
    let running = store.insert(with_webhook(), at(0)).await.unwrap().id;
    let lease = claim(&store, at(1)).await;
    store.store_window(&lease, &window(0, " one"), &progress(50), at(1)).await.unwrap();
    assert!(other.delete(running).await.unwrap());
    assert!(!other.delete(running).await.unwrap(), "it is gone");
    assert!(!store.is_held(&lease).await.unwrap());
    assert_lost(store.store_window(&lease, &window(1, " two"), &progress(60), at(2)).await);
    assert_lost(store.set_progress(&lease, &progress(70), at(2)).await);
    assert_lost(store.finish(&lease, &completed(), at(2)).await);
    let ended = store.insert(with_webhook(), at(3)).await.unwrap().id;
    let lease = claim(&store, at(4)).await;
    store.finish(&lease, &completed(), at(5)).await.unwrap();
    assert!(store.delete(ended).await.unwrap());
    for id in [running, ended] {
        assert!(other.get(id).await.unwrap().is_none());
        assert_eq!(other.result(id).await.unwrap(), None);
        assert_eq!(other.windows(id).await.unwrap(), []);
        assert_eq!(other.events(id, 0, 100).await.unwrap(), []);
    }
    assert!(other.due_deliveries(at(100), LEASE, 10).await.unwrap().is_empty());
    assert_eq!(listed(&other, &all()).await, []);
    store.release_space().await.unwrap();
    store.check().await.unwrap();
}

pub(in crate::store) async fn only_failed_and_cancelled_jobs_are_retried_and_start_anew(
    [store, other]: Handles,
) {
    let id = store.insert(with_webhook(), at(0)).await.unwrap().id;
    assert!(!store.retry(id, at(1)).await.unwrap(), "it waits");
    let lease = claim(&store, at(1)).await;
    assert!(!store.retry(id, at(1)).await.unwrap(), "it runs");
    store.checkpoint(&lease, "base", at(1)).await.unwrap();
    store.store_window(&lease, &window(0, " one"), &progress(50), at(1)).await.unwrap();
    store.finish(&lease, &failed("The disk went away."), at(2)).await.unwrap();
    assert!(other.retry(id, at(3)).await.unwrap());
    let job = get(&store, id).await;
    assert_eq!(
        (job.status, job.progress_percentage, job.current_step.as_str()),
        (JobStatus::Pending, 0, "Queued")
    );
    assert_eq!(
        (job.error_message, job.error_detail, job.started_at, job.completed_at),
        (None, None, None, None)
    );
    assert_eq!(store.result(id).await.unwrap(), None, "the partial result was of the first try");
    assert!(store.due_deliveries(at(4), LEASE, 10).await.unwrap().is_empty(), "so was the call");
    let last = store.events(id, 0, 100).await.unwrap().pop().unwrap();
    assert_eq!(last.data, serde_json::json!({"status": "pending", "discarded": true}));

    let claim = claim_by(&store, ProcessId::new(), at(5)).await.unwrap();
    assert_eq!((claim.strikes, claim.fingerprint), (0, None));
    store.finish(&claim.lease, &completed(), at(6)).await.unwrap();
    assert!(!store.retry(id, at(7)).await.unwrap(), "it has its result");
    assert_eq!(store.due_deliveries(at(7), LEASE, 10).await.unwrap().len(), 1);
    let cancelled = inserted(&store, 8).await;
    store.cancel(cancelled, "Cancelled.", at(9)).await.unwrap();
    assert!(store.retry(cancelled, at(10)).await.unwrap());
    assert!(!store.retry(JobId::new(), at(10)).await.unwrap());
}

pub(in crate::store) async fn what_has_had_its_time_goes_only_while_its_job_has_ended(
    [store, other]: Handles,
) {
    let id = inserted(&store, 0).await;
    assert!(!store.give_up_upload(id, at(100)).await.unwrap(), "it is needed");
    assert!(!store.delete_ended(id, at(100)).await.unwrap());
    store.cancel(id, "Cancelled.", at(5)).await.unwrap();
    assert!(!store.give_up_upload(id, at(4)).await.unwrap(), "it is kept for longer");
    assert!(!store.delete_ended(id, at(5)).await.unwrap());
    // Whoever is first, the retry or the removal, has it.
    assert!(other.retry(id, at(6)).await.unwrap());
    assert!(
        !store.give_up_upload(id, at(100)).await.unwrap() && !store.delete_ended(id, at(100)).await.unwrap()
    );
    store.cancel(id, "Cancelled.", at(7)).await.unwrap();
    assert!(store.give_up_upload(id, at(7)).await.unwrap());
    assert!(!other.retry(id, at(8)).await.unwrap(), "its upload is gone");
    assert!(store.give_up_upload(id, at(8)).await.unwrap(), "again, after a crash in between");
    assert!(store.delete_ended(id, at(8)).await.unwrap());
    assert!(other.get(id).await.unwrap().is_none());
}

fn key(key: &str, request_hash: &str) -> IdempotencyKey {
    IdempotencyKey { key: key.to_owned(), request_hash: request_hash.to_owned() }
}

pub(in crate::store) async fn a_key_makes_one_job_however_many_requests_race(handles: Handles) {
    let racing: Vec<_> = (0..20)
        .map(|turn| {
            let store = handles[turn % 2].clone();
            tokio::spawn(async move {
                store.insert_once(new_job(), &key("k", "h"), at(-100), at(0)).await.unwrap()
            })
        })
        .collect();
    let (mut new, mut earlier) = (Vec::new(), Vec::new());
    for inserted in racing {
        match inserted.await.unwrap() {
            Inserted::New(job) => new.push(job.id),
            Inserted::Earlier(keyed) => earlier.push(keyed),
        }
    }
    assert_eq!((new.len(), earlier.len()), (1, 19));
    let expected = KeyedJob { request_hash: "h".to_owned(), job: new[0] };
    assert!(earlier.iter().all(|keyed| *keyed == expected));
    assert_eq!(handles[1].keyed("k", at(-100)).await.unwrap(), Some(expected));
    assert_eq!(listed(&handles[0], &all()).await, new);
}

pub(in crate::store) async fn a_key_is_forgotten_in_time_and_with_its_cancelled_job([store, other]: Handles) {
    let insert = |now: i64, since: i64| {
        let store = store.clone();
        async move { store.insert_once(new_job(), &key("k", "h"), at(since), at(now)).await.unwrap() }
    };
    let Inserted::New(first) = insert(0, -100).await else { panic!("the first") };
    assert!(matches!(insert(50, -50).await, Inserted::Earlier(_)));
    let Inserted::New(second) = insert(101, 1).await else { panic!("the key is too old") };
    assert_ne!(first.id, second.id);
    store.cancel(second.id, "Its client went away.", at(102)).await.unwrap();
    assert_eq!(other.keyed("k", at(1)).await.unwrap(), None, "nobody got an answer");
    let Inserted::New(third) = insert(103, 3).await else { panic!("nobody got an answer") };
    assert_eq!(other.keyed("k", at(3)).await.unwrap().unwrap().job, third.id);
    other.forget_keys(at(103)).await.unwrap();
    assert!(other.keyed("k", at(3)).await.unwrap().is_some());
    other.forget_keys(at(104)).await.unwrap();
    assert_eq!(other.keyed("k", at(3)).await.unwrap(), None);
    let Inserted::New(fourth) = insert(105, 5).await else { panic!("forgotten") };
    store.delete(fourth.id).await.unwrap();
    assert_eq!(other.keyed("k", at(5)).await.unwrap(), None, "it goes with its job");
}

pub(in crate::store) async fn the_same_upload_with_the_same_options_is_found([store, other]: Handles) {
    let options = new_job().options;
    let find = |hash: &'static str, options: JobOptions, since: i64| {
        let other = other.clone();
        async move { other.same_content(hash, &options, at(since)).await.unwrap() }
    };
    assert_eq!(find("00ff", options.clone(), 0).await, None);
    let first = inserted(&store, 0).await;
    let second = inserted(&store, 10).await;
    assert_eq!(find("00ff", options.clone(), 0).await, Some(second));
    assert_eq!(find("00ff", options.clone(), 11).await, None, "too old");
    assert_eq!(find("ff00", options.clone(), 0).await, None, "another file");
    assert_eq!(find("00ff", JobOptions { model: None, ..options.clone() }, 0).await, None, "other options");
    store.cancel(second, "Cancelled.", at(12)).await.unwrap();
    assert_eq!(find("00ff", options.clone(), 0).await, Some(first));
    let lease = claim(&store, at(13)).await;
    assert_eq!(find("00ff", options.clone(), 0).await, Some(first), "it runs");
    store.finish(&lease, &completed(), at(14)).await.unwrap();
    assert_eq!(find("00ff", options, 0).await, Some(first), "it has a result");
}

pub(in crate::store) async fn jobs_are_told_by_when_they_ended([store, other]: Handles) {
    let mut ids = Vec::new();
    for second in [0, 10, 20] {
        let id = inserted(&store, second).await;
        store.cancel(id, "Cancelled.", at(second + 5)).await.unwrap();
        ids.push(id);
    }
    inserted(&store, 0).await;
    assert_eq!(other.ended_before(at(15), 10).await.unwrap(), ids[..1]);
    assert_eq!(other.ended_before(at(1000), 10).await.unwrap(), ids);
    assert_eq!(other.ended_before(at(1000), 2).await.unwrap(), ids[..2]);
    let mut since = other.ended_since(at(15)).await.unwrap();
    since.sort_by_key(|id| ids.iter().position(|known| known == id));
    assert_eq!(since, ids[1..]);
}
