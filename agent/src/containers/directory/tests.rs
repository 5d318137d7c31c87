//! The rules of the metadata store.

use super::{unnamed::UNNAMED_MAX, *};
use crate::snapshot::identity::Runtime;

fn named(name: &str) -> Names {
    Names::new(Runtime::Docker, name, "image", [], &[])
}

#[test]
fn clones_share_entries_and_a_change_moves_the_generation() {
    let writer = Directory::new();
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
    let directory = Directory::new();
    directory.put("a", named("web"));
    let now = Instant::now();
    directory.remove("a");
    assert_eq!(directory.get("a").unwrap().name, "web");
    directory.entries().expire(now + LINGER - Duration::from_secs(1));
    assert!(directory.get("a").is_some());
    directory.entries().expire(now + LINGER + Duration::from_secs(1));
    assert_eq!(directory.get("a"), None);
}

#[test]
fn a_container_that_returns_outlives_its_earlier_removal() {
    let directory = Directory::new();
    directory.put("a", named("web"));
    directory.remove("a");
    directory.put("a", named("web"));
    directory.entries().expire(Instant::now() + 2 * LINGER);
    assert!(directory.get("a").is_some());
}

#[test]
fn a_listing_removes_containers_that_it_lacks() {
    let directory = Directory::new();
    directory.put("a", named("a"));
    directory.put("b", named("b"));
    directory.put("c", Names::new(Runtime::Podman, "c", "", [], &[]));
    directory.retain(Runtime::Docker, |id| id == "a");
    directory.entries().expire(Instant::now() + 2 * LINGER);
    assert!(directory.get("a").is_some());
    assert_eq!(directory.get("b"), None);
    assert!(directory.get("c").is_some());
}

#[test]
fn a_full_store_drops_removed_entries_first_and_then_the_oldest() {
    let directory = Directory::new();
    for number in 0..ENTRIES_MAX {
        directory.put(&number.to_string(), named("x"));
    }
    directory.remove("7");
    directory.put("new", named("x"));
    assert_eq!(directory.entries().by_id.len(), ENTRIES_MAX);
    assert!(directory.get("7").is_none() && directory.get("0").is_some());
    directory.put("newer", named("x"));
    assert_eq!(directory.entries().by_id.len(), ENTRIES_MAX);
    assert!(directory.get("0").is_none() && directory.get("1").is_some());
    assert!(directory.entries().removed.is_empty());
}

#[test]
fn repeated_removals_of_one_container_do_not_grow_the_store() {
    let directory = Directory::new();
    directory.put("a", named("web"));
    for _ in 0..1000 {
        directory.remove("a");
    }
    assert_eq!(directory.entries().removed.len(), 1);
}

#[test]
fn everything_is_truncated_to_its_limit() {
    let long = "é".repeat(4000);
    let many: Vec<(String, String)> = (100..400).map(|number| (format!("k{number}"), long.clone())).collect();
    let labels = many.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let names =
        Names::new(Runtime::Docker, &long, &long, labels.chain([(long.as_str(), "x")]), &["*".into()]);
    assert_eq!((names.name.len(), names.image.len(), names.labels.len()), (256, 512, 64));
    assert!(names.labels.values().all(|value| value.len() == 1024));
    assert!(names.labels.contains_key("k100") && !names.labels.contains_key("k399"));
}

#[test]
fn the_filter_accepts_exact_names_and_prefixes() {
    let filter = ["project".to_owned(), "com.example.*".to_owned()];
    let labels = [("project", "p"), ("project2", "q"), ("com.example.a", "r"), ("com.other", "s")];
    let names = Names::new(Runtime::Docker, "", "", labels, &filter);
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
    let names = Names::new(Runtime::Docker, "", "", labels, &[]);
    assert!(names.labels.is_empty());
    assert_eq!(names.namespace.as_deref(), Some("prod"));
    assert_eq!(names.pod.as_deref(), Some("web-0"));
    assert_eq!(names.kubernetes_container.as_deref(), Some("web"));
    assert_eq!(names.compose_service.as_deref(), Some("api"));
    assert_eq!(names.compose_number.as_deref(), Some("2"));
    let empty = Names::new(Runtime::Docker, "", "", [("io.kubernetes.pod.name", "")], &[]);
    assert_eq!(empty.pod, None);
}

#[test]
fn the_first_listing_is_done_when_every_runtime_has_responded_or_failed() {
    let directory = Directory::new();
    assert!(directory.first_listing_done());
    directory.register(Runtime::Docker);
    directory.register(Runtime::Podman);
    assert!(!directory.first_listing_done());
    assert!(directory.set_connected(Runtime::Docker, Ok(())));
    assert!(!directory.first_listing_done());
    assert!(directory.set_connected(Runtime::Podman, Err("no socket".into())));
    assert!(directory.first_listing_done());
    assert_eq!(
        directory.runtimes(),
        [(Runtime::Docker, Ok(())), (Runtime::Podman, Err("no socket".to_owned()))]
    );
    // Another reason for the same failure is not a change of state.
    assert!(!directory.set_connected(Runtime::Podman, Err("timed out".into())));
    assert!(directory.set_connected(Runtime::Podman, Ok(())));
}

#[test]
fn a_source_cannot_change_containers_of_another_source() {
    let directory = Directory::new();
    let names = |source: Source, name: &str| Names::new(source, name, "", [], &[]);
    let (docker, rootless) = (Source::from(Runtime::Docker), Source::socket(Runtime::Docker, 1));
    let files = Source::files(Runtime::Docker);
    directory.put("a", names(files, "old"));
    directory.put("a", names(docker, "web"));
    for other in [rootless, files, Runtime::Podman.into()] {
        directory.put("a", names(other, "mine"));
        assert_eq!(directory.get("a").unwrap().name, "web", "{other:?}");
    }
    // A listing of one socket does not remove containers of another one.
    directory.retain(rootless, |_| false);
    directory.put("a", names(rootless, "mine"));
    assert_eq!(directory.get("a").unwrap().name, "web");
    directory.remove("a");
    directory.put("a", names(rootless, "mine"));
    assert_eq!(directory.get("a").unwrap().name, "mine");
}

#[test]
fn metadata_from_files_expires_some_time_after_its_container() {
    let directory = Directory::new();
    directory.put("a", Names::new(Source::files(Runtime::Docker), "a", "", [], &[]));
    directory.put("b", Names::new(Source::files(Runtime::Docker), "b", "", [], &[]));
    directory.put("c", named("c"));
    for id in ["a", "b", "c"] {
        directory.ended(id);
    }
    // It was restarted.
    directory.began("b");
    directory.entries().expire(Instant::now() + 2 * LINGER);
    assert_eq!(directory.get("a"), None);
    assert!(directory.get("b").is_some() && directory.get("c").is_some());
}

#[test]
fn containers_without_metadata_wait_in_a_bounded_queue_and_are_counted_by_kind() {
    let directory = Directory::new();
    directory.put("known", named("web"));
    let unnamed = |id: String, runtime| Unnamed { id, cgroup_path: String::new(), runtime };
    for number in 0..2 * UNNAMED_MAX {
        directory.seen_unnamed(unnamed(number.to_string(), Runtime::Podman));
    }
    directory.seen_unnamed(unnamed("known".into(), Runtime::Unknown));
    let seen = *directory.sightings().borrow();
    assert_eq!((seen.all, seen.kubernetes), (2 * UNNAMED_MAX as u64 + 1, 1));
    let waiting = directory.take_unnamed();
    assert_eq!(waiting.len(), UNNAMED_MAX - 1);
    assert_eq!(waiting.last().unwrap().id, (2 * UNNAMED_MAX - 1).to_string());
    assert!(directory.take_unnamed().is_empty());
}

#[test]
fn clients_of_runtimes_are_notified_of_the_exits_of_reported_containers() {
    let directory = Directory::new();
    directory.ended("no receiver");
    let mut endings = directory.endings();
    directory.put("told", named("web"));
    directory.put("read", Names::new(Source::files(Runtime::Docker), "old", "", [], &[]));
    for id in ["unknown", "read", "told"] {
        directory.ended(id);
    }
    assert_eq!(endings.try_recv().unwrap().as_ref(), "told");
    assert!(endings.try_recv().is_err(), "files have no exits");
    assert!(!directory.is_present("read"));
    for _ in 0..10_000 {
        directory.ended("told");
    }
    assert!(matches!(endings.try_recv(), Err(tokio::sync::broadcast::error::TryRecvError::Lagged(_))));
}

#[test]
fn reported_cgroups_stay_until_their_container_is_dropped() {
    let directory = Directory::new();
    directory.put("a", named("by its id"));
    directory.set_started_at("a", SystemTime::UNIX_EPOCH);
    let reported = |directory: &Directory| {
        let mut reported: Vec<_> =
            directory.told_cgroups().into_iter().map(|(path, cgroup)| (path, cgroup.id)).collect();
        reported.sort_unstable();
        reported
    };
    assert_eq!((reported(&directory), directory.cgroups_generation()), (vec![], 0), "nothing to search for");
    let web = Names { cgroup_path: Some("/default/web".into()), ..named("web") };
    directory.put("default/web", web);
    assert_eq!(reported(&directory), [("/default/web".to_owned(), "default/web".to_owned())]);
    let before = directory.cgroups_generation();
    for second in [1, 1, 2] {
        directory.set_started_at("default/web", SystemTime::UNIX_EPOCH + Duration::from_secs(second));
    }
    assert_eq!(directory.cgroups_generation(), before + 2, "each start is a change");
    let mut other = Names::new(Source::socket(Runtime::Containerd, 1), "web", "", [], &[]);
    other.cgroup_path = Some("/default/web".into());
    directory.put("other/web", other);
    assert_eq!(reported(&directory)[0].1, "default/web", "the container of the first socket");
    directory.remove("default/web");
    assert_eq!(reported(&directory)[0].1, "other/web");
    directory.remove("other/web");
    assert_eq!(reported(&directory)[0].1, "default/web", "its cgroup may still exist");
    directory.entries().expire(Instant::now() + LINGER + Duration::from_secs(1));
    assert_eq!(reported(&directory), []);
}
