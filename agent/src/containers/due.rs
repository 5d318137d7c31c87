//! When which container is to be asked about: each is in it once, and asked about a moment after what happened to it.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// How long a question waits: a container that ends or is removed meanwhile needs none, and one that is started again and
/// again is asked about at this pace at most.
const SETTLE: Duration = Duration::from_millis(300);
/// How long after an answer that did not tell yet what is waited for.
const AGAIN: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(10)];

/// A question about one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) id: String,
    /// What is waited for is how it ended, not only that it runs.
    pub(super) of_end: bool,
    /// How often it was asked without learning that.
    tries: usize,
}

/// The questions, the next first. As many as there are containers that are known at most.
#[derive(Default)]
pub(super) struct Due(VecDeque<(Instant, Question)>);

impl Due {
    /// Questions to be asked at once.
    pub(super) fn now(ids: impl IntoIterator<Item = String>) -> Self {
        let now = Instant::now();
        Self(ids.into_iter().map(|id| (now, Question { id, of_end: false, tries: 0 })).collect())
    }

    /// To be asked when what has just happened to it has settled.
    pub(super) fn soon(&mut self, id: String, of_end: bool) {
        if let Some((_, waiting)) = self.0.iter_mut().find(|(_, waiting)| waiting.id == id) {
            waiting.of_end |= of_end;
        } else {
            self.enter(Instant::now() + SETTLE, Question { id, of_end, tries: 0 });
        }
    }

    /// To be asked once more, unless it was asked often enough.
    pub(super) fn again(&mut self, question: Question) {
        let waits = self.0.iter().any(|(_, waiting)| waiting.id == question.id);
        if let Some(pause) = AGAIN.get(question.tries).filter(|_| !waits) {
            let tries = question.tries + 1;
            self.enter(Instant::now() + *pause, Question { tries, ..question });
        }
    }

    fn enter(&mut self, at: Instant, question: Question) {
        let place = self.0.partition_point(|(before, _)| *before <= at);
        self.0.insert(place, (at, question));
    }

    /// When the next one is due.
    pub(super) fn at(&self) -> Option<Instant> {
        self.0.front().map(|(at, _)| *at)
    }

    /// The next one, if it is due.
    pub(super) fn next(&mut self) -> Option<Question> {
        self.0.pop_front_if(|(at, _)| *at <= Instant::now()).map(|(_, question)| question)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokio_time(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test);
    }

    #[test]
    fn a_container_is_asked_about_once_however_much_happens_to_it() {
        tokio_time(async {
            let mut due = Due::default();
            for _ in 0..100 {
                due.soon("a".into(), false);
            }
            due.soon("a".into(), true);
            assert_eq!(due.next(), None, "not at once");
            tokio::time::sleep_until(due.at().unwrap()).await;
            let question = due.next().unwrap();
            assert!(question.of_end, "that it ended is asked, too");
            assert_eq!((due.next(), due.at()), (None, None));
        });
    }

    #[test]
    fn what_was_not_learned_is_asked_twice_more_and_later_each_time() {
        tokio_time(async {
            let mut due = Due::now(["a".to_owned()]);
            let mut question = due.next().unwrap();
            let mut pauses = Vec::new();
            loop {
                let asked = Instant::now();
                due.again(question.clone());
                due.again(question.clone());
                let Some((at, waiting)) = due.0.pop_front() else { break };
                pauses.push((at - asked).as_secs());
                question = waiting;
            }
            assert_eq!(pauses, [2, 10]);
        });
    }

    #[test]
    fn the_next_question_comes_first() {
        tokio_time(async {
            let mut due = Due::now(["late".to_owned()]);
            let late = due.next().unwrap();
            due.again(late);
            due.soon("early".into(), false);
            assert_eq!(
                due.0.iter().map(|(_, question)| question.id.as_str()).collect::<Vec<_>>(),
                ["early", "late"]
            );
        });
    }
}
