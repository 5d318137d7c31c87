//! The files of deploy/ with the programs that users pass them to, and the agent in a container with the security context of
//! each profile. Needs Helm's SDK and kubectl (`cargo xtask setup --tests`); the container needs root and Docker.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a panic fails the test, also in its helpers")]

mod deploy {
    mod chart;
    mod compose;
    mod examples;
    mod image;
    mod kustomize;
    mod pod;
    mod profiles;
}
