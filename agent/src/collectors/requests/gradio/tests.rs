//! Whole histories of jobs, from pieces to counters.

mod awaited;
mod histories;
mod hostile;
mod replay;
mod scenarios;
mod wire;
