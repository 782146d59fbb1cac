//! A queue of requests that takes jobs in turn, so that a long recording does not delay a short one.

use std::collections::VecDeque;

use super::Request;
use crate::jobs::JobId;

/// A queue with one lane of requests for each job. The lane of the next job is in front.
#[derive(Debug)]
pub(super) struct FairQueue<T = Request> {
    lanes: VecDeque<(JobId, VecDeque<T>)>,
    len: usize,
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self { lanes: VecDeque::new(), len: 0 }
    }
}

impl<T> FairQueue<T> {
    /// Appends a request to the lane of its job.
    pub(super) fn push(&mut self, job: JobId, request: T) {
        self.len += 1;
        match self.lanes.iter_mut().find(|(owner, _)| *owner == job) {
            Some((_, lane)) => lane.push_back(request),
            None => self.lanes.push_back((job, VecDeque::from([request]))),
        }
    }

    /// Takes the next request among jobs that are `wanted`. These take turns.
    pub(super) fn pop_if(&mut self, wanted: impl Fn(JobId) -> bool) -> Option<T> {
        let position = self.lanes.iter().position(|(job, _)| wanted(*job))?;
        let (job, mut lane) = self.lanes.remove(position)?;
        let request = lane.pop_front()?;
        self.len -= 1;
        if !lane.is_empty() {
            self.lanes.push_back((job, lane));
        }
        Some(request)
    }

    /// Removes the requests for which `keep` is false.
    pub(super) fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        for (_, lane) in &mut self.lanes {
            lane.retain(&keep);
        }
        self.lanes.retain(|(_, lane)| !lane.is_empty());
        self.len = self.lanes.iter().map(|(_, lane)| lane.len()).sum();
    }

    /// Takes all requests out.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = T> + use<T> {
        std::mem::take(self).lanes.into_iter().flat_map(|(_, lane)| lane)
    }

    /// The number of requests.
    pub(super) fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_take_turns_and_each_keeps_its_order() {
        let (long, short, late) = (JobId::new(), JobId::new(), JobId::new());
        let mut queue = FairQueue::default();
        for request in ["long 1", "long 2", "long 3", "long 4"] {
            queue.push(long, request);
        }
        queue.push(short, "short 1");
        queue.push(short, "short 2");
        let mut taken = vec![queue.pop_if(|_| true).unwrap()];
        queue.push(late, "late 1");
        taken.extend(std::iter::from_fn(|| queue.pop_if(|_| true)));
        assert_eq!(taken, ["long 1", "short 1", "long 2", "late 1", "short 2", "long 3", "long 4"]);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn removed_requests_do_not_change_the_order_of_the_rest() {
        let (long, short) = (JobId::new(), JobId::new());
        let mut queue = FairQueue::default();
        for (job, request) in [(long, "long 1"), (long, "long 2"), (short, "short 1"), (long, "long 3")] {
            queue.push(job, request);
        }
        queue.retain(|request| !["short 1", "long 2"].contains(request));
        assert_eq!(queue.len(), 2);
        assert_eq!(queue.pop_if(|job| job == short), None);
        assert_eq!(queue.drain().collect::<Vec<_>>(), ["long 1", "long 3"]);
        assert_eq!((queue.len(), queue.pop_if(|_| true)), (0, None));
    }

    #[test]
    fn a_wanted_job_is_taken_before_its_turn_and_keeps_its_order() {
        let (long, short) = (JobId::new(), JobId::new());
        let mut queue = FairQueue::default();
        for (job, request) in [(long, "long 1"), (long, "long 2"), (short, "short 1"), (short, "short 2")] {
            queue.push(job, request);
        }
        assert_eq!(queue.pop_if(|job| job == short), Some("short 1"));
        assert_eq!(queue.pop_if(|job| job == short), Some("short 2"));
        assert_eq!(queue.pop_if(|job| job == short), None);
        assert_eq!(std::iter::from_fn(|| queue.pop_if(|_| true)).collect::<Vec<_>>(), ["long 1", "long 2"]);
    }
}
