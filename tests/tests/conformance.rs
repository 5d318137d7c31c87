//! glassbox beside cAdvisor: which families both have, where their values come from, what is left out and why.
//!
//! All of that is data in tests/conformance/: the tests here hold it against the table of families, against the cgroup
//! files of real containers (needs root and Docker), and against a real cAdvisor where `GLASSBOX_CADVISOR` names one.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails; these helpers are tests, too")]

mod conformance {
    mod containers;
    mod page;
    mod peer;
    mod table;
}
