//! Failed tests and their output, extracted from the output of Rust's test harness.
//!
//! They are printed again at the end of a run, because a run prints thousands of lines and readers (and truncated CI logs)
//! show the last ones. Output of passed tests is hidden, except for `SKIP ` lines.

/// Maximum lines kept per failure. The panic message comes before the backtrace.
const LINES_MAX: usize = 25;
/// Maximum number of failures kept.
const FAILURES_MAX: usize = 20;

/// A failed test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Name of the test.
    pub(crate) test: String,
    /// First lines of its output.
    pub(crate) output: Vec<String>,
}

/// Collects failures from output lines.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    failures: Vec<Failure>,
    /// Current section of the harness's output.
    section: Section,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Section {
    /// Outside the other sections.
    #[default]
    Elsewhere,
    /// After `successes:`: output and names of passed tests.
    Successes,
    /// After `failures:`: output of failed tests, then their names.
    Failures,
    /// In the output of a failed test.
    Output,
}

impl Reader {
    /// Processes one line of output. Returns false if the line should be hidden.
    pub(crate) fn line(&mut self, line: &str) -> bool {
        if line == "failures:" {
            self.section = Section::Failures;
        } else if line == "successes:" {
            self.section = Section::Successes;
        } else if line.starts_with("test result: ") {
            self.section = Section::Elsewhere;
        } else if matches!(self.section, Section::Elsewhere | Section::Successes) {
            // Output of a passed test may look like a heading.
        } else if let Some(test) = line.strip_prefix("---- ").and_then(|rest| rest.split(' ').next()) {
            self.section = Section::Output;
            self.add(test);
        } else if let Some(test) = line.strip_prefix("    ").filter(|_| self.section == Section::Failures) {
            self.add(test);
        } else if let Some(failure) = self.failures.last_mut().filter(|_| self.section == Section::Output)
            && failure.output.len() < LINES_MAX
            && !(line.is_empty() && failure.output.is_empty())
        {
            failure.output.push(line.to_owned());
        }
        self.section != Section::Successes || line.starts_with("SKIP ")
    }

    fn add(&mut self, test: &str) {
        if self.failures.len() < FAILURES_MAX && self.failures.iter().all(|failure| failure.test != test) {
            self.failures.push(Failure { test: test.to_owned(), output: Vec::new() });
        }
    }

    /// The failures.
    pub(crate) fn end(mut self) -> Vec<Failure> {
        for failure in &mut self.failures {
            while failure.output.last().is_some_and(String::is_empty) {
                failure.output.pop();
            }
        }
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_tests_are_kept_with_their_output_and_passed_tests_are_not() {
        let output = "\
running 3 tests
test a ... ok
test b::c ... FAILED
test silent ... FAILED

successes:

---- a stdout ----
SKIP a: there is no reason
failed to do something, and went on
    indented

successes:
    a

failures:

---- b::c stdout ----

thread 'b::c' panicked at tests/b.rs:1:1:
    assertion failed

failures:
    b::c
    silent

test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
    afterwards
";
        let mut reader = Reader::default();
        let shown: Vec<_> = output.lines().filter(|line| reader.line(line)).collect();
        assert!(shown.contains(&"SKIP a: there is no reason") && shown.contains(&"    assertion failed"));
        assert!(!shown.contains(&"failed to do something, and went on"), "{shown:?}");
        let output = ["thread 'b::c' panicked at tests/b.rs:1:1:", "    assertion failed"];
        let expected = [
            Failure { test: "b::c".into(), output: output.map(str::to_owned).to_vec() },
            Failure { test: "silent".into(), output: Vec::new() },
        ];
        assert_eq!(reader.end(), expected);
    }

    #[test]
    fn the_output_per_failure_and_the_number_of_failures_are_limited() {
        let mut reader = Reader::default();
        reader.line("failures:");
        for number in 0..100 {
            reader.line(&format!("---- test_{number} stdout ----"));
            for _ in 0..100 {
                reader.line("one more line");
            }
        }
        let failures = reader.end();
        assert_eq!((failures.len(), failures[0].output.len()), (FAILURES_MAX, LINES_MAX));
    }
}
