//! Installs the libraries of which Grafana consists, below `target/xtask/grafana`: its types, and what applies units, mappings
//! and transformations. Tests check the dashboards with them.
//!
//! npm uses its own configuration. If it is missing or cannot download the packages, setup continues, and the tests are skipped
//! with a reason.

use super::installed;
use crate::step;

/// Installs them, unless they are there.
pub(super) fn install() {
    if let Err(error) = installed::ensure_npm("Grafana's libraries", "grafana", "tests/grafana", false) {
        step::note(&format!("tests of dashboards with Grafana's libraries will be skipped: {error:#}"));
    }
}
