//! A program that plays FaceFusion, with real ffmpeg children, in containers. Its log is the truth for jobs, outcomes, times,
//! steps, phases and frames, with which the agent's metrics are compared. Each test takes up to a minute, most of it for jobs
//! of known length.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a panic fails the test, also in its helpers")]

mod facefusion {
    mod compared;
    mod docker;
    mod hostile;
    mod paths;
    mod player;
    mod unharmed;
    mod watch;

    use glassbox_tests::{agent::Agent, skip};

    /// The agent's tick in ms.
    const TICK_MS: u64 = 200;

    /// An agent whose collector of FaceFusion's jobs works, with these tables of the configuration.
    fn agent(tables: &str) -> Result<Agent, String> {
        Agent::with_collector("facefusion", &configuration(tables))
    }

    fn configuration(tables: &str) -> String {
        format!("tick_ms = {TICK_MS}\n{tables}")
    }

    /// The value, or `None` after printing why the test is skipped.
    fn or_skip<T>(given: Result<T, String>) -> Option<T> {
        // The name of a test is the name of its thread.
        let test = std::thread::current();
        given.map_err(|reason| skip(test.name().unwrap_or_default(), &reason)).ok()
    }
}
