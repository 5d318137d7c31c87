//! Names of containers: what the page shows, which link leads to the details, and which container such a link names.

use super::{Escaped, Request, escaped::is_visible, request};
use crate::snapshot::{ContainerRow, Snapshot, identity::Identity};

/// The path of the details of a container, before its name.
pub(super) const PREFIX: &str = "/c/";
/// The route of the details.
pub(in super::super) const ROUTE: &str = "/c/{*name}";
/// Number of characters of an ID that replace a name without visible characters, and minimum number that a link needs.
pub(super) const SHORT_ID: usize = 12;

/// The display name, or the beginning of the ID if the name has no visible characters.
pub(super) fn name(identity: &Identity) -> &str {
    if is_visible(&identity.container) {
        return &identity.container;
    }
    short_id(identity)
}

/// The beginning of the ID.
pub(super) fn short_id(identity: &Identity) -> &str {
    identity.id.get(..SHORT_ID).unwrap_or(&identity.id)
}

/// The name as a link to the details.
pub(super) fn linked(row: &ContainerRow, request: &Request) -> String {
    format!("<a href=\"{}\">{}</a>", request.link(&path(row)), Escaped(name(&row.identity)))
}

/// The path of the details. The full name if it is an ordinary one and names this row, or else the ID. Browsers resolve
/// segments such as `..`, even if they are escaped.
pub(super) fn path(row: &ContainerRow) -> String {
    let full = row.identity.full_name();
    let ordinary = full.split('/').all(|segment| is_visible(segment) && !segment.starts_with('.'));
    let text = if ordinary && row.owns_name { &full } else { &row.identity.id };
    let segments: Vec<_> = text.split('/').map(|segment| request::escaped(segment).to_string()).collect();
    format!("{PREFIX}{}", segments.join("/"))
}

/// The key of the container that a link names: by its full name, its display name if only one container has it, its ID, or
/// the beginning of its ID. A running container takes precedence.
pub(in super::super) fn find(snapshot: &Snapshot, text: &str) -> Option<u64> {
    let all = || snapshot.containers.iter();
    let only = |mut rows: Vec<&ContainerRow>| {
        rows.sort_by_key(|row| (!row.is_running(), !row.owns_name));
        let first = *rows.first()?;
        let is_only = rows.iter().all(|row| row.identity.id == first.identity.id);
        is_only.then_some(first.key)
    };
    let named = |row: &&ContainerRow| row.owns_name && row.identity.full_name() == text;
    all()
        .find(named)
        .map(|row| row.key)
        .or_else(|| only(all().filter(|row| row.owns_name && row.identity.container == text).collect()))
        .or_else(|| only(all().filter(|row| row.identity.id == text).collect()))
        .or_else(|| {
            let is_long = text.len() >= SHORT_ID;
            only(all().filter(|row| is_long && row.identity.id.starts_with(text)).collect())
        })
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::SystemTime};

    use super::*;

    fn row(key: u64, container: &str, pod: Option<&str>, id: &str) -> ContainerRow {
        let identity = Identity {
            id: id.into(),
            container: container.into(),
            namespace: pod.map(|_| "prod".into()),
            pod: pod.map(str::to_owned),
            ..Identity::default()
        };
        ContainerRow { key, ..ContainerRow::new(Arc::new(identity), SystemTime::UNIX_EPOCH) }
    }

    fn snapshot(containers: Vec<ContainerRow>) -> Snapshot {
        Snapshot {
            delivery: Default::default(),
            taken_at: SystemTime::UNIX_EPOCH,
            containers,
            host: Default::default(),
            agent: Default::default(),
        }
    }

    #[test]
    fn a_link_names_one_container() {
        let (one, other) = ("a".repeat(64), "b".repeat(64));
        let snapshot = snapshot(vec![
            row(1, "web", Some("p"), &one),
            row(2, "web", Some("q"), &other),
            row(3, "db", None, "short"),
        ]);
        for (text, key) in [
            ("prod/p/web", Some(1)),
            ("prod/q/web", Some(2)),
            ("web", None),
            ("db", Some(3)),
            (one.as_str(), Some(1)),
            ("bbbbbbbbbbbb", Some(2)),
            ("bbb", None),
            ("short", Some(3)),
            ("", None),
            ("..", None),
        ] {
            assert_eq!(find(&snapshot, text), key, "{text}");
        }
    }

    #[test]
    fn every_container_can_be_reached_by_its_link() {
        let names = [
            "web", "a b", "融合", "..", ".", "a/../b", "a//b", "", "\u{200b}", "<b>\"", "%2e%2e", "a?b#c",
            "é",
        ];
        let rows = names.iter().zip(0..).map(|(name, key)| row(key, name, None, &format!("{key:064x}")));
        let snapshot = snapshot(rows.collect());
        for row in &snapshot.containers {
            let path = path(row);
            assert!(
                path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/%-_.~".contains(&byte)),
                "{path}"
            );
            let text = percent_encoding::percent_decode_str(path.strip_prefix(PREFIX).unwrap());
            assert_eq!(find(&snapshot, &text.decode_utf8().unwrap()), Some(row.key), "{path}");
            assert!(path.split('/').all(|segment| segment != ".." && segment != "."), "{path}");
        }
    }

    #[test]
    fn an_ended_run_is_reached_by_its_id_and_the_running_one_by_its_name() {
        let mut ended = row(1, "web", None, &"a".repeat(64));
        (ended.running, ended.owns_name) = (false, false);
        let snapshot = snapshot(vec![ended, row(2, "web", None, &"b".repeat(64))]);
        let keys: Vec<_> =
            snapshot.containers.iter().map(|row| find(&snapshot, &path(row)[PREFIX.len()..])).collect();
        assert_eq!(keys, [Some(1), Some(2)]);
    }
}
