//! Requests that real servers serve to real clients. The server's log is the truth for requests, status codes, bytes and
//! durations.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a panic fails the test, also in its helpers")]

mod requests {
    mod counted;
    mod docker;
    mod loss;
    mod nginx;
    mod uvicorn;
}
