//! The report as a table, for people.

use std::fmt;

use super::{Report, RowState};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = |row: &super::Row| match &row.detail {
            Some(detail) => format!("  {detail}"),
            None => row.subject.clone(),
        };
        let width = self.rows().iter().map(|row| first(row).chars().count()).max().unwrap_or(0);
        for row in self.rows() {
            let state = match row.state {
                RowState::Fatal => "FATAL",
                RowState::NotApplicable => "not applicable",
                state => state.as_str(),
            };
            writeln!(f, "{:<width$}  {state:<14}  {}", first(row), row.finding)?;
        }
        let verdict = match self.verdict() {
            RowState::Fatal => "glassbox cannot run here: see FATAL above.",
            RowState::Degraded => {
                "glassbox can run here; metrics of degraded rows above are missing or incomplete."
            }
            _ => "glassbox can run here; everything that is enabled works.",
        };
        writeln!(f, "\n{verdict}")
    }
}
