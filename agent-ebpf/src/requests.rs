//! Requests to the HTTP servers of containers.

pub mod piece;
