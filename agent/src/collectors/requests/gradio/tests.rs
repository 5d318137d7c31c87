//! Whole histories of jobs, from pieces to counters.

mod histories;
mod hostile;
mod replay;
mod scenarios;
mod wire;
