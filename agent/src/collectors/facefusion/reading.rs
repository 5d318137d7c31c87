//! Data that the thread and the tick exchange.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    failures::Failures,
    subject::{Signs, Subject},
};
use crate::{collectors::shared, snapshot::facefusion::FaceFusion};

/// The result of one look at all containers.
#[derive(Debug)]
pub(super) struct Reading {
    /// When it was published.
    pub(super) taken: Instant,
    /// The containers with FaceFusion, by their keys.
    pub(super) containers: Arc<HashMap<u64, Found>>,
    /// Why jobs of a container are not counted.
    pub(super) limitation: Option<String>,
}

/// What is known of a container with FaceFusion.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// What the snapshot shows.
    pub(super) shown: FaceFusion,
    /// Reasons that are not decided yet, and what those of the running jobs depend on.
    pub(super) failures: Failures,
}

impl Found {
    /// What the snapshot shows after the container has ended, with its last signs: reasons are decided, and no job is running.
    fn at_end(&self, signs: Signs) -> FaceFusion {
        let mut ended = self.shown.clone();
        self.failures.decide_at_end(ended.running, signs, &mut ended.counters);
        ended.stopped = ended.stopped.saturating_add(ended.running);
        FaceFusion { running: 0, current: None, ..ended }
    }
}

impl Reading {
    /// The thread hangs if it has published no reading for this long: twice as long as it rests at most.
    const HANGING: Duration = Duration::from_secs(30);

    /// Whether the thread hangs in a file system of a container.
    pub(super) fn hangs(&self) -> bool {
        self.taken.elapsed() >= Self::HANGING
    }

    /// What is known of the container with this key. What the running job does is unknown if the thread hangs.
    pub(super) fn of(&self, key: u64) -> Option<FaceFusion> {
        let mut found = self.containers.get(&key)?.shown.clone();
        found.current = found.current.filter(|_| !self.hangs());
        Some(found)
    }

    /// The same for a container that has ended, with its last signs.
    pub(super) fn at_end(&self, key: u64, signs: Signs) -> Option<FaceFusion> {
        self.containers.get(&key).map(|found| found.at_end(signs))
    }
}

/// Containers by their keys.
pub(super) type Subjects = shared::Subjects<Subject>;

/// State shared by the tick and the thread.
pub(super) type Shared = shared::Shared<Subject, Reading>;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::snapshot::facefusion::{FailureReason, Phase, Running};

    #[test]
    fn while_the_thread_hangs_jobs_stay_and_the_running_one_has_no_speed() {
        let current = Running {
            phase: Phase::Process,
            elapsed: Duration::from_secs(1),
            frames_per_second: Some(20.0),
            progress_ratio: Some(0.5),
            video: None,
        };
        let shown = FaceFusion { running: 1, current: Some(current), ..FaceFusion::default() };
        let found = Found { shown, failures: Failures::default() };
        let mut reading = Reading {
            taken: Instant::now(),
            containers: Arc::new(HashMap::from([(1, found)])),
            limitation: None,
        };
        let seen = |reading: &Reading| reading.of(1).map(|found| (found.running, found.current.is_some()));
        assert_eq!((reading.hangs(), seen(&reading)), (false, Some((1, true))));
        reading.taken = Instant::now().checked_sub(Reading::HANGING).expect("the host is older");
        assert_eq!((reading.hangs(), seen(&reading)), (true, Some((1, false))));
    }

    #[test]
    fn jobs_end_with_their_container() {
        let mut shown = FaceFusion { queued: 1, running: 2, ..FaceFusion::default() };
        shown.counters.failed[FailureReason::Unknown as usize] = 1;
        let subject = Subject::new("a".into(), "/a".into(), false);
        subject.note(Signs { refused: 3, ..Signs::default() }, None);
        let mut failures = Failures::default();
        failures.follow(&HashSet::from([7, 8]), &subject);
        let found = Found { shown, failures };
        let reading = Reading {
            taken: Instant::now(),
            containers: Arc::new(HashMap::from([(1, found)])),
            limitation: None,
        };
        let at_end = |refused| reading.at_end(1, Signs { refused, ..Signs::default() }).unwrap();
        let ended = at_end(3);
        assert_eq!((ended.counters.failed, ended.counters.abandoned), ([0, 0, 0, 1], [0, 0, 0, 2]));
        assert_eq!((ended.queued, ended.running, ended.stopped, ended.current), (1, 0, 2, None));
        assert_eq!(reading.of(1).unwrap().counters.abandoned, [0; 4], "they run while it lives");
        assert_eq!(at_end(4).counters.abandoned, [0, 2, 0, 0]);
        assert_eq!(reading.at_end(2, Signs::default()), None);
    }
}
