//! Notices that a job stopped which was started on FaceFusion's Gradio page. Pure.
//!
//! On the page, a job of FaceFusion runs within a job of Gradio. If it stops with an exception, FaceFusion leaves its file in the
//! queue as if it were running, and the job of Gradio ends with an error. A page without jobs is not enough: if a client closes
//! its browser, its job of Gradio is over, but FaceFusion continues.

use super::reading::{Noted, PageJobs};

/// Number of ticks without a job of Gradio. A job of FaceFusion that failed has moved its file by then.
const IDLE_TICKS: u64 = 2;

/// The jobs of Gradio since a job of FaceFusion started.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// Errors until then.
    errors: u64,
    /// The tick that was looked at last.
    ticks: u64,
    idle_ticks: u64,
}

impl Page {
    /// A job of FaceFusion starts.
    pub(super) fn new(noted: Noted) -> Self {
        let errors = noted.signs.page.map_or(0, |page| page.errors);
        Self { errors, ticks: noted.ticks, idle_ticks: 0 }
    }

    /// Returns true once if a job of Gradio has ended with an error, and none is left.
    pub(super) fn has_failed(&mut self, noted: Noted) -> bool {
        if noted.ticks == self.ticks {
            return false;
        }
        self.ticks = noted.ticks;
        match noted.signs.page {
            Some(PageJobs { in_flight: 0, errors }) if errors > self.errors => self.idle_ticks += 1,
            _ => self.idle_ticks = 0,
        }
        let has_failed = self.idle_ticks >= IDLE_TICKS;
        if has_failed {
            *self = Self::new(noted);
        }
        has_failed
    }
}

#[cfg(test)]
mod tests {
    use super::{super::reading::Signs, *};

    #[test]
    fn an_error_is_reported_once_when_no_job_is_left() {
        let noted = |ticks, in_flight, errors| Noted {
            signs: Signs { page: Some(PageJobs { in_flight, errors }), ..Signs::default() },
            ticks,
            ..Noted::default()
        };
        let mut page = Page::new(noted(1, 1, 3));
        let looks = [
            (noted(2, 1, 3), false),
            // A client has closed its browser.
            (noted(3, 0, 3), false),
            (noted(4, 0, 3), false),
            (noted(5, 1, 4), false),
            (noted(6, 0, 4), false),
            (noted(6, 0, 4), false),
            (noted(7, 0, 4), true),
            (noted(8, 0, 4), false),
            (noted(9, 0, 4), false),
            (Noted { ticks: 10, ..Noted::default() }, false),
        ];
        for (noted, expected) in looks {
            assert_eq!(page.has_failed(noted), expected, "{noted:?}");
        }
    }
}
