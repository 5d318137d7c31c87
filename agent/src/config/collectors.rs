//! `[collectors]`: which collectors run; and the tables of collectors that have options.

use serde::{Deserialize, Serialize};

use super::bounded::Seconds;

/// Declares one switch per collector.
macro_rules! switches {
    ($($name:ident),+) => {
        /// Which collectors run; all of them by default. A test compares the names with those in
        /// [`crate::collectors::COLLECTORS`], which describes what each collector does.
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

            /// The switch of the collector with this name.
            pub fn switch(&mut self, collector: &str) -> Option<&mut bool> {
                match collector {
                    $(stringify!($name) => Some(&mut self.$name),)+
                    _ => None,
                }
            }

            /// Whether the collector with this name is enabled.
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

switches!(
    cgroup,
    machine,
    network,
    host_network,
    sockets,
    requests,
    disk,
    oom,
    programs,
    scheduler,
    nvidia_driver,
    nvml,
    facefusion,
    threads,
    inference
);

impl Collectors {
    /// All collectors except these.
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
    /// Whether the usage of huge pages is read.
    pub hugetlb: bool,
    /// Whether memory per NUMA node is read.
    pub numa: bool,
}

/// `[network]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// Whether TCP sockets are counted by state.
    pub tcp_states: bool,
    /// Whether UDP sockets are counted.
    pub udp_states: bool,
}

/// `[sockets]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sockets {
    /// Whether bytes of unix sockets are counted.
    pub unix: bool,
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
