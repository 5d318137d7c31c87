//! Reports which restrictions are in force in this process. `glassbox check` restricts itself as the agent does, so the
//! other rows report what works under these restrictions.

use super::{Report, RowState};
use crate::sandbox::{Outcome, Sandbox};

/// Makes one row per restriction.
pub(super) fn check(report: &mut Report, sandbox: &Sandbox) {
    for (name, outcome) in sandbox.outcomes() {
        let (state, finding) = match outcome {
            Outcome::InForce(detail) => (RowState::Ok, detail),
            Outcome::Off(reason) => (RowState::Off, reason),
            Outcome::Unsupported(reason) => (RowState::NotApplicable, reason),
            Outcome::Failed(reason) => (RowState::Degraded, reason),
        };
        report.row(format!("sandbox {name}"), state, finding);
    }
}
