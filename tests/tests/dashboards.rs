//! Rules that every dashboard keeps: most of those of Grafana's dashboard-linter, and that no query names a
//! metric which the agent does not have. Needs nothing but the files. That the queries answer is tested in
//! `prometheus`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails; these helpers are tests, too")]

mod dashboards {
    mod lint;
    mod promql;
}
