//! The report as JSON, for scripts. Fields may be added; a change of meaning increments [`SCHEMA`].

use serde::Serialize;

use super::Report;
use crate::version;

/// The version of this format.
const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    version: &'static str,
    commit: &'static str,
    commit_date: &'static str,
    verdict: &'static str,
    exit_code: u8,
    rows: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Line<'a> {
    subject: &'a str,
    detail: Option<&'a str>,
    state: &'static str,
    finding: &'a str,
}

impl Report {
    /// The report as one JSON document; see docs/check.md.
    ///
    /// # Errors
    /// Serialization cannot fail for this data.
    pub fn to_json(&self) -> anyhow::Result<String> {
        fn line(row: &super::Row) -> Line<'_> {
            Line {
                subject: &row.subject,
                detail: row.detail.as_deref(),
                state: row.state.as_str(),
                finding: &row.finding,
            }
        }
        let document = Document {
            schema: SCHEMA,
            version: version::VERSION,
            commit: version::COMMIT,
            commit_date: version::COMMIT_DATE,
            verdict: self.verdict().as_str(),
            exit_code: self.exit_code(),
            rows: self.rows().iter().map(line).collect(),
        };
        Ok(serde_json::to_string_pretty(&document)?)
    }
}
