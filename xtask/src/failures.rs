//! The tests that failed and what they said, gathered from what Rust's test harness prints, to be said again at the end: a
//! whole run is thousands of lines, and who reads it, or keeps a part of it, looks at the last ones. What passed and still
//! printed something is not worth a line, unless it is why it was skipped.

/// Most lines of one failure that are kept: the panic's message comes first, and then its backtrace.
const LINES_MAX: usize = 25;
/// Most failures that are kept.
const FAILURES_MAX: usize = 20;

/// A test that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Its name.
    pub(crate) test: String,
    /// What it printed, the first lines of it.
    pub(crate) output: Vec<String>,
}

/// Failures in the making.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    failures: Vec<Failure>,
    /// Where in the output of a test binary the lines are.
    section: Section,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Section {
    /// Anywhere else.
    #[default]
    Elsewhere,
    /// After `successes:`, the same of those that passed.
    Successes,
    /// After `failures:`, where what they printed comes first and then a list of their names.
    Failures,
    /// In what one of them printed.
    Output,
}

impl Reader {
    /// Takes one line of output into account; false if it is not worth showing.
    pub(crate) fn line(&mut self, line: &str) -> bool {
        if line == "failures:" {
            self.section = Section::Failures;
        } else if line == "successes:" {
            self.section = Section::Successes;
        } else if line.starts_with("test result: ") {
            self.section = Section::Elsewhere;
        } else if matches!(self.section, Section::Elsewhere | Section::Successes) {
            // Whatever it looks like.
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

    /// What was found.
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
    fn failed_tests_are_kept_with_what_they_said_and_others_are_not() {
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
    fn neither_one_that_says_much_nor_many_take_the_whole_end() {
        let mut reader = Reader::default();
        reader.line("failures:");
        for number in 0..100 {
            reader.line(&format!("---- test_{number} stdout ----"));
            for _ in 0..100 {
                reader.line("and on it goes");
            }
        }
        let failures = reader.end();
        assert_eq!((failures.len(), failures[0].output.len()), (FAILURES_MAX, LINES_MAX));
    }
}
