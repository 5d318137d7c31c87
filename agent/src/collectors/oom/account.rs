//! Joins two counts: the kills that the kernel program marked in a container's slot, and those in its file.
//!
//! - The first reading shows how many kills in the file were never marked, because they happened before the agent
//!   started. This difference is kept, and the marks add to it.
//! - Every marked kill is in a file that is read after the slot, so a file that counts nested cgroups is correct while
//!   it can be read. If it has fewer kills than were marked, the kernel marked a process that was dying anyway, and the
//!   difference shrinks.
//! - A v1 file excludes nested cgroups, so there may correctly be more marks than kills in the file, and the greater
//!   count is right.
//! - After the file is removed, only the marks increase.

/// Kills of one container.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// The file's count less the marks.
    unmarked: Option<i64>,
    kills: Option<u64>,
}

impl Account {
    /// Adds a reading of the slot and, after it, of the file. Returns true if there was a kill since the last reading.
    /// Kills that were in the file before the first reading are old.
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

    /// Kills so far; `None` if there is no count.
    pub(super) fn kills(&self) -> Option<u64> {
        self.kills
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Readings of slot and file, the kills after each, and whether there was a new kill.
    type Reading = (Option<u64>, Option<u64>, Option<u64>, bool);

    fn account(file_counts_nested: bool, readings: &[Reading]) {
        let mut account = Account::default();
        for (number, &(marked, in_file, kills, is_new)) in readings.iter().enumerate() {
            let new_kill = account.settle(marked, in_file, file_counts_nested);
            assert_eq!((account.kills(), new_kill), (kills, is_new), "reading {number} of {readings:?}");
        }
    }

    #[test]
    fn a_kill_that_ends_the_container_is_counted_by_its_mark() {
        for nested in [false, true] {
            account(nested, &[(Some(0), Some(0), Some(0), false), (Some(1), None, Some(1), true)]);
        }
    }

    #[test]
    fn a_kill_in_both_sources_is_counted_once() {
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
    fn kills_before_the_agents_start_are_only_in_the_file() {
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
    fn kills_before_the_first_reading_are_new_if_they_were_marked() {
        account(false, &[(Some(1), Some(1), Some(1), true)]);
        account(true, &[(Some(1), None, Some(1), true), (Some(1), None, Some(1), false)]);
    }

    #[test]
    fn nested_kills_that_a_v1_file_leaves_out_are_counted() {
        account(false, &[(Some(0), Some(0), Some(0), false), (Some(1), Some(0), Some(1), true)]);
    }

    #[test]
    fn a_marked_process_that_was_dying_anyway_is_not_a_kill_if_the_file_is_readable() {
        let readings = [
            (Some(0), Some(0), Some(0), false),
            (Some(1), Some(0), Some(0), false),
            (Some(2), Some(1), Some(1), true),
            (Some(3), None, Some(2), true),
        ];
        account(true, &readings);
    }

    #[test]
    fn without_a_slot_the_file_is_used_and_without_both_the_count_is_unknown() {
        let readings =
            [(None, Some(2), Some(2), false), (None, Some(3), Some(3), true), (None, None, Some(3), false)];
        account(true, &readings);
        account(false, &[(None, None, None, false), (None, None, None, false)]);
    }
}
