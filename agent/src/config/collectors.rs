//! `[collectors]`: which collectors run, and the sections of those that have options.

use serde::{Deserialize, Serialize};

use super::bounded::Seconds;

/// Declares one switch for each collector.
macro_rules! switches {
    ($($name:ident),+) => {
        /// Which collectors run; all of them by default. A test compares the names with
        /// [`crate::collectors::COLLECTORS`], which has what they do.
        #[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
        #[serde(default, deny_unknown_fields)]
        #[expect(missing_docs, reason = "each is the name of a collector")]
        pub struct Collectors {
            $(pub $name: bool,)+
        }

        impl Default for Collectors {
            fn default() -> Self {
                Self { $($name: true,)+ }
            }
        }

        impl Collectors {
            /// The names.
            pub const NAMES: &[&str] = &[$(stringify!($name)),+];

            /// The switch of the collector of that name.
            pub fn switch(&mut self, collector: &str) -> Option<&mut bool> {
                match collector {
                    $(stringify!($name) => Some(&mut self.$name),)+
                    _ => None,
                }
            }

            /// Whether the collector of that name is to run.
            #[must_use]
            pub fn is_on(&self, collector: &str) -> bool {
                match collector {
                    $(stringify!($name) => self.$name,)+
                    _ => true,
                }
            }
        }
    };
}

switches!(cgroup, machine, network, host_network, disk, oom, scheduler, nvidia_driver, nvml);

impl Collectors {
    /// All but these.
    #[must_use]
    pub fn without(names: &[&str]) -> Self {
        let mut collectors = Self::default();
        for name in names {
            if let Some(on) = collectors.switch(name) {
                *on = false;
            }
        }
        collectors
    }
}

/// `[cgroup]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cgroup {
    /// Whether the use of huge pages is read.
    pub hugetlb: bool,
    /// Whether memory is read by NUMA node.
    pub numa: bool,
}

/// `[network]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// Whether TCP sockets are counted by state.
    pub tcp_states: bool,
    /// Whether UDP sockets are.
    pub udp_states: bool,
}

/// `[disk]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Disk {
    /// Time between two rounds over the writable layers.
    pub period_s: Seconds<1, 86_400>,
    /// Whether the agent walks a layer if no other source reports its size.
    pub walk: bool,
}

impl Default for Disk {
    fn default() -> Self {
        Self { period_s: std::time::Duration::from_secs(60).into(), walk: false }
    }
}
