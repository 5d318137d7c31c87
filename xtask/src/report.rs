//! The result table, and the totals as the last line for scripts.

use std::process::ExitCode;
use std::time::Duration;

use crate::counts::Counts;
use crate::failures::Failure;

/// One row of the result table.
#[derive(Debug)]
pub(crate) struct Row {
    /// Test layer or guest.
    pub(crate) layer: String,
    /// Test counts.
    pub(crate) counts: Counts,
    /// Duration.
    pub(crate) took: Duration,
    /// Reason for a skip, or error.
    pub(crate) note: Option<String>,
    /// Failed tests.
    pub(crate) failures: Vec<Failure>,
}

impl Row {
    /// A layer that cannot run on this machine.
    pub(crate) fn skipped(layer: &str, reason: String) -> Self {
        let counts = Counts { skipped: 1, ..Counts::default() };
        Self {
            layer: layer.to_owned(),
            counts,
            took: Duration::ZERO,
            note: Some(reason),
            failures: Vec::new(),
        }
    }

    /// A layer that failed before it had test results.
    pub(crate) fn broken(layer: &str, took: Duration, error: &anyhow::Error) -> Self {
        let counts = Counts { failed: 1, ..Counts::default() };
        Self { layer: layer.to_owned(), counts, took, note: Some(format!("{error:#}")), failures: Vec::new() }
    }

    /// Prints the reason for a skip or an error after the output of the layer. The table shows its first line again.
    pub(crate) fn announce(self) -> Self {
        match (&self.note, self.counts) {
            (Some(reason), Counts { failed: 1.., .. }) => println!("FAIL {}: {reason}", self.layer),
            (Some(reason), Counts { passed: 0, .. }) => println!("SKIP {}: {reason}", self.layer),
            _ => {}
        }
        self
    }
}

/// Prints the failures, the table and, as the last line, the totals. Returns failure if any test failed.
pub(crate) fn print(rows: &[Row]) -> ExitCode {
    for Row { layer, failures, .. } in rows {
        for Failure { test, output } in failures {
            println!("\n=== FAILED in {layer}: {test} ===\n{}", output.join("\n"));
        }
    }
    let (table, total) = render(rows);
    print!("\n{table}");
    println!("{total}");
    if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn render(rows: &[Row]) -> (String, Counts) {
    let width = rows.iter().map(|row| row.layer.len()).max().unwrap_or(0).max("layer".len());
    let mut table = format!("{:width$}  passed  failed  skipped  seconds\n", "layer");
    let mut total = Counts::default();
    for Row { layer, counts, took, note, .. } in rows {
        let Counts { passed, failed, skipped } = *counts;
        total.passed += passed;
        total.failed += failed;
        total.skipped += skipped;
        let seconds = took.as_secs();
        table += &format!("{layer:width$}  {passed:6}  {failed:6}  {skipped:7}  {seconds:7}");
        if let Some(first) = note.as_deref().and_then(|note| note.lines().next()) {
            table += &format!("  {first}");
        }
        table.push('\n');
    }
    (table, total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_the_sum_of_the_layers_and_notes_take_one_line_each() {
        let counts = Counts { passed: 12, failed: 0, skipped: 3 };
        let rows = [
            Row {
                layer: "unit".into(),
                counts,
                took: Duration::from_millis(2900),
                note: None,
                failures: Vec::new(),
            },
            Row::skipped("host", "not root\ntype sudo".into()),
        ];
        let (table, total) = render(&rows);
        assert_eq!(
            table,
            "\
layer  passed  failed  skipped  seconds
unit       12       0        3        2
host        0       0        1        0  not root
"
        );
        assert_eq!(total.to_string(), "12 passed, 0 failed, 4 skipped");
    }

    #[test]
    fn a_broken_layer_fails_the_run_and_a_skipped_layer_does_not() {
        let broken = Row::broken("vm 6.1", Duration::ZERO, &anyhow::anyhow!("no test result"));
        assert_eq!(print(&[broken]), ExitCode::FAILURE);
        assert_eq!(print(&[Row::skipped("vm 6.1", "no mirror".into())]), ExitCode::SUCCESS);
    }
}
