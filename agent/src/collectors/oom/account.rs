//! One number from two: the kills that the kernel program marked in a container's slot, and those in its file.
//!
//! - The first reading says how many kills the file has that were never marked, being from before the agent. That
//!   difference stays, and the marks grow beyond it.
//! - Every marked kill is in a file that is read after the slot, so a file that counts nested cgroups is right while it
//!   can be read. Where it has fewer, the kernel marked a process that was dying anyway: the difference shrinks.
//! - A v1 file knows nothing of nested cgroups, so there the marks may rightly be more, and the greater is right.
//! - When the file is gone, only the marks grow.

/// What is known of one container's kills.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// The file's count less the marks.
    unmarked: Option<i64>,
    kills: Option<u64>,
}

impl Account {
    /// Takes in a reading of the slot, and after it of the file. True where there was a kill since the last one; what
    /// the file held before the first is from another time.
    pub(super) fn settle(
        &mut self,
        marked: Option<u64>,
        in_file: Option<u64>,
        file_counts_nested: bool,
    ) -> bool {
        let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let marks = marked.map_or(0, signed);
        let file = in_file.map(signed);
        let is_first = self.unmarked.is_none();
        let mut unmarked = self.unmarked.unwrap_or_else(|| (file.unwrap_or(0) - marks).max(0));
        if let Some(file) = file.filter(|_| file_counts_nested && marked.is_some()) {
            unmarked = unmarked.min(file - marks);
        }
        self.unmarked = Some(unmarked);
        let by_marks = marked.map(|_| unmarked.saturating_add(marks));
        let Some(now) = by_marks.max(file).and_then(|kills| u64::try_from(kills).ok()) else {
            return false;
        };
        let before = if is_first { now.saturating_sub(marked.unwrap_or(0)) } else { self.kills.unwrap_or(0) };
        self.kills = self.kills.max(Some(now));
        now > before
    }

    /// Kills so far; `None` where nothing tells.
    pub(super) fn kills(&self) -> Option<u64> {
        self.kills
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Readings of slot and file, what is known after each, and whether that is news.
    type Reading = (Option<u64>, Option<u64>, Option<u64>, bool);

    fn account(file_counts_nested: bool, readings: &[Reading]) {
        let mut account = Account::default();
        for (number, &(marked, in_file, kills, news)) in readings.iter().enumerate() {
            let told = account.settle(marked, in_file, file_counts_nested);
            assert_eq!((account.kills(), told), (kills, news), "reading {number} of {readings:?}");
        }
    }

    #[test]
    fn a_kill_that_takes_the_cgroup_with_it_is_counted_by_its_mark() {
        for nested in [false, true] {
            account(nested, &[(Some(0), Some(0), Some(0), false), (Some(1), None, Some(1), true)]);
        }
    }

    #[test]
    fn a_kill_that_both_tell_of_is_counted_once() {
        for nested in [false, true] {
            let readings = [
                (Some(0), Some(0), Some(0), false),
                (Some(1), Some(1), Some(1), true),
                (Some(1), Some(2), Some(2), true),
                (Some(2), Some(2), Some(2), false),
                (Some(3), None, Some(3), true),
            ];
            account(nested, &readings);
        }
    }

    #[test]
    fn kills_from_before_the_agent_are_in_the_file_alone() {
        for nested in [false, true] {
            let readings = [
                (Some(0), Some(5), Some(5), false),
                (Some(1), Some(6), Some(6), true),
                (Some(2), None, Some(7), true),
            ];
            account(nested, &readings);
        }
    }

    #[test]
    fn kills_before_the_first_reading_are_news_where_they_were_marked() {
        account(false, &[(Some(1), Some(1), Some(1), true)]);
        account(true, &[(Some(1), None, Some(1), true), (Some(1), None, Some(1), false)]);
    }

    #[test]
    fn nested_kills_that_a_v1_file_leaves_out_are_counted() {
        account(false, &[(Some(0), Some(0), Some(0), false), (Some(1), Some(0), Some(1), true)]);
    }

    #[test]
    fn a_process_that_was_dying_anyway_is_no_kill_where_the_file_tells() {
        let readings = [
            (Some(0), Some(0), Some(0), false),
            (Some(1), Some(0), Some(0), false),
            (Some(2), Some(1), Some(1), true),
            (Some(3), None, Some(2), true),
        ];
        account(true, &readings);
    }

    #[test]
    fn without_a_slot_the_file_alone_counts_and_without_both_nothing_is_known() {
        let readings =
            [(None, Some(2), Some(2), false), (None, Some(3), Some(3), true), (None, None, Some(3), false)];
        account(true, &readings);
        account(false, &[(None, None, None, false), (None, None, None, false)]);
    }
}
