//! Requests over HTTP/1.1 that a container serves: what the kernel programs and the agent share.
pub mod chunk;
pub mod connection;
pub mod first_line;
pub mod follow;
pub mod head;
