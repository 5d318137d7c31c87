//! The layouts of the fixture hosts.

use super::*;

const ID: &str = "70e4637061cd43873c342a97ef4e85607546d358ac8bb201d6846de850e132cf";

fn fixture(mode: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/cgroup").join(mode)
}

#[test]
fn on_v2_one_tree_has_every_controller() {
    let root = fixture("v2");
    let layout = Layout::detect(&root).unwrap();
    assert_eq!(layout.mode(), Mode::V2);
    for controller in ["cpu", "cpuacct", "memory", "pids", "blkio"] {
        assert_eq!(layout.directory(controller, "/a/b"), Some(root.join("a/b")), "{controller}");
        assert!(layout.is_unified(controller));
    }
    assert_eq!(layout.directory("freezer", "/a"), None);
    assert_eq!(layout.primary("/"), root.join(""));
    assert_eq!(layout.hierarchy_id(Path::new("/nonexistent")).unwrap(), 0);
}

#[test]
fn on_v1_a_controller_has_its_own_tree_or_a_shared_one() {
    let root = fixture("v1");
    let layout = Layout::detect(&root).unwrap();
    assert_eq!(layout.mode(), Mode::V1);
    assert_eq!(layout.directory("cpu", "/a"), Some(root.join("cpu,cpuacct/a")));
    assert_eq!(layout.directory("cpuacct", "/a"), Some(root.join("cpu,cpuacct/a")));
    assert_eq!(layout.directory("memory", "/a"), Some(root.join("memory/a")));
    assert_eq!(layout.directory("hugetlb", "/a"), None);
    assert!(!layout.is_unified("cpu"));
    assert_eq!(layout.primary("/a"), root.join("cpu,cpuacct/a"));
    assert_eq!(layout.hierarchy_id(&root.join("proc")).unwrap(), 4);
    let error = layout.hierarchy_id(&root.join("memory")).unwrap_err();
    assert!(error.to_string().contains("memory/cgroups"), "{error}");
}

#[test]
fn on_hybrid_hosts_the_v2_tree_is_walked_and_v1_controllers_are_read() {
    let root = fixture("hybrid");
    let layout = Layout::detect(&root).unwrap();
    assert_eq!(layout.mode(), Mode::Hybrid);
    assert_eq!(layout.directory("memory", "/a"), Some(root.join("memory/a")));
    assert_eq!(layout.directory("cpuacct", "/a"), Some(root.join("cpuacct/a")));
    assert_eq!(layout.primary("/a"), root.join("unified/a"));
    assert_eq!(layout.hierarchy_id(Path::new("/nonexistent")).unwrap(), 0);
    let walk = walk(&layout).unwrap();
    assert_eq!(walk.found.len(), 1);
    assert_eq!((walk.found[0].container.as_str(), walk.found[0].own), (ID, true));
}

#[test]
fn a_controller_in_the_v2_tree_of_a_hybrid_host_is_read_there() {
    let root = tempfile::tempdir().unwrap();
    for tree in ["unified", "cpu"] {
        std::fs::create_dir(root.path().join(tree)).unwrap();
        std::fs::write(root.path().join(tree).join(ANY_MARK), "").unwrap();
    }
    std::fs::write(root.path().join("unified/cgroup.controllers"), "memory io\n").unwrap();
    let layout = Layout::detect(root.path()).unwrap();
    assert_eq!(layout.directory("memory", "/a"), Some(root.path().join("unified/a")));
    assert_eq!(layout.directory("blkio", "/a"), Some(root.path().join("unified/a")));
    assert_eq!(layout.directory("cpu", "/a"), Some(root.path().join("cpu/a")));
    // No v1 tree accounts CPU time; the v2 tree always does.
    assert_eq!(layout.directory("cpuacct", "/a"), Some(root.path().join("unified/a")));
    assert_eq!(layout.directory("pids", "/a"), None);
}

#[test]
fn a_directory_without_cgroups_is_an_error_that_lists_what_was_searched_for() {
    let root = tempfile::tempdir().unwrap();
    let error = Layout::detect(root.path()).unwrap_err().to_string();
    assert!(error.contains("cgroup.controllers") && error.contains("cpuacct"), "{error}");
    let error = Layout::detect(&root.path().join("none")).unwrap_err().to_string();
    assert!(error.starts_with("read directory"), "{error}");
}

#[test]
fn a_process_belongs_to_the_deepest_container_in_the_tree_that_is_walked() {
    let (a, b) = ("a".repeat(64), "b".repeat(64));
    let layout = |mode| Layout {
        mode,
        primary: "/".into(),
        unified: Vec::new(),
        v1: Vec::new(),
        reported: ReportedCgroups::default(),
    };
    let text = format!(
        "12:memory:/docker/{b}\n4:cpu,cpuacct:/docker/{a}/docker/{b}/x\n1:name=systemd:/docker/{a}\n0::/init.scope\n"
    );
    let nested = format!("/docker/{a}/docker/{b}");
    assert_eq!(layout(Mode::V2).container_of_process(&text), None);
    assert_eq!(layout(Mode::V1).container_of_process(&text), Some(nested.as_str()));
    assert_eq!(
        layout(Mode::Hybrid).container_of_process(&text),
        Some(nested.as_str()),
        "it is in the v1 tree only"
    );
    let text = format!("0::/docker/{a}/init.scope\n4:cpu:/docker/{b}\n");
    let outer = format!("/docker/{a}");
    for mode in [Mode::V2, Mode::Hybrid] {
        assert_eq!(layout(mode).container_of_process(&text), Some(outer.as_str()), "{mode:?}");
    }
    for text in ["", "\n", "0::", "0::/", ":", "::", "0::/../..", &format!("0:{a}")] {
        assert_eq!(layout(Mode::Hybrid).container_of_process(text), None, "{text:?}");
    }
}

proptest::proptest! {
    /// `/proc/PID/cgroup` contains untrusted paths: any user who can create a cgroup chooses its name.
    #[test]
    fn no_cgroup_list_causes_a_panic_and_the_path_is_one_of_the_list(
        text in "\\PC{0,80}", lines in "([0-9]{0,2}:(|cpu|cpu,cpuacct|memory|name=systemd):?/?[a-z0-9/:.-]{0,40}\n){0,5}",
        id in "[0-9a-f]{64}",
    ) {
        for mode in ["v1", "v2", "hybrid"] {
            let layout = Layout::detect(&fixture(mode)).unwrap();
            for text in [&text, &lines] {
                if let Some(path) = layout.container_of_process(text) {
                    proptest::prop_assert!(container_of(path).is_some() && text.contains(path), "{}", path);
                }
            }
            let of_container = format!("{lines}0::/docker/{id}/x\n4:memory,cpu:/docker/{id}/x\n");
            let found = layout.container_of_process(&of_container);
            let expected = format!("/docker/{id}");
            proptest::prop_assert_eq!(found, Some(expected.as_str()));
        }
    }
}
