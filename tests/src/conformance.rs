//! What cAdvisor and glassbox both have, as data, and a reader of cgroup files that shares no code with the agent's.

pub mod source;
pub mod table;
