//! Where the programs are attached: to the cgroup of each container, unless it is nested in the cgroup of another one.
//!
//! The kernel runs the programs of a cgroup for the sockets of all cgroups below it, too. The programs find the
//! container by the socket's own cgroup, so one attachment counts for all containers below it, and a second one would
//! count twice.

use std::{collections::HashMap, io};

use crate::{
    containers::{cgroup::Layout, tracker::Container},
    kernel::{
        Kernel,
        cgroup_links::{CgroupLinks, CgroupProgram},
    },
};

/// The attachments of all containers.
pub(super) struct Attachments {
    programs: &'static [CgroupProgram],
    containers: HashMap<u64, Attached>,
}

struct Attached {
    cgroup_path: String,
    state: State,
}

enum State {
    Links {
        _links: CgroupLinks,
    },
    /// The programs of a cgroup around this one run for it.
    Inherited,
    /// Not attached: the cgroup is gone, or the kernel refused.
    Failed,
}

impl Attachments {
    pub(super) fn new(programs: &'static [CgroupProgram]) -> Self {
        Self { programs, containers: HashMap::new() }
    }

    /// Attaches the programs to the cgroup of a container.
    pub(super) fn attach(&mut self, container: &Container, layout: &Layout, kernel: &mut Kernel) {
        let cgroup_path = &container.identity.cgroup_path;
        let has_links = |other: &Attached| matches!(other.state, State::Links { .. });
        let state = if self
            .containers
            .values()
            .any(|other| has_links(other) && is_around(&other.cgroup_path, cgroup_path))
        {
            State::Inherited
        } else {
            match kernel.attach_to_cgroup(self.programs, &layout.primary(cgroup_path)) {
                Ok(links) => {
                    let below = |other: &&mut Attached| is_around(cgroup_path, &other.cgroup_path);
                    for nested in self.containers.values_mut().filter(below) {
                        nested.state = State::Inherited;
                    }
                    State::Links { _links: links }
                }
                Err(error) => {
                    if !is_gone(&error) {
                        tracing::warn!("sockets of a container are not counted: {error:#}");
                    }
                    State::Failed
                }
            }
        };
        self.containers.insert(container.key, Attached { cgroup_path: cgroup_path.clone(), state });
    }

    /// True if the sockets of the container are counted.
    pub(super) fn is_counted(&self, key: u64) -> bool {
        self.containers.get(&key).is_some_and(|attached| !matches!(attached.state, State::Failed))
    }

    /// Detaches the programs from the cgroup of a container that has ended. Containers below it have ended before.
    pub(super) fn detach(&mut self, key: u64) {
        self.containers.remove(&key);
    }
}

/// True if the cgroup at `inner` is below the one at `outer`.
fn is_around(outer: &str, inner: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
}

/// True if the cgroup has been removed: a container may end before it is known.
fn is_gone(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let cause = cause.downcast_ref::<io::Error>();
        cause.is_some_and(|cause| matches!(cause.raw_os_error(), Some(libc::ENOENT | libc::ENODEV)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_cgroup_below_another_one_inherits_its_programs() {
        for (outer, inner, expected) in [
            ("/docker/a", "/docker/a/docker/b", true),
            ("/docker/a", "/docker/a", false),
            ("/docker/a", "/docker/ab", false),
            ("/docker/a/docker/b", "/docker/a", false),
        ] {
            assert_eq!(is_around(outer, inner), expected, "{outer} {inner}");
        }
    }
}
