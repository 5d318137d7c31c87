//! The rules in `dashboards/`, their runbooks and the configuration of Alertmanager: with promtool, amtool, and from the
//! agent to a webhook through the real programs. Needs Debian's Prometheus and Alertmanager.
#![expect(clippy::unwrap_used, reason = "a panic fails the test, also in its helpers")]

mod alerts {
    mod alertmanager;
    mod document;
    mod end_to_end;
    mod facefusion;
    mod gpus;
    mod jobs;
    mod names;
    mod pages;
    mod rules;
    mod runbooks;
    mod shortened;
    mod workloads;
}
