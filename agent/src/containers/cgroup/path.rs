//! Recognizes container cgroups and their runtimes by path.
//!
//! Every runtime ends the name of a container's cgroup with the container ID, 64 lowercase hexadecimal digits: alone,
//! or after a prefix for the runtime, and before systemd's `.scope`.

use crate::snapshot::identity::Runtime;

/// The number of digits in a container ID.
const ID_DIGITS: usize = 64;

/// A path that is the container's own cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContainerPath<'a> {
    /// The container ID.
    pub id: &'a str,
    /// The runtime that created the container, as far as the path shows.
    pub runtime: Runtime,
}

/// The container that owns the cgroup at `path`: the last component contains its ID. `None` for all other cgroups. That
/// includes cgroups nested in a container: the `container` that Podman creates in its scope, or a cgroup that repeats
/// the ID of a container around it. The start scripts of kind and minikube create such cgroups on v1 hosts, and systemd
/// does so in a Kubernetes container.
#[must_use]
pub fn container_of(path: &str) -> Option<ContainerPath<'_>> {
    let found = named(path)?;
    let mut above = path.rsplit_once('/').map_or("", |(parents, _)| parents);
    while above.contains(found.id) {
        if named(above).is_some_and(|around| around.id == found.id) {
            return None;
        }
        above = above.rsplit_once('/').map_or("", |(parents, _)| parents);
    }
    Some(found)
}

/// The container with its ID in the last component of `path`.
fn named(path: &str) -> Option<ContainerPath<'_>> {
    let (parents, name) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = name.strip_suffix(".scope").unwrap_or(name);
    let (prefix, id) = stem.split_at_checked(stem.len().checked_sub(ID_DIGITS)?)?;
    if !is_id(id) {
        return None;
    }
    let runtime = match prefix {
        "" if parents.ends_with("/docker") || parents == "docker" => Runtime::Docker,
        "" => Runtime::Unknown,
        _ => match prefix.strip_suffix('-')? {
            "docker" => Runtime::Docker,
            "cri-containerd" | "nerdctl" => Runtime::Containerd,
            "crio" => Runtime::CriO,
            "libpod" | "libpod-payload" => Runtime::Podman,
            // The process that monitors a container is not the container.
            monitor if monitor.ends_with("conmon") => return None,
            _ => Runtime::Unknown,
        },
    };
    Some(ContainerPath { id, runtime })
}

/// True for 64 lowercase hexadecimal digits.
#[must_use]
pub fn is_id(text: &str) -> bool {
    text.len() == ID_DIGITS && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The path of the deepest container at or above a cgroup.
#[must_use]
pub fn container_above(path: &str) -> Option<&str> {
    above(path, |path| container_of(path).is_some())
}

/// The longest prefix of `path`, possibly `path` itself, for which `wanted` is true.
pub(super) fn above(path: &str, wanted: impl Fn(&str) -> bool) -> Option<&str> {
    let mut path = path;
    while !path.is_empty() {
        if wanted(path) {
            return Some(path);
        }
        path = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    }
    None
}

/// The container around the container at `path`, as with Docker in Docker or a Kubernetes node in a container. If there
/// are several, the nearest one.
#[must_use]
pub fn container_around(path: &str) -> Option<ContainerPath<'_>> {
    let (parent, _) = path.rsplit_once('/')?;
    container_of(container_above(parent)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "70e4637061cd43873c342a97ef4e85607546d358ac8bb201d6846de850e132cf";
    const OUTER: &str = "1f2e3d4c5b6a79881f2e3d4c5b6a79881f2e3d4c5b6a79881f2e3d4c5b6a7988";

    #[test]
    fn the_paths_of_all_runtimes_are_recognized() {
        let pods = "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1f2e_3d4c.slice";
        let guaranteed = "/kubepods.slice/kubepods-pod1f2e_3d4c.slice";
        let kind = "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-pod1.slice";
        let user = "/user.slice/user-1000.slice/user@1000.service";
        for (path, runtime) in [
            ("/docker/{ID}".to_owned(), Runtime::Docker),
            ("/system.slice/docker-{ID}.scope".to_owned(), Runtime::Docker),
            (format!("{pods}/docker-{{ID}}.scope"), Runtime::Docker),
            (format!("{pods}/cri-containerd-{{ID}}.scope"), Runtime::Containerd),
            (format!("{guaranteed}/cri-containerd-{{ID}}.scope"), Runtime::Containerd),
            (format!("{pods}/crio-{{ID}}.scope"), Runtime::CriO),
            ("/kubepods/burstable/pod1f2e-3d4c/{ID}".to_owned(), Runtime::Unknown),
            ("/kubepods/besteffort/pod1f2e-3d4c/{ID}".to_owned(), Runtime::Unknown),
            (format!("/docker/{OUTER}{kind}/cri-containerd-{{ID}}.scope"), Runtime::Containerd),
            (
                format!("/system.slice/docker-{OUTER}.scope{kind}/cri-containerd-{{ID}}.scope"),
                Runtime::Containerd,
            ),
            (format!("/docker/{OUTER}/docker/{{ID}}"), Runtime::Docker),
            ("/machine.slice/libpod-{ID}.scope".to_owned(), Runtime::Podman),
            ("/libpod_parent/libpod-{ID}".to_owned(), Runtime::Podman),
            ("/machine.slice/machine-libpod_pod_1f2e.slice/libpod-{ID}.scope".to_owned(), Runtime::Podman),
            (format!("{user}/user.slice/user-libpod_pod_1f2e.slice/libpod-{{ID}}.scope"), Runtime::Podman),
            (format!("{user}/app.slice/docker-{{ID}}.scope"), Runtime::Docker),
            ("/docker/buildx/docker/{ID}".to_owned(), Runtime::Docker),
            ("/kubepods/burstable/pod1f2e-3d4c/crio-{ID}".to_owned(), Runtime::CriO),
            (
                "/kubepods.slice/kubepods-pod1f2e.slice/cri-containerd-{ID}.scope".to_owned(),
                Runtime::Containerd,
            ),
            ("/system.slice/k3s.service/kubepods/burstable/pod1/{ID}".to_owned(), Runtime::Unknown),
            ("/system.slice/app.service/libpod-payload-{ID}".to_owned(), Runtime::Podman),
            (format!("{user}/user.slice/libpod-{{ID}}.scope"), Runtime::Podman),
            (format!("{user}/user.slice/docker-{{ID}}.scope"), Runtime::Docker),
            ("/system.slice/nerdctl-{ID}.scope".to_owned(), Runtime::Containerd),
            ("/default/{ID}".to_owned(), Runtime::Unknown),
            ("/system.slice/newcomer-{ID}.scope".to_owned(), Runtime::Unknown),
            ("/{ID}".to_owned(), Runtime::Unknown),
        ] {
            let path = path.replace("{ID}", ID);
            assert_eq!(container_of(&path), Some(ContainerPath { id: ID, runtime }), "{path}");
        }
    }

    #[test]
    fn a_path_that_is_not_a_containers_own_cgroup_is_not_a_container() {
        for path in [
            "".to_owned(),
            "/".to_owned(),
            "/docker".to_owned(),
            format!("/docker/{ID}/"),
            format!("/docker/{ID}/init.scope"),
            format!("/machine.slice/libpod-{ID}.scope/container"),
            format!("/machine.slice/libpod-conmon-{ID}.scope"),
            format!("/kubepods.slice/crio-conmon-{ID}.scope"),
            format!("/system.slice/var-lib-docker-overlay2-{ID}.mount"),
            format!("/system.slice/var-lib-docker-overlay2-{ID}-merged.mount"),
            // Podman's health checks.
            format!("/system.slice/{ID}.service"),
            format!("/docker/{}", &ID[1..]),
            format!("/docker/{}", ID.to_uppercase()),
            format!("/docker/0{ID}"),
            format!("/system.slice/docker{ID}.scope"),
            "/kubepods/burstable/pod1f2e3d4c-5b6a-7988-1f2e-3d4c5b6a7988".to_owned(),
            "/docker/buildkit/x5ttlk3ebd3hd5o5f3x0kgmk6".to_owned(),
            // The position 64 bytes from the end is within a character.
            format!("/docker/é{}", &ID[1..]),
        ] {
            assert_eq!(container_of(&path), None, "{path}");
        }
    }

    #[test]
    fn a_nested_container_is_recognized_with_the_nearest_container_around_it() {
        let kind = "kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod1.slice";
        let third = "ab".repeat(32);
        for (path, around) in [
            (format!("/docker/{OUTER}/docker/{ID}"), Some(OUTER)),
            (format!("/docker/{OUTER}/{kind}/cri-containerd-{ID}.scope"), Some(OUTER)),
            (format!("/system.slice/docker-{OUTER}.scope/{kind}/cri-containerd-{ID}.scope"), Some(OUTER)),
            (format!("/machine.slice/libpod-{OUTER}.scope/container/libpod_parent/libpod-{ID}"), Some(OUTER)),
            (format!("/docker/{third}/docker/{OUTER}/docker/{ID}"), Some(OUTER)),
            (format!("/docker/{ID}"), None),
            (format!("/machine.slice/libpod-conmon-{OUTER}.scope/{ID}"), None),
            (format!("/docker/{OUTER}/init.scope"), Some(OUTER)),
            ("".to_owned(), None),
            ("/".to_owned(), None),
        ] {
            assert_eq!(container_around(&path).map(|outer| outer.id), around, "{path}");
        }
    }

    #[test]
    fn a_cgroup_that_repeats_the_id_of_a_container_around_it_is_a_part_of_that_container() {
        let kind = "kubelet.slice/kubelet-kubepods.slice";
        for (path, own) in [
            (format!("/docker/{ID}/docker/{ID}"), format!("/docker/{ID}")),
            (format!("/docker/{ID}/{kind}/docker-{ID}.scope"), format!("/docker/{ID}")),
            (
                format!("/system.slice/docker-{ID}.scope/{kind}/{ID}/x"),
                format!("/system.slice/docker-{ID}.scope"),
            ),
            // The deepest container is the inner one.
            (format!("/docker/{ID}/docker/{OUTER}/docker/{ID}"), format!("/docker/{ID}/docker/{OUTER}")),
        ] {
            assert_eq!(container_above(&path), Some(own.as_str()), "{path}");
            assert_eq!(container_of(&path), None, "{path}");
        }
        // A monitor is not a container, so a cgroup in it does not repeat an ID.
        let path = format!("/machine.slice/libpod-conmon-{ID}.scope/{ID}");
        assert_eq!(container_of(&path).map(|own| own.id), Some(ID));
    }

    proptest! {
        #[test]
        fn no_path_has_two_container_cgroups_with_one_id(parts in prop::collection::vec(0..4_usize, 0..8)) {
            let parts = parts.into_iter().map(|part| [ID, OUTER, "x", "docker"][part]);
            let path: String = parts.flat_map(|part| ["/", part]).collect();
            let ends = path.char_indices().filter(|(_, c)| *c == '/').map(|(at, _)| at).chain([path.len()]);
            let mut ids: Vec<_> = ends.filter_map(|end| container_of(&path[..end])).map(|own| own.id).collect();
            let all = ids.len();
            ids.sort_unstable();
            ids.dedup();
            prop_assert_eq!(ids.len(), all, "{}", path);
        }

        #[test]
        fn no_path_causes_a_panic_and_every_id_has_64_digits(path in "(/?[a-fé0-9.-]{0,70}){0,4}") {
            let _ = container_around(&path);
            if let Some(found) = container_of(&path) {
                prop_assert_eq!(found.id.len(), ID_DIGITS);
            }
        }
    }
}
