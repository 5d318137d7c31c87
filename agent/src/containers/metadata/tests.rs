//! The rules of the metadata store.

use super::{unresolved::UNRESOLVED_MAX, *};
use crate::snapshot::identity::Runtime;

fn named(name: &str) -> Metadata {
    Metadata::new(Runtime::Docker, name, "image", [], &[])
}

#[test]
fn clones_share_entries_and_a_change_moves_the_generation() {
    let writer = MetadataStore::new();
    let reader = writer.clone();
    let before = reader.generation();
    writer.put("a", named("/web"));
    assert_ne!(reader.generation(), before);
    assert_eq!(reader.get("a").unwrap().name, "web");
    assert_eq!(reader.get("b"), None);

    let before = reader.generation();
    writer.update_name("a", "web2");
    writer.update_image("a", "web:2");
    writer.set_started_at("a", SystemTime::UNIX_EPOCH);
    assert_eq!(reader.generation(), before + 3);
    let names = reader.get("a").unwrap();
    assert_eq!((names.name.as_str(), names.image.as_str()), ("web2", "web:2"));
    assert_eq!(names.started_at, Some(SystemTime::UNIX_EPOCH));

    let before = reader.generation();
    writer.update_name("a", "web2");
    writer.update_name("unknown", "x");
    assert_eq!(reader.generation(), before);
}

#[test]
fn a_removed_container_keeps_its_name_for_a_while() {
    let metadata = MetadataStore::new();
    metadata.put("a", named("web"));
    let now = Instant::now();
    metadata.remove("a");
    assert_eq!(metadata.get("a").unwrap().name, "web");
    metadata.entries().expire(now + TOMBSTONE_TTL - Duration::from_secs(1));
    assert!(metadata.get("a").is_some());
    metadata.entries().expire(now + TOMBSTONE_TTL + Duration::from_secs(1));
    assert_eq!(metadata.get("a"), None);
}

#[test]
fn a_container_that_returns_outlives_its_earlier_removal() {
    let metadata = MetadataStore::new();
    metadata.put("a", named("web"));
    metadata.remove("a");
    metadata.put("a", named("web"));
    metadata.entries().expire(Instant::now() + 2 * TOMBSTONE_TTL);
    assert!(metadata.get("a").is_some());
}

#[test]
fn a_listing_removes_containers_that_it_lacks() {
    let metadata = MetadataStore::new();
    metadata.put("a", named("a"));
    metadata.put("b", named("b"));
    metadata.put("c", Metadata::new(Runtime::Podman, "c", "", [], &[]));
    metadata.retain(Runtime::Docker, |id| id == "a");
    metadata.entries().expire(Instant::now() + 2 * TOMBSTONE_TTL);
    assert!(metadata.get("a").is_some());
    assert_eq!(metadata.get("b"), None);
    assert!(metadata.get("c").is_some());
}

#[test]
fn a_full_store_drops_removed_entries_first_and_then_the_oldest() {
    let metadata = MetadataStore::new();
    for number in 0..ENTRIES_MAX {
        metadata.put(&number.to_string(), named("x"));
    }
    metadata.remove("7");
    metadata.put("new", named("x"));
    assert_eq!(metadata.entries().by_id.len(), ENTRIES_MAX);
    assert!(metadata.get("7").is_none() && metadata.get("0").is_some());
    metadata.put("newer", named("x"));
    assert_eq!(metadata.entries().by_id.len(), ENTRIES_MAX);
    assert!(metadata.get("0").is_none() && metadata.get("1").is_some());
    assert!(metadata.entries().removed.is_empty());
}

#[test]
fn repeated_removals_of_one_container_do_not_grow_the_store() {
    let metadata = MetadataStore::new();
    metadata.put("a", named("web"));
    for _ in 0..1000 {
        metadata.remove("a");
    }
    assert_eq!(metadata.entries().removed.len(), 1);
}

#[test]
fn everything_is_truncated_to_its_limit() {
    let long = "é".repeat(4000);
    let many: Vec<(String, String)> = (100..400).map(|number| (format!("k{number}"), long.clone())).collect();
    let labels = many.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let names =
        Metadata::new(Runtime::Docker, &long, &long, labels.chain([(long.as_str(), "x")]), &["*".into()]);
    assert_eq!((names.name.len(), names.image.len(), names.labels.len()), (256, 512, 64));
    assert!(names.labels.values().all(|value| value.len() == 1024));
    assert!(names.labels.contains_key("k100") && !names.labels.contains_key("k399"));
}

#[test]
fn the_filter_accepts_exact_names_and_prefixes() {
    let filter = ["project".to_owned(), "com.example.*".to_owned()];
    let labels = [("project", "p"), ("project2", "q"), ("com.example.a", "r"), ("com.other", "s")];
    let names = Metadata::new(Runtime::Docker, "", "", labels, &filter);
    let kept: Vec<&str> = names.labels.keys().map(String::as_str).collect();
    assert_eq!(kept, ["com.example.a", "project"]);
}

#[test]
fn labels_of_kubernetes_and_compose_are_used_regardless_of_the_filter() {
    let labels = [
        ("io.kubernetes.pod.namespace", "prod"),
        ("io.kubernetes.pod.name", "web-0"),
        ("io.kubernetes.container.name", "web"),
        ("com.docker.compose.service", "api"),
        ("com.docker.compose.container-number", "2"),
    ];
    let names = Metadata::new(Runtime::Docker, "", "", labels, &[]);
    assert!(names.labels.is_empty());
    assert_eq!(names.namespace.as_deref(), Some("prod"));
    assert_eq!(names.pod.as_deref(), Some("web-0"));
    assert_eq!(names.kubernetes_container.as_deref(), Some("web"));
    assert_eq!(names.compose_service.as_deref(), Some("api"));
    assert_eq!(names.compose_number.as_deref(), Some("2"));
    let empty = Metadata::new(Runtime::Docker, "", "", [("io.kubernetes.pod.name", "")], &[]);
    assert_eq!(empty.pod, None);
}

#[test]
fn the_first_listing_is_done_when_every_runtime_has_responded_or_failed() {
    let metadata = MetadataStore::new();
    assert!(metadata.first_listing_done());
    metadata.register(Runtime::Docker);
    metadata.register(Runtime::Podman);
    assert!(!metadata.first_listing_done());
    assert!(metadata.set_connected(Runtime::Docker, Ok(())));
    assert!(!metadata.first_listing_done());
    assert!(metadata.set_connected(Runtime::Podman, Err("no socket".into())));
    assert!(metadata.first_listing_done());
    assert_eq!(
        metadata.runtimes(),
        [(Runtime::Docker, Ok(())), (Runtime::Podman, Err("no socket".to_owned()))]
    );
    // Another reason for the same failure is not a change of state.
    assert!(!metadata.set_connected(Runtime::Podman, Err("timed out".into())));
    assert!(metadata.set_connected(Runtime::Podman, Ok(())));
}

#[test]
fn a_source_cannot_change_containers_of_another_source() {
    let metadata = MetadataStore::new();
    let names = |source: Source, name: &str| Metadata::new(source, name, "", [], &[]);
    let (docker, rootless) = (Source::from(Runtime::Docker), Source::socket(Runtime::Docker, 1));
    let files = Source::files(Runtime::Docker);
    metadata.put("a", names(files, "old"));
    metadata.put("a", names(docker, "web"));
    for other in [rootless, files, Runtime::Podman.into()] {
        metadata.put("a", names(other, "mine"));
        assert_eq!(metadata.get("a").unwrap().name, "web", "{other:?}");
    }
    // A listing of one socket does not remove containers of another one.
    metadata.retain(rootless, |_| false);
    metadata.put("a", names(rootless, "mine"));
    assert_eq!(metadata.get("a").unwrap().name, "web");
    metadata.remove("a");
    metadata.put("a", names(rootless, "mine"));
    assert_eq!(metadata.get("a").unwrap().name, "mine");
}

#[test]
fn metadata_from_files_expires_some_time_after_its_container() {
    let metadata = MetadataStore::new();
    metadata.put("a", Metadata::new(Source::files(Runtime::Docker), "a", "", [], &[]));
    metadata.put("b", Metadata::new(Source::files(Runtime::Docker), "b", "", [], &[]));
    metadata.put("c", named("c"));
    for id in ["a", "b", "c"] {
        metadata.cgroup_removed(id);
    }
    // It was restarted.
    metadata.cgroup_created("b");
    metadata.entries().expire(Instant::now() + 2 * TOMBSTONE_TTL);
    assert_eq!(metadata.get("a"), None);
    assert!(metadata.get("b").is_some() && metadata.get("c").is_some());
}

#[test]
fn containers_without_metadata_wait_in_a_bounded_queue_and_are_counted_by_kind() {
    let metadata = MetadataStore::new();
    metadata.put("known", named("web"));
    let unresolved = |id: String, runtime| Unresolved { id, cgroup_path: String::new(), runtime };
    for number in 0..2 * UNRESOLVED_MAX {
        metadata.report_unresolved(unresolved(number.to_string(), Runtime::Podman));
    }
    metadata.report_unresolved(unresolved("known".into(), Runtime::Unknown));
    let seen = *metadata.discoveries().borrow();
    assert_eq!((seen.all, seen.kubernetes), (2 * UNRESOLVED_MAX as u64 + 1, 1));
    let waiting = metadata.take_unresolved();
    assert_eq!(waiting.len(), UNRESOLVED_MAX - 1);
    assert_eq!(waiting.last().unwrap().id, (2 * UNRESOLVED_MAX - 1).to_string());
    assert!(metadata.take_unresolved().is_empty());
}

#[test]
fn clients_of_runtimes_are_notified_of_the_exits_of_reported_containers() {
    let metadata = MetadataStore::new();
    metadata.cgroup_removed("no receiver");
    let mut exits = metadata.exits();
    metadata.put("reported", named("web"));
    metadata.put("read", Metadata::new(Source::files(Runtime::Docker), "old", "", [], &[]));
    for id in ["unknown", "read", "reported"] {
        metadata.cgroup_removed(id);
    }
    assert_eq!(exits.try_recv().unwrap().as_ref(), "reported");
    assert!(exits.try_recv().is_err(), "files have no exits");
    assert!(!metadata.is_present("read"));
    for _ in 0..10_000 {
        metadata.cgroup_removed("reported");
    }
    assert!(matches!(exits.try_recv(), Err(tokio::sync::broadcast::error::TryRecvError::Lagged(_))));
}

#[test]
fn reported_cgroups_stay_until_their_container_is_dropped() {
    let metadata = MetadataStore::new();
    metadata.put("a", named("by its id"));
    metadata.set_started_at("a", SystemTime::UNIX_EPOCH);
    let reported = |metadata: &MetadataStore| {
        let mut reported: Vec<_> =
            metadata.reported_cgroups().into_iter().map(|(path, cgroup)| (path, cgroup.id)).collect();
        reported.sort_unstable();
        reported
    };
    assert_eq!((reported(&metadata), metadata.cgroups_generation()), (vec![], 0), "nothing to search for");
    let web = Metadata { cgroup_path: Some("/default/web".into()), ..named("web") };
    metadata.put("default/web", web);
    assert_eq!(reported(&metadata), [("/default/web".to_owned(), "default/web".to_owned())]);
    let before = metadata.cgroups_generation();
    for second in [1, 1, 2] {
        metadata.set_started_at("default/web", SystemTime::UNIX_EPOCH + Duration::from_secs(second));
    }
    assert_eq!(metadata.cgroups_generation(), before + 2, "each start is a change");
    let mut other = Metadata::new(Source::socket(Runtime::Containerd, 1), "web", "", [], &[]);
    other.cgroup_path = Some("/default/web".into());
    metadata.put("other/web", other);
    assert_eq!(reported(&metadata)[0].1, "default/web", "the container of the first socket");
    metadata.remove("default/web");
    assert_eq!(reported(&metadata)[0].1, "other/web");
    metadata.remove("other/web");
    assert_eq!(reported(&metadata)[0].1, "default/web", "its cgroup may still exist");
    metadata.entries().expire(Instant::now() + TOMBSTONE_TTL + Duration::from_secs(1));
    assert_eq!(reported(&metadata), []);
}
