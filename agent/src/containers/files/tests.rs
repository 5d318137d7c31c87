//! The files as runtimes write them, and invalid ones.

use std::{os::unix::fs::symlink, time::UNIX_EPOCH};

use super::*;
use crate::snapshot::identity::Runtime;

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

struct Host {
    directory: tempfile::TempDir,
    roots: Paths,
}

impl Host {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let roots = Paths {
            docker: path("docker"),
            containerd: path("containerd"),
            containers_storage: path("storage"),
            logs: path("logs"),
            ..Paths::default()
        };
        Self { directory, roots }
    }

    fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn names_in(&self, id: &str, cgroup_path: &str) -> Option<Metadata> {
        let unresolved =
            Unresolved { id: id.into(), cgroup_path: cgroup_path.into(), runtime: Runtime::Containerd };
        self.roots.look_up(&unresolved, &["kept".to_owned()])
    }

    fn names(&self, id: &str) -> Option<Metadata> {
        self.names_in(id, "/")
    }
}

#[test]
fn docker_files_contain_name_image_labels_and_start_time() {
    let host = Host::new();
    assert_eq!(host.roots.there(), Vec::<PathBuf>::new());
    host.write(
        &format!("docker/containers/{A}/config.v2.json"),
        r#"{"StreamConfig":{},"State":{"Running":true,"StartedAt":"2026-11-22T16:36:02.5Z"},"ID":"x","Image":"sha256:0",
            "Config":{"Image":"web:1","Labels":{"kept":"1","other":"2","com.docker.compose.service":"web"},"Env":["A=b"]},
            "Name":"/shop-web-1","Driver":"overlayfs","RestartCount":0}"#,
    );
    let names = host.names(A).unwrap();
    assert_eq!((names.name.as_str(), names.image.as_str()), ("shop-web-1", "web:1"));
    assert_eq!((names.runtime, names.compose_service.as_deref()), (Runtime::Docker, Some("web")));
    assert_eq!(names.labels.into_keys().collect::<Vec<_>>(), ["kept"]);
    assert_eq!(names.started_at, Some(UNIX_EPOCH + Duration::from_millis(1_795_365_362_500)));
    assert_eq!(host.names(B), None);
    assert_eq!(host.roots.there().len(), 1);
}

#[test]
fn containerd_bundles_contain_kubernetes_names() {
    let host = Host::new();
    let tasks = "containerd/io.containerd.runtime.v2.task";
    let annotations = r#""io.kubernetes.cri.sandbox-id":"s","io.kubernetes.cri.sandbox-name":"web-0",
        "io.kubernetes.cri.sandbox-namespace":"prod""#;
    let app = r#""io.kubernetes.cri.container-type":"container","io.kubernetes.cri.container-name":"app",
        "io.kubernetes.cri.image-name":"docker.io/library/web:1""#;
    host.write(
        &format!("{tasks}/k8s.io/{A}/config.json"),
        format!(r#"{{"ociVersion":"1.0.2","hostname":"h","annotations":{{{annotations},{app}}}}}"#),
    );
    let sandbox = r#""io.kubernetes.cri.container-type":"sandbox""#;
    host.write(
        &format!("{tasks}/k8s.io/{B}/config.json"),
        format!(r#"{{"annotations":{{{annotations},{sandbox}}}}}"#),
    );
    let names = host.names(A).unwrap();
    assert_eq!((names.namespace.as_deref(), names.pod.as_deref()), (Some("prod"), Some("web-0")));
    assert_eq!(names.kubernetes_container.as_deref(), Some("app"));
    assert_eq!(names.image, "docker.io/library/web:1");
    assert_eq!(host.names(B).unwrap().kubernetes_container.as_deref(), Some("POD"));
}

#[test]
fn nerdctls_name_is_found_in_any_namespace_except_dockers() {
    let host = Host::new();
    let tasks = "containerd/io.containerd.runtime.v2.task";
    let text = r#"{"annotations":{"nerdctl/name":"web","kept":"1","nerdctl/platform":"linux/amd64"}}"#;
    host.write(&format!("{tasks}/team/{A}/config.json"), text);
    host.write(&format!("{tasks}/moby/{B}/config.json"), r#"{"annotations":null}"#);
    let names = host.names(A).unwrap();
    assert_eq!((names.name.as_str(), names.runtime), ("web", Runtime::Containerd));
    assert!(names.labels.contains_key("kept"));
    assert_eq!(host.names(B), None);
}

#[test]
fn podman_and_cri_o_store_all_names_in_one_file() {
    let host = Host::new();
    let metadata = r#"{\"image-name\":\"localhost/web:1\",\"image-id\":\"a6\",\"name\":\"run2\",\"created-at\":1795389925}"#;
    let of = |id: &str, name: &str| {
        format!(
            r#"{{"id":"{id}","names":["{name}"],"image":"a6","layer":"l","metadata":"{metadata}","flags":{{}}}}"#
        )
    };
    let all = format!("[{},{}]", of(A, "run2"), of(B, "k8s_app_web-0_prod_u-1_0"));
    host.write("storage/overlay-containers/containers.json", all);
    host.write(
        &format!("storage/overlay-containers/{A}/userdata/config.json"),
        r#"{"annotations":{"io.container.manager":"libpod","org.opencontainers.image.stopSignal":"15"}}"#,
    );
    host.write(
        &format!("storage/overlay-containers/{B}/userdata/config.json"),
        r#"{"annotations":{"io.container.manager":"cri-o","io.kubernetes.container.name":"app",
            "io.kubernetes.pod.name":"web-0","io.kubernetes.pod.namespace":"prod",
            "io.kubernetes.cri-o.ImageName":"quay.io/web:2"}}"#,
    );
    let names = host.names(A).unwrap();
    assert_eq!((names.name.as_str(), names.image.as_str()), ("run2", "localhost/web:1"));
    assert_eq!(names.runtime, Runtime::Podman);
    let names = host.names(B).unwrap();
    assert_eq!((names.runtime, names.image.as_str()), (Runtime::CriO, "quay.io/web:2"));
    assert_eq!((names.pod.as_deref(), names.kubernetes_container.as_deref()), (Some("web-0"), Some("app")));
}

#[test]
fn a_truncated_log_link_is_matched_by_its_remaining_digits() {
    let host = Host::new();
    fs::create_dir_all(host.roots.logs.join("containers")).unwrap();
    let named = |digits: usize| {
        let (namespace, container) = ("n".repeat(63), "c".repeat(50));
        let pod = "p".repeat(255 - 4 - digits - 1 - 50 - 1 - 63 - 1);
        let link = format!("{pod}_{namespace}_{container}-{}.log", &A[..digits]);
        assert_eq!(link.len(), 255);
        let path = host.roots.logs.join("containers").join(link);
        symlink("/nowhere", &path).unwrap();
        let names = host.names(A);
        fs::remove_file(path).unwrap();
        names.map(|names| (names.kubernetes_container, names.pod)) == Some((Some(container), Some(pod)))
    };
    assert!(named(44) && named(12));
    assert!(!named(11), "too few digits to distinguish containers");
    let other = format!("{}_n_c-{}.log", "p".repeat(100), &A[..44]);
    symlink("/nowhere", host.roots.logs.join("containers").join(other)).unwrap();
    assert_eq!(host.names(A), None, "the name was not truncated");
}

#[test]
fn the_names_of_kubernetes_logs_contain_the_container_or_at_least_the_pod() {
    let host = Host::new();
    host.write("logs/pods/prod_web-0_1f2e3d4c-5b6a-7988-1f2e-3d4c5b6a7988/app/0.log", "");
    host.write("logs/pods/odd", "");
    host.write("logs/containers/odd.log", "");
    let link = format!("web-0_prod_app-{A}.log");
    symlink("/nowhere", host.roots.logs.join("containers").join(link)).unwrap();
    let names = host.names(A).unwrap();
    assert_eq!((names.namespace.as_deref(), names.pod.as_deref()), (Some("prod"), Some("web-0")));
    assert_eq!(names.kubernetes_container.as_deref(), Some("app"));
    for path in [
        format!("/kubepods/burstable/pod1f2e3d4c-5b6a-7988-1f2e-3d4c5b6a7988/{B}"),
        format!(
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1f2e3d4c_5b6a_7988_1f2e_3d4c5b6a7988.slice/cri-containerd-{B}.scope"
        ),
    ] {
        let names = host.names_in(B, &path).unwrap();
        assert_eq!(
            (names.namespace.as_deref(), names.pod.as_deref()),
            (Some("prod"), Some("web-0")),
            "{path}"
        );
        assert_eq!(names.kubernetes_container, None);
    }
    for path in [format!("/kubepods/pod1f2e/{B}"), format!("/docker/{B}"), String::new()] {
        assert_eq!(host.names_in(B, &path), None, "{path}");
    }
}

#[test]
fn a_pods_uid_is_found_with_dashes_underscores_or_neither() {
    let uid = "1f2e3d4c5b6a79881f2e3d4c5b6a7988";
    for (path, found) in [
        (format!("/kubepods/pod{uid}/{A}"), Some(uid)),
        (format!("/kubepods.slice/kubepods-pod{uid}.slice/crio-{A}.scope"), Some(uid)),
        (format!("/kubepods/tripod{uid}/{A}"), None),
        (format!("/kubepods/pod{uid}"), None),
        (format!("/kubepods/pod{}/{A}", &uid[1..]), None),
    ] {
        assert_eq!(logs::pod_uid(&path).as_deref(), found, "{path}");
    }
}

#[test]
fn invalid_files_give_no_names() {
    let deep = "[".repeat(100_000);
    let large = format!(r#"{{"Name":"/x","Junk":"{}"}}"#, "x".repeat(2 << 20));
    for text in [
        b"".as_slice(),
        b"\xff\xfe\0",
        b"null",
        b"[]",
        b"{\"Name\":5}",
        br#"{"Name":"/x","Config":{"Labels":[1]}}"#,
        deep.as_bytes(),
        large.as_bytes(),
    ] {
        let host = Host::new();
        host.write(&format!("docker/containers/{A}/config.v2.json"), text);
        host.write(&format!("containerd/io.containerd.runtime.v2.task/n/{A}/config.json"), text);
        host.write("storage/overlay-containers/containers.json", text);
        let names = host.names(A);
        // The existence of a task's file is enough for an entry without names.
        let harmless = names.as_ref().is_none_or(|names| names.name == A && names.image.is_empty());
        assert!(harmless, "{names:?}");
    }
}

#[test]
fn a_pipe_does_not_block_and_an_id_cannot_leave_its_directory() {
    let host = Host::new();
    host.write(&format!("docker/containers/{B}/config.v2.json"), r#"{"Name":"/b"}"#);
    let directory = host.roots.docker.join("containers").join(A);
    fs::create_dir_all(&directory).unwrap();
    let made = std::process::Command::new("mkfifo").arg(directory.join("config.v2.json")).status().unwrap();
    assert!(made.success());
    assert_eq!(host.names(A), None);
    for id in ["", "..", &format!("../containers/{B}"), &format!("./{B}"), "a\0b"] {
        assert_eq!(host.names(id), None, "{id:?}");
    }
}

#[test]
fn a_container_that_no_runtime_reports_is_looked_up_even_if_its_file_appears_later() {
    let host = Host::new();
    host.write(&format!("docker/containers/{A}/config.v2.json"), r#"{"Name":"/now"}"#);
    let metadata = MetadataStore::new();
    // A container that Docker reports is not replaced.
    metadata.put("c", Metadata::new(Runtime::Docker, "reported", "", [], &[]));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let reader = start(&host.roots, &[], &metadata);
        tokio::spawn(watch(host.roots.clone(), reader, metadata.clone()));
        for id in [A, B, "c"] {
            metadata.report_unresolved(Unresolved {
                id: id.into(),
                cgroup_path: String::new(),
                runtime: Runtime::Docker,
            });
        }
        let (begun, mut written) = (Instant::now(), false);
        while metadata.get(A).is_none() || metadata.get(B).is_none() {
            // Written only once, because a reader during a rewrite would find an empty file.
            if metadata.get(A).is_some() && !std::mem::replace(&mut written, true) {
                host.write(&format!("docker/containers/{B}/config.v2.json"), r#"{"Name":"/later"}"#);
            }
            assert!(begun.elapsed() < Duration::from_secs(10));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let name = |id| metadata.get(id).unwrap().name;
    assert_eq!((name(A), name(B), name("c")), ("now".into(), "later".into(), "reported".into()));
    // A runtime that responds later takes precedence.
    metadata.put(A, Metadata::new(Runtime::Docker, "better", "", [], &[]));
    assert_eq!(name(A), "better");
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(48))]

    #[test]
    fn no_file_or_path_causes_a_panic_and_the_result_is_within_limits(
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
        words in proptest::collection::vec(proptest::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "null", "7", r#""Name""#, r#""Config""#, r#""Labels""#, r#""annotations""#,
            r#""id""#, r#""names""#, r#""metadata""#, r#""State""#, r#""StartedAt""#, r#""x""#, r#""nerdctl/name""#,
        ]), 0..40),
        id in "[a-z0-9/._-]{0,20}", cgroup_path in "\\PC{0,60}", log in "[a-z_.-]{1,40}",
    ) {
        let host = Host::new();
        for text in [bytes, words.concat().into_bytes()] {
            host.write(&format!("docker/containers/{A}/config.v2.json"), &text);
            host.write(&format!("containerd/{}/n/{A}/config.json", containerd::TASKS), &text);
            host.write("storage/overlay-containers/containers.json", &text);
            host.write(&format!("storage/overlay-containers/{A}/userdata/config.json"), &text);
            host.write(&format!("logs/containers/{log}-{A}.log"), &text);
            for names in [host.names(A), host.names_in(&id, &cgroup_path)].into_iter().flatten() {
                proptest::prop_assert!(names.name.len() <= 256 && names.image.len() <= 512);
                proptest::prop_assert!(names.labels.len() <= 64);
            }
        }
        let _ = logs::pod_uid(&cgroup_path);
    }

    #[test]
    fn docker_files_are_decoded(name in "[a-z0-9-]{1,30}", image in "[a-z0-9/:.-]{1,30}", kept in "\\PC{0,20}") {
        let host = Host::new();
        let text = serde_json::json!({
            "Name": format!("/{name}"), "Config": { "Image": image, "Labels": { "kept": kept, "other": "x" } },
        });
        host.write(&format!("docker/containers/{A}/config.v2.json"), text.to_string());
        let names = host.names(A).unwrap();
        proptest::prop_assert_eq!((names.name, names.image), (name, image));
        proptest::prop_assert_eq!(names.labels.into_iter().collect::<Vec<_>>(), [("kept".to_owned(), kept)]);
    }
}
