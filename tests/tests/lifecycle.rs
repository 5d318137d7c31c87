//! The lives of real containers, as the agent's binary shows them.
//!
//! Each test has a daemon of its own; they wait for each other.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod lifecycle {
    mod containerd;
    mod docker;
    mod identity;
    mod kubernetes;
    mod podman;
    mod restarts;
    mod series;

    /// What a runtime gave, or `None` after saying why it did not.
    fn or_skip<T>(given: Result<T, String>) -> Option<T> {
        // Tests run on threads of their names.
        let test = std::thread::current();
        given.map_err(|reason| glassbox_tests::skip(test.name().unwrap_or_default(), &reason)).ok()
    }

    /// An agent that asks nobody but those that `sockets`, tables of the configuration, name.
    fn agent(sockets: &str) -> glassbox_tests::agent::Agent {
        let others = ["podman", "containerd", "cri"].map(|table| {
            let named = sockets.contains(&format!("[{table}]"));
            if named { String::new() } else { format!("[{table}]\nsockets = []\n") }
        });
        let nobody = format!("[docker]\nenabled = false\n{}", others.concat());
        glassbox_tests::agent::Agent::start(&format!("tick_ms = 200\n{sockets}\n{nobody}"))
    }
}
