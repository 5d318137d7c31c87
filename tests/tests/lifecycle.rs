//! The lifecycle of real containers, exported by the agent's binary.
//!
//! Each test has its own daemon. Only one daemon runs at a time.
#![expect(clippy::unwrap_used, reason = "a panic fails the test, also in its helpers")]

mod lifecycle {
    mod containerd;
    mod docker;
    mod gpu;
    mod identity;
    mod kubernetes;
    mod podman;
    mod restarts;
    mod series;

    /// The value, or `None` after printing why the test is skipped.
    fn or_skip<T>(given: Result<T, String>) -> Option<T> {
        // The name of a test is the name of its thread.
        let test = std::thread::current();
        given.map_err(|reason| glassbox_tests::skip(test.name().unwrap_or_default(), &reason)).ok()
    }

    /// An agent that contacts only the runtimes in `sockets`, which are tables of the configuration.
    fn agent(sockets: &str) -> glassbox_tests::agent::Agent {
        let others = ["podman", "containerd", "cri"].map(|table| {
            let named = sockets.contains(&format!("[{table}]"));
            if named { String::new() } else { format!("[{table}]\nsockets = []\n") }
        });
        let disabled = format!("[docker]\nenabled = false\n{}", others.concat());
        glassbox_tests::agent::Agent::start(&format!("tick_ms = 200\n{sockets}\n{disabled}"))
    }
}
