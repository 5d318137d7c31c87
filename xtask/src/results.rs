//! Rows of the result table in a file, so that `cargo xtask test` gets them from guests that run in the background. One JSON
//! object per line.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::counts::Counts;
use crate::failures::Failure;
use crate::report::Row;

/// Writes the rows.
pub(crate) fn write(rows: &[Row], file: &Path) -> anyhow::Result<()> {
    let lines: String = rows.iter().map(|row| format!("{}\n", object(row))).collect();
    fs::write(file, lines).with_context(|| format!("write {}", file.display()))
}

/// Reads the rows.
pub(crate) fn read(file: &Path) -> anyhow::Result<Vec<Row>> {
    let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let rows = text.lines().map(|line| row(line).with_context(|| format!("{}: {line}", file.display())));
    rows.collect()
}

fn object(row: &Row) -> Value {
    let Row { layer, counts: Counts { passed, failed, skipped }, took, note, failures } = row;
    let failures: Vec<_> =
        failures.iter().map(|Failure { test, output }| json!({ "test": test, "output": output })).collect();
    json!({
        "layer": layer,
        "passed": passed,
        "failed": failed,
        "skipped": skipped,
        "seconds": took.as_secs(),
        "note": note,
        "failures": failures,
    })
}

fn row(line: &str) -> anyhow::Result<Row> {
    let object: Value = serde_json::from_str(line)?;
    let number = |key: &str| object[key].as_u64().with_context(|| format!("no number `{key}`"));
    let count = |key: &str| anyhow::Ok(u32::try_from(number(key)?)?);
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let failures = object["failures"].as_array().context("no list `failures`")?;
    let failures = failures.iter().map(|failure| {
        let output = failure["output"].as_array().context("no list `output`")?;
        let test = text(&failure["test"]).context("no text `test`")?;
        Ok(Failure { test, output: output.iter().filter_map(text).collect() })
    });
    Ok(Row {
        layer: text(&object["layer"]).context("no text `layer`")?,
        counts: Counts { passed: count("passed")?, failed: count("failed")?, skipped: count("skipped")? },
        took: Duration::from_secs(number("seconds")?),
        note: text(&object["note"]),
        failures: failures.collect::<anyhow::Result<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_are_written_are_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("results");
        let failure = Failure { test: "a::b".into(), output: vec!["line 1".into(), "\"line\" 2".into()] };
        let rows = [
            Row {
                layer: "driver 535 open".into(),
                counts: Counts { passed: 5, failed: 1, skipped: 2 },
                took: Duration::from_secs(80),
                note: None,
                failures: vec![failure],
            },
            Row::skipped("driver 550 open", "no package".into()),
        ];
        write(&rows, &file).unwrap();
        assert_eq!(format!("{:?}", read(&file).unwrap()), format!("{rows:?}"));
    }

    #[test]
    fn a_line_of_another_format_is_an_error_with_the_line() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("results");
        fs::write(&file, "{\"layer\": \"x\"}\n").unwrap();
        let error = format!("{:#}", read(&file).unwrap_err());
        assert!(error.contains("{\"layer\": \"x\"}: no list `failures`"), "{error}");
    }
}
