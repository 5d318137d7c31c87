//! The report as a table, for people.

use std::fmt;

use super::{Report, State};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = |row: &super::Row| match &row.detail {
            Some(detail) => format!("  {detail}"),
            None => row.subject.clone(),
        };
        let width = self.rows().iter().map(|row| first(row).chars().count()).max().unwrap_or(0);
        for row in self.rows() {
            let state = match row.state {
                State::Fatal => "FATAL",
                State::NotApplicable => "not applicable",
                state => state.as_str(),
            };
            writeln!(f, "{:<width$}  {state:<14}  {}", first(row), row.finding)?;
        }
        let verdict = match self.verdict() {
            State::Fatal => "glassbox cannot run here: see FATAL above.",
            State::Degraded => {
                "glassbox can run here; metrics of degraded rows above are missing or incomplete."
            }
            _ => "glassbox can run here; everything that is enabled works.",
        };
        writeln!(f, "\n{verdict}")
    }
}
