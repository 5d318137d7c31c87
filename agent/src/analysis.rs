//! What follows from one tick's picture of the host and a short history of it: collectors read, analyses derive. No
//! analysis reads a file, a map or a socket.

pub mod gpu_state;
pub mod problems;
pub mod xids;
