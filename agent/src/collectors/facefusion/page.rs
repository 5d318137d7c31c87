//! Notices that a job stopped which was started on FaceFusion's Gradio page. Pure.
//!
//! On the page, a job of FaceFusion runs within a job of Gradio. If it stops with an exception, FaceFusion leaves its file in the
//! queue as if it were running, and the job of Gradio ends with an error. A page without jobs is not enough: if a client closes
//! its browser, its job of Gradio is over, but FaceFusion continues. An error is not enough either: the page has other
//! functions, which may fail while the job runs.

use super::subject::{Noted, PageJobs};

/// Number of ticks without a job of Gradio. A job of FaceFusion that failed has moved its file by then.
const IDLE_TICKS: u64 = 2;

/// The jobs of Gradio since a job of FaceFusion started.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// The tick that was looked at last.
    ticks: u64,
    /// The errors at the last two ticks with jobs of Gradio, the older ones first; `None` if there was none.
    errors: Option<[u64; 2]>,
    /// Ticks without jobs since a tick that counted an error and the end of the last job.
    idle_ticks: Option<u64>,
}

impl Page {
    /// A job of FaceFusion starts.
    pub(super) fn new(noted: Noted) -> Self {
        Self { ticks: noted.ticks, errors: None, idle_ticks: None }
    }

    /// Returns true once if the last job of Gradio has ended with an error.
    pub(super) fn has_failed(&mut self, noted: Noted) -> bool {
        if noted.ticks == self.ticks {
            return false;
        }
        self.ticks = noted.ticks;
        let Some(PageJobs { in_flight, errors }) = noted.signs.page else { return false };
        if in_flight > 0 {
            let last = self.errors.map_or(errors, |[_, last]| last);
            (self.errors, self.idle_ticks) = (Some([last, errors]), None);
        } else if let Some([before, _]) = self.errors.take() {
            // The error may have been counted one tick before the end of the last job.
            self.idle_ticks = (errors > before).then_some(1);
        } else if let Some(ticks) = &mut self.idle_ticks {
            *ticks += 1;
        }
        self.idle_ticks.take_if(|ticks| *ticks >= IDLE_TICKS).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::subject::Signs, *};

    /// Whether a failure is reported after each tick with these jobs in flight and errors.
    fn reports(ticks: &[(u64, u64)]) -> Vec<bool> {
        let noted = |ticks, in_flight, errors| Noted {
            signs: Signs { page: Some(PageJobs { in_flight, errors }), ..Signs::default() },
            ticks,
            ..Noted::default()
        };
        let mut page = Page::new(noted(0, 0, 3));
        let report = |(tick, (in_flight, errors)): (u64, &(u64, u64))| {
            let noted = noted(tick, *in_flight, *errors);
            let has_failed = page.has_failed(noted);
            assert!(!page.has_failed(noted), "the same tick");
            has_failed
        };
        (1..).zip(ticks).map(report).collect()
    }

    #[test]
    fn an_error_at_the_end_of_the_last_job_is_reported_once() {
        assert_eq!(reports(&[(1, 3), (1, 3), (0, 4), (0, 4), (0, 4)]), [false, false, false, true, false]);
        assert_eq!(reports(&[(2, 3), (1, 4), (0, 4), (0, 4)]), [false, false, false, true], "a tick before");
        assert_eq!(reports(&[(1, 3), (0, 4), (1, 4), (0, 4), (0, 4)]), [false; 5], "the next job follows");
    }

    #[test]
    fn a_closed_browser_and_errors_of_other_functions_are_no_failure() {
        assert_eq!(reports(&[(1, 3), (0, 3), (0, 3)]), [false; 3], "no error");
        assert_eq!(reports(&[(2, 3), (1, 4), (1, 4), (1, 4), (0, 4), (0, 4)]), [false; 6], "long before");
        assert_eq!(reports(&[(0, 3), (0, 4), (0, 4)]), [false; 3], "no job was seen");
        let mut page = Page::default();
        assert!(!page.has_failed(Noted { ticks: 1, ..Noted::default() }), "jobs are not followed");
    }
}
