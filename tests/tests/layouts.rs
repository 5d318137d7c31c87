//! The cgroup layout of every runtime, created in this host's own hierarchy and checked in the exported text. Needs root.

use std::collections::HashMap;

use glassbox::{
    config::{self, Config},
    containers::metadata::{Metadata, MetadataStore},
    exposition,
    snapshot::identity::Runtime,
    tick::Engine,
};
use glassbox_tests::{
    cgroup::{Cgroup, fresh_id, v2_root},
    skip,
};

/// `{id}` and `{outer}` are replaced by container IDs. The rest of a path is as the runtime creates it.
const LAYOUTS: [(&str, Runtime); 12] = [
    ("docker/{id}", Runtime::Docker),
    ("glassbox-system.slice/docker-{id}.scope", Runtime::Docker),
    ("docker/{outer}/docker/{id}", Runtime::Docker),
    (
        "docker/{outer}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod1.slice/cri-containerd-{id}.scope",
        Runtime::Containerd,
    ),
    ("glassbox-system.slice/docker-{outer}.scope/kubelet/kubepods/besteffort/pod1/{id}", Runtime::Unknown),
    ("glassbox-kubepods.slice/glassbox-kubepods-pod1.slice/cri-containerd-{id}.scope", Runtime::Containerd),
    ("glassbox-kubepods/burstable/pod1/{id}", Runtime::Unknown),
    ("glassbox-kubepods.slice/glassbox-kubepods-pod1.slice/crio-{id}.scope/container", Runtime::CriO),
    ("glassbox-machine.slice/libpod-{id}.scope/container", Runtime::Podman),
    ("libpod_parent/libpod-{id}", Runtime::Podman),
    ("glassbox-user.slice/user@1000.service/user.slice/libpod-{id}.scope/container", Runtime::Podman),
    ("glassbox-user.slice/user@1000.service/app.slice/docker-{id}.scope", Runtime::Docker),
];

/// Monitor processes of containers, which are not containers.
const MONITORS: [&str; 2] =
    ["glassbox-machine.slice/libpod-conmon-{id}.scope", "glassbox-kubepods.slice/crio-conmon-{id}.scope"];

#[test]
fn every_layout_is_found_and_nested_containers_have_parent_id() {
    // SAFETY: no preconditions.
    let root = unsafe { libc::geteuid() } == 0;
    let Some(v2) = v2_root().filter(|_| root) else {
        skip("every_layout_is_found_and_nested_containers_have_parent_id", "needs root and a v2 hierarchy");
        return;
    };
    let mut cgroups = Vec::new();
    let mut expected = HashMap::new();
    let mut monitors = Vec::new();
    let mut outers = Vec::new();
    let mut make = |layout: &str| {
        let (id, outer) = (fresh_id(), fresh_id());
        let path = layout.replace("{id}", &id).replace("{outer}", &outer);
        cgroups.push(Cgroup::new(&v2, &path).unwrap());
        (id, layout.contains("{outer}").then_some(outer))
    };
    for (layout, runtime) in LAYOUTS {
        let (id, outer) = make(layout);
        outers.extend(outer.clone());
        expected.insert(id, (layout, runtime, outer));
    }
    monitors.extend(MONITORS.map(|layout| make(layout).0));

    let config = Config {
        docker: config::Docker::off(),
        kernel: config::Kernel { enabled: false, ..config::Kernel::default() },
        ..Config::default()
    };
    let (mut engine, snapshots) = Engine::start(config, MetadataStore::new()).unwrap();
    engine.tick();
    let snapshot = snapshots.borrow().clone().unwrap();
    let mut text = exposition::Text::default();
    exposition::encode(&snapshot, exposition::Scope::All, &mut text);
    let text = text.take();
    let text = std::str::from_utf8(&text).unwrap();
    // A path may contain two IDs; its end distinguishes the series.
    let info = |id: &str| {
        let mut lines = text.lines().filter(|line| line.starts_with("glassbox_container_info{"));
        lines.find(|line| {
            let path = line.split("id=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
            path.trim_end_matches(".scope").ends_with(id)
        })
    };
    for (id, (layout, runtime, outer)) in &expected {
        let row = snapshot.containers.iter().find(|row| row.identity.id == *id);
        assert_eq!(row.map(|row| row.identity.runtime), Some(*runtime), "{layout}");
        let line = info(id).unwrap_or_else(|| panic!("no series for {layout}"));
        let parent = line.split("parent_id=\"").nth(1).and_then(|rest| rest.split('"').next());
        assert_eq!(parent, outer.as_deref(), "{layout}: {line}");
    }
    for outer in outers {
        assert!(snapshot.containers.iter().any(|row| row.identity.id == outer), "the outer container");
        assert!(!info(&outer).unwrap().contains("parent_id"));
    }
    for monitor in monitors {
        assert!(
            snapshot.containers.iter().all(|row| row.identity.id != monitor),
            "a monitor was exported as a container"
        );
    }
}

/// The cgroup of `ctr run IMAGE web`.
#[test]
fn a_cgroup_without_an_id_is_a_container_once_its_runtime_reports_it() {
    // SAFETY: no preconditions.
    let root = unsafe { libc::geteuid() } == 0;
    let Some(v2) = v2_root().filter(|_| root) else {
        skip(
            "a_cgroup_without_an_id_is_a_container_once_its_runtime_reports_it",
            "needs root and a v2 hierarchy",
        );
        return;
    };
    let name = format!("web-{}", std::process::id());
    let (path, id) = (format!("/glassbox-default/{name}"), format!("default/{name}"));
    for kernel_enabled in [false, true] {
        let own = Cgroup::new(&v2, &path[1..]).unwrap();
        let metadata = MetadataStore::new();
        let config = Config {
            docker: config::Docker::off(),
            kernel: config::Kernel { enabled: kernel_enabled, ..config::Kernel::default() },
            ..Config::default()
        };
        let (mut engine, snapshots) = Engine::start(config, metadata.clone()).unwrap();
        let mut ticked = || {
            engine.tick();
            let snapshot = snapshots.borrow().clone().unwrap();
            let row = snapshot.containers.iter().find(|row| row.identity.cgroup_path == path).cloned();
            row.map(|row| (row.identity.id.clone(), row.identity.container.clone(), row.ended_at.is_some()))
        };
        let report = |id: &str, path: &str| {
            let mut names = Metadata::new(Runtime::Containerd, &name, "", [], &[]);
            names.cgroup_path = Some(path.to_owned());
            metadata.put(id, names);
        };
        assert_eq!(ticked(), None, "no runtime has reported it");
        report(&id, &path);
        let running = Some((id.clone(), name.clone(), false));
        assert_eq!(ticked(), running, "kernel programs: {kernel_enabled}");
        metadata.remove(&id);
        report("default/unrelated", "/glassbox-default/unrelated");
        assert_eq!(ticked(), running, "it runs until its cgroup goes");
        drop(own);
        assert_eq!(ticked(), Some((id.clone(), name.clone(), true)));
    }
}
