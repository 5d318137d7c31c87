//! Debian's node_exporter for tests: the reference for the format of the web configuration.

use crate::unpacked::Unpacked;

/// Environment variable with the path of the program, for tests.
pub(crate) const VARIABLE: &str = "GLASSBOX_NODE_EXPORTER";

pub(crate) const NODE_EXPORTER: Unpacked = Unpacked {
    name: "node_exporter",
    package: "prometheus-node-exporter",
    programs: "`prometheus-node-exporter`",
};
