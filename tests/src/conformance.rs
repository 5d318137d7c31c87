//! Families that cAdvisor and glassbox share, as data, and a reader of cgroup files that uses no code of the agent.

pub mod source;
pub mod table;
