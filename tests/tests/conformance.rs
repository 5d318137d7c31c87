//! Conformance with cAdvisor: the families that both have, the sources of their values, and what is left out and why.
//!
//! All of this is data in tests/conformance/. The tests compare it with the table of families, with the cgroup files of real
//! containers (needs root and Docker), and with a real cAdvisor if `GLASSBOX_CADVISOR` names one.
#![expect(clippy::unwrap_used, reason = "a panic fails the test, also in its helpers")]

mod conformance {
    mod containers;
    mod page;
    mod peer;
    mod table;
}
