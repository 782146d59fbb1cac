//! Tests of jobs whose process has ended: requeueing, suspects and strikes.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use verbatim_speech::Language;

use super::{
    Handles, LEASE, assert_lost, at, claim, claim_by, failed, get, new_job, progress, window, with_webhook,
};
use crate::jobs::{JobId, JobStatus};
use crate::store::ProcessId;
use crate::store::{Checkpoint, JobStore, MAX_STRIKES, OWN_LEASE_GRACE, SUSPECT_WAIT};

pub(in crate::store) async fn a_released_job_is_pending_again_without_a_strike([store, _]: Handles) {
    let id = store.insert(new_job(), at(0)).await.unwrap().id;
    for round in 0..i64::from(MAX_STRIKES) + 2 {
        let claim = claim_by(&store, ProcessId::new(), at(round)).await.unwrap();
        assert_eq!(claim.strikes, 0);
        store.begin_window(&claim.lease, 1, 30.0, 60.0).await.unwrap();
        store.set_progress(&claim.lease, &progress(30), at(round)).await.unwrap();
        store.release(&claim.lease, at(round)).await.unwrap();
        assert_lost(store.heartbeat(&claim.lease, at(round), LEASE).await);
        let job = get(&store, id).await;
        assert_eq!((job.status, job.current_step.as_str()), (JobStatus::Pending, "Queued"));
        assert_eq!(job.progress_percentage, 30);
    }
    assert_eq!(store.windows(id).await.unwrap(), []);
}

/// Claims a job with a new process, which then ends; repeated `times` times.
async fn crash(store: &Arc<dyn JobStore>, id: JobId, times: u32, now: Timestamp) {
    for _ in 0..times {
        let process = ProcessId::new();
        let claim = claim_by(store, process, now).await.unwrap();
        assert_eq!(claim.job.id, id);
        assert_eq!(store.process_ended(process, now).await.unwrap(), 1);
    }
}

pub(in crate::store) async fn a_job_with_max_strikes_is_claimed_once_more_and_then_ended_as_failed(
    [store, other]: Handles,
) {
    let id = store.insert(with_webhook(), at(0)).await.unwrap().id;
    crash(&store, id, MAX_STRIKES, at(1)).await;
    let last = claim_by(&other, ProcessId::new(), at(2)).await.unwrap();
    assert_eq!((last.job.id, last.strikes), (id, MAX_STRIKES));
    other.finish(&last.lease, &failed("Given up."), at(3)).await.unwrap();
    assert_eq!(get(&store, id).await.status, JobStatus::Failed);

    // A job that also ends the process that was to end it as failed is failed by the next claim.
    let id = store.insert(with_webhook(), at(4)).await.unwrap().id;
    crash(&store, id, MAX_STRIKES + 1, at(5)).await;
    let next = store.insert(new_job(), at(6)).await.unwrap().id;
    assert_eq!(claim(&store, at(7)).await.job, next, "failing one job must not delay the next one");
    let job = get(&store, id).await;
    assert_eq!((job.status, job.completed_at), (JobStatus::Failed, Some(at(7))));
    assert!(job.error_message.unwrap().contains("ended 4 times"));
    assert_eq!(store.due_deliveries(at(7), LEASE, 10).await.unwrap().len(), 2);
}

pub(in crate::store) async fn a_stored_window_resets_strikes([store, _]: Handles) {
    let id = store.insert(new_job(), at(0)).await.unwrap().id;
    for index in 0..10 {
        crash(&store, id, MAX_STRIKES - 1, at(1)).await;
        let process = ProcessId::new();
        let claim = claim_by(&store, process, at(1)).await.unwrap();
        assert_eq!(claim.strikes, MAX_STRIKES - 1);
        store.store_window(&claim.lease, &window(index, " text"), &progress(5), at(1)).await.unwrap();
        store.process_ended(process, at(1)).await.unwrap();
        assert_eq!(claim_by(&store, process, at(1)).await.unwrap().strikes, 0);
        store.process_ended(process, at(1)).await.unwrap();
        let claim = claim_by(&store, ProcessId::new(), at(1)).await.unwrap();
        store.store_window(&claim.lease, &window(index + 100, " text"), &progress(5), at(1)).await.unwrap();
        store.release(&claim.lease, at(1)).await.unwrap();
    }
    assert_eq!(store.windows(id).await.unwrap().len(), 20);
}

pub(in crate::store) async fn jobs_that_ran_beside_others_become_suspects_without_a_strike(
    [store, _]: Handles,
) {
    let mut jobs = Vec::new();
    for second in 0..4 {
        jobs.push(store.insert(new_job(), at(second)).await.unwrap().id);
    }
    for _ in 0..20 {
        let process = ProcessId::new();
        // The first job is alone until it has stored a window.
        let first = claim_by(&store, process, at(10)).await.unwrap();
        assert_eq!(first.strikes, 0);
        let suspect = claim_by(&store, process, at(10)).await.is_none();
        store.store_window(&first.lease, &window(0, " text"), &progress(5), at(10)).await.unwrap();
        let others = [claim_by(&store, process, at(10)).await, claim_by(&store, process, at(10)).await];
        assert!(!suspect || others.iter().all(Option::is_none), "suspects are claimed one at a time");
        store.process_ended(process, at(10)).await.unwrap();
    }
    assert_eq!(store.unfinished().await.unwrap().len(), jobs.len());
}

pub(in crate::store) async fn suspects_with_fewer_strikes_are_claimed_first([store, _]: Handles) {
    let ids =
        [store.insert(new_job(), at(0)).await.unwrap().id, store.insert(new_job(), at(1)).await.unwrap().id];
    let process = ProcessId::new();
    for id in ids {
        assert_eq!(claim_by(&store, process, at(2)).await.unwrap().job.id, id);
    }
    store.process_ended(process, at(2)).await.unwrap();
    for turn in 0..4 {
        crash(&store, ids[turn % 2], 1, at(3)).await;
    }
    assert_eq!(claim_by(&store, ProcessId::new(), at(4)).await.unwrap().strikes, 2);
}

pub(in crate::store) async fn a_suspect_waits_for_an_idle_process_but_not_forever([store, other]: Handles) {
    let suspect = store.insert(new_job(), at(0)).await.unwrap().id;
    crash(&store, suspect, 1, at(1)).await;
    let process = ProcessId::new();
    let alone = claim_by(&store, process, at(2)).await.unwrap();
    assert_eq!(alone.job.id, suspect);
    let next = store.insert(new_job(), at(3)).await.unwrap().id;
    assert!(claim_by(&store, process, at(3)).await.is_none(), "nothing beside a suspect");
    let busy = ProcessId::new();
    assert_eq!(claim_by(&other, busy, at(3)).await.unwrap().job.id, next);
    store.process_ended(process, at(4)).await.unwrap();
    let wait = SignedDuration::try_from(SUSPECT_WAIT).unwrap();
    assert!(claim_by(&other, busy, at(0) + wait).await.is_none());
    let claim = claim_by(&other, busy, at(2) + wait).await.unwrap();
    assert_eq!((claim.job.id, claim.strikes), (suspect, 2));
    other.process_ended(busy, at(100)).await.unwrap();
    let claims = [
        claim_by(&store, ProcessId::new(), at(101)).await,
        claim_by(&store, ProcessId::new(), at(101)).await,
    ];
    let strikes: Vec<u32> = claims.into_iter().map(|claim| claim.unwrap().strikes).collect();
    assert_eq!(strikes, [0, 2], "it was not alone, so it is unknown which job was at fault");
}

pub(in crate::store) async fn a_process_claims_its_own_expired_jobs_only_after_a_grace_period(
    [store, other]: Handles,
) {
    let id = store.insert(new_job(), at(0)).await.unwrap().id;
    let process = ProcessId::new();
    let late = claim_by(&store, process, at(0)).await.unwrap();
    let grace = SignedDuration::try_from(OWN_LEASE_GRACE + LEASE).unwrap();
    assert!(claim_by(&store, process, at(-1) + grace).await.is_none(), "its worker is at it");
    store.heartbeat(&late.lease, at(0) + grace, LEASE).await.unwrap();
    let again = claim_by(&store, process, at(100) + grace + grace).await.unwrap();
    assert_eq!((again.job.id, again.strikes), (id, 0));
    assert!(!store.is_held(&late.lease).await.unwrap() && other.is_held(&again.lease).await.unwrap());
    assert!(claim_by(&other, ProcessId::new(), at(500) + grace + grace).await.is_some());
}

pub(in crate::store) async fn windows_of_another_fingerprint_are_not_mixed_in([store, other]: Handles) {
    store.insert(new_job(), at(0)).await.unwrap();
    let lease = claim(&store, at(0)).await;
    assert_eq!(store.checkpoint(&lease, "base", at(2)).await.unwrap(), Checkpoint::default());
    store.decide_language(&lease, Language::ENGLISH).await.unwrap();
    store.begin_window(&lease, 1, 30.1, 60.0).await.unwrap();
    store.store_window(&lease, &window(0, " one"), &progress(20), at(0)).await.unwrap();
    store.release(&lease, at(1)).await.unwrap();
    let lease = claim(&other, at(2)).await;
    let expected =
        Checkpoint { windows: HashSet::from([0]), language: Some(Language::ENGLISH), discarded: 0 };
    assert_eq!(other.checkpoint(&lease, "base", at(2)).await.unwrap(), expected);
    let anew = Checkpoint { discarded: 1, ..Checkpoint::default() };
    assert_eq!(other.checkpoint(&lease, "tiny.en", at(2)).await.unwrap(), anew);
    assert_eq!(other.windows(lease.job).await.unwrap(), []);
    let events = other.events(lease.job, 0, 100).await.unwrap();
    let last = &events.last().unwrap().data;
    assert_eq!(*last, serde_json::json!({"status": "processing", "discarded": true}));
    assert_eq!(other.checkpoint(&lease, "tiny.en", at(2)).await.unwrap(), Checkpoint::default());
    store.release(&lease, at(3)).await.unwrap();
    assert_lost(store.checkpoint(&lease, "tiny.en", at(2)).await);
    assert_lost(store.decide_language(&lease, Language::ENGLISH).await);
    assert_lost(store.begin_window(&lease, 0, 0.0, 1.0).await);
}
