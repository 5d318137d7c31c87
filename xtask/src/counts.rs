//! Counts of a test run, read from what Rust's test harness prints.
//!
//! A test that cannot run where it is prints a line that starts with `SKIP ` and its reason, and ends; the harness
//! counts it as passed, so here it moves from the passed to the skipped. The guest's init includes this very
//! file, so that the counts of a guest and of this host mean the same.

use std::fmt;

/// How many tests passed, failed and were skipped.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Ran and held.
    pub(crate) passed: u32,
    /// Ran and did not hold, or came to no orderly end.
    pub(crate) failed: u32,
    /// Did not run, with a reason, or marked `#[ignore]`.
    pub(crate) skipped: u32,
}

/// A [`Counts`] in the making.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// What the harness counted.
    harness: Counts,
    /// Tests that said they skip.
    skips: u32,
}

impl Reader {
    /// Takes one line of output into account.
    pub(crate) fn line(&mut self, line: &str) {
        if let Some(counts) = line.trim_start().strip_prefix("test result: ") {
            for count in counts.split([';', '.']) {
                let words: Vec<&str> = count.split_whitespace().collect();
                if let [number, what] = words[..] {
                    let number = number.parse().unwrap_or(0);
                    match what {
                        "passed" => self.harness.passed += number,
                        "failed" => self.harness.failed += number,
                        "ignored" => self.harness.skipped += number,
                        _ => {}
                    }
                }
            }
        } else if line.starts_with("SKIP ") || (line.starts_with("test ") && line.contains(" ... SKIP ")) {
            // The second form is what a test writes past the harness, which had printed the test's name.
            self.skips += 1;
        }
    }

    /// The counts, once the run has ended. A run that failed without a failed test is itself a failure: it did
    /// not build, or died on the way.
    pub(crate) fn end(self, success: bool) -> Counts {
        let Counts { passed, failed, skipped } = self.harness;
        let moved = self.skips.min(passed);
        let died = u32::from(!success && failed == 0);
        Counts { passed: passed - moved, failed: failed + died, skipped: skipped + moved }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(output: &str, success: bool) -> String {
        let mut reader = Reader::default();
        output.lines().for_each(|line| reader.line(line));
        reader.end(success).to_string()
    }

    #[test]
    fn counts_of_several_binaries_add_up() {
        let output = "\
running 2 tests
test a ... ok
test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s

test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 4 filtered out; finished in 1.25s
";
        assert_eq!(read(output, false), "5 passed, 1 failed, 1 skipped");
    }

    #[test]
    fn a_test_that_says_it_skips_is_not_counted_as_passed() {
        let output = "\
test captured ... ok
---- captured stdout ----
SKIP captured: no docker
test uncaptured ... SKIP uncaptured: no docker
ok
a line about SKIP counts for nothing
test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
";
        assert_eq!(read(output, true), "1 passed, 0 failed, 2 skipped");
    }

    #[test]
    fn a_run_that_does_not_build_or_dies_is_a_failure() {
        assert_eq!(read("error: could not compile", false), "0 passed, 1 failed, 0 skipped");
        assert_eq!(read("test a ... ", false), "0 passed, 1 failed, 0 skipped");
    }
}
