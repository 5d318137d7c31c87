//! The cgroup path of a container, from the OCI runtime configuration that containerd stores. Pure.
//!
//! <https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#cgroups-path>: a path or, for systemd, the
//! slice, a prefix and a name.

use serde::Deserialize;

#[derive(Deserialize)]
struct Spec {
    linux: Option<Linux>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Linux {
    cgroups_path: Option<String>,
}

/// Maximum length of a path in bytes; the kernel does not report longer ones either.
const PATH_BYTES: usize = 1024;

/// The path of the cgroup within its hierarchy, with a leading slash. `None` if the configuration contains no valid
/// path.
pub(super) fn cgroup_path(spec: &[u8]) -> Option<String> {
    let given = serde_json::from_slice::<Spec>(spec).ok()?.linux?.cgroups_path?;
    let path =
        if given.starts_with('/') { given.trim_end_matches('/').to_owned() } else { of_systemd(&given)? };
    let sound = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
    let mut parts = path.strip_prefix('/')?.split('/');
    (path.len() < PATH_BYTES && parts.all(sound)).then_some(path)
}

/// `slice:prefix:name`, converted to the path where systemd places that unit.
fn of_systemd(given: &str) -> Option<String> {
    let mut parts = given.split(':');
    let (slice, prefix, name) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || name.is_empty() {
        return None;
    }
    let slice = if slice.is_empty() { "system.slice" } else { slice };
    let unit = match prefix {
        _ if name.ends_with(".slice") => name.to_owned(),
        "" => format!("{name}.scope"),
        prefix => format!("{prefix}-{name}.scope"),
    };
    // A slice is nested in the slices named by the prefixes of its own name.
    let stem = slice.strip_suffix(".slice")?;
    let mut path = String::new();
    if stem != "-" {
        for end in stem.match_indices('-').map(|(at, _)| at).chain([stem.len()]) {
            path.push('/');
            path.push_str(&stem[..end]);
            path.push_str(".slice");
            if path.len() > PATH_BYTES {
                return None;
            }
        }
    }
    Some(format!("{path}/{unit}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str) -> Option<String> {
        let text = serde_json::json!({ "process": { "args": ["x"] }, "linux": { "cgroupsPath": path } });
        cgroup_path(text.to_string().as_bytes())
    }

    #[test]
    fn both_forms_are_converted_to_a_path() {
        for (given, path) in [
            ("/default/web", "/default/web"),
            ("/default/web/", "/default/web"),
            ("machine.slice:ctr:web", "/machine.slice/ctr-web.scope"),
            (":ctr:web", "/system.slice/ctr-web.scope"),
            ("-.slice::web", "/web.scope"),
            ("a-b-c.slice:ctr:web", "/a.slice/a-b.slice/a-b-c.slice/ctr-web.scope"),
            ("a.slice:ctr:b.slice", "/a.slice/b.slice"),
        ] {
            assert_eq!(of(given).as_deref(), Some(path));
        }
    }

    #[test]
    fn an_invalid_path_is_none() {
        let long = format!("/{}", "x".repeat(2000));
        let many = format!("{}.slice:ctr:web", "a-".repeat(2000));
        for given in [
            "",
            "/",
            "//",
            "web",
            "default/web",
            "/../etc",
            "/a/../b",
            "/a//b",
            "/./a",
            "/a\0b",
            &long,
            &many,
            ":",
            "::",
            "a:b",
            "a:b:c:d",
            "a.scope:b:c",
            "a.slice:/../..:b",
        ] {
            assert_eq!(of(given), None, "{given:?}");
        }
        for text in
            ["", "[]", "{}", "null", r#"{"linux":null}"#, r#"{"linux":{"cgroupsPath":7}}"#, "{\"linux\":"]
        {
            assert_eq!(cgroup_path(text.as_bytes()), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn the_result_is_a_valid_path(
            path in "\\PC{0,40}", near in "(/([a-z.]|\\.\\.|[a-z:-]{0,3}|slice)){0,6}/?",
            bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..100),
        ) {
            let _ = cgroup_path(&bytes);
            for path in [path, near].iter().filter_map(|given| of(given)) {
                proptest::prop_assert!(path.starts_with('/') && path.len() < PATH_BYTES, "{}", path);
                let sound = path[1..].split('/').all(|part| !["", ".", ".."].contains(&part) && !part.contains('\0'));
                proptest::prop_assert!(sound, "{}", path);
            }
        }

        #[test]
        fn a_plain_path_stays_unchanged(parts in proptest::collection::vec("[a-zA-Z0-9_-]{1,20}", 1..8)) {
            let path = format!("/{}", parts.join("/"));
            proptest::prop_assert_eq!(of(&path), Some(path));
        }
    }
}
