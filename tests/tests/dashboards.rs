//! Rules for every dashboard: most rules of Grafana's dashboard-linter, and no query may use a metric that the agent does
//! not have. They need only the files. `prometheus` tests that the queries return data.
#![expect(clippy::unwrap_used, reason = "a panic fails the test, also in its helpers")]

mod dashboards {
    mod lint;
    mod promql;
    mod types;
}
