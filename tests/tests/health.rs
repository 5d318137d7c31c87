//! Health of containers and where their time went, from the agent's binary, with a server that hangs in every way. Needs
//! root and a kernel with BTF.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a panic fails the test, also in its helpers")]

mod health {
    mod clients;
    mod container;
    mod disk;
    mod slow_log;
    mod stuck;
    mod time;
}
