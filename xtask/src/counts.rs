//! Test counts from the output of Rust's test harness.
//!
//! A test that cannot run prints `SKIP ` with a reason and returns. The harness counts it as passed; here it counts as
//! skipped. The guest's init includes this file, so that counts of guests and of the host have the same meaning.

use std::fmt;

/// Numbers of tests by result.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Ran successfully.
    pub(crate) passed: u32,
    /// Failed or crashed.
    pub(crate) failed: u32,
    /// Skipped with a reason, or marked `#[ignore]`.
    pub(crate) skipped: u32,
}

/// Computes [`Counts`] from output lines.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// Counts of the harness.
    harness: Counts,
    /// Tests that printed a `SKIP ` line.
    skips: u32,
}

impl Reader {
    /// Processes one line of output.
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
            // The second form: the test bypasses the harness's capture, which has already printed the test's name.
            self.skips += 1;
        }
    }

    /// The counts after the run. If the run failed without a failed test, it counts as one failure: the build failed or
    /// the test binary crashed.
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
    fn a_test_that_prints_skip_is_counted_as_skipped() {
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
    fn a_failed_build_or_a_crash_is_a_failure() {
        assert_eq!(read("error: could not compile", false), "0 passed, 1 failed, 0 skipped");
        assert_eq!(read("test a ... ", false), "0 passed, 1 failed, 0 skipped");
    }
}
