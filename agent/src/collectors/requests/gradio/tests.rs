//! Whole histories of jobs, from pieces to counters.

mod histories;
mod hostile;
mod scenarios;
mod wire;
