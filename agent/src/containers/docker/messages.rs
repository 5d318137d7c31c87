//! The responses of Docker and Podman, with only the fields that are read, and with limits on what is kept. Lists are
//! decoded element by element, so that a small text cannot take much memory. Pure.
//!
//! <https://docs.docker.com/reference/api/engine/>. Missing fields and null mean unknown.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

/// Maximum number of labels of one container that are decoded.
const LABELS_MAX: usize = 1024;
/// Maximum number of names of one container that are decoded: its own and the aliases that linked containers use.
const NAMES_MAX: usize = 64;

/// One element of `GET /containers/json`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    pub(super) id: Option<String>,
    pub(super) names: Option<Names>,
    pub(super) image: Option<String>,
    pub(super) labels: Option<Labels>,
    pub(super) state: Option<String>,
    /// Seconds since 1970.
    pub(super) created: Option<i64>,
}

/// `GET /containers/ID/json`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Inspected {
    pub(super) id: Option<String>,
    pub(super) created: Option<String>,
    pub(super) restart_count: Option<i64>,
    pub(super) state: Option<InspectedState>,
    pub(super) config: Option<InspectedConfig>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct InspectedState {
    pub(super) status: Option<String>,
    pub(super) started_at: Option<String>,
    pub(super) finished_at: Option<String>,
    pub(super) exit_code: Option<i64>,
    #[serde(rename = "OOMKilled")]
    pub(super) oom_killed: Option<bool>,
    pub(super) health: Option<InspectedHealth>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct InspectedHealth {
    pub(super) status: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct InspectedConfig {
    pub(super) image: Option<String>,
    pub(super) labels: Option<Labels>,
}

/// One line of `GET /events`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Event {
    #[serde(rename = "Action")]
    pub(super) action: Option<String>,
    #[serde(rename = "Actor")]
    pub(super) actor: Option<Actor>,
    /// Nanoseconds since 1970.
    #[serde(rename = "timeNano")]
    pub(super) time_nano: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Actor {
    #[serde(rename = "ID")]
    pub(super) id: Option<String>,
    /// The container's labels, plus the attributes of the event.
    #[serde(rename = "Attributes")]
    pub(super) attributes: Option<Labels>,
}

/// Labels, at most [`LABELS_MAX`].
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Labels(pub(super) BTreeMap<String, String>);

impl Labels {
    pub(super) fn get(&self, key: &str) -> &str {
        self.0.get(key).map_or("", String::as_str)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;

        impl<'de> Visitor<'de> for Visit {
            type Value = Labels;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("labels")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
                let mut labels = BTreeMap::new();
                while labels.len() < LABELS_MAX
                    && let Some((key, value)) = map.next_entry::<String, Option<String>>()?
                {
                    labels.insert(key, value.unwrap_or_default());
                }
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Labels(labels))
            }
        }

        deserializer.deserialize_map(Visit)
    }
}

/// The names of a container, at most [`NAMES_MAX`].
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Names(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut names = Vec::new();
        deserializer.deserialize_seq(Each::new(NAMES_MAX, |name| names.push(name)))?;
        Ok(Self(names))
    }
}

/// Decodes a listing and passes its elements to `each` one by one, at most `max`.
///
/// # Errors
/// If the text is not a list of containers. Elements before the error were already passed on.
pub(super) fn listing(text: &[u8], max: usize, each: impl FnMut(Listed)) -> serde_json::Result<()> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    deserializer.deserialize_seq(Each::new(max, each))?;
    deserializer.end()
}

/// Passes the elements of a list on one by one, and skips those beyond `max`.
struct Each<F, T> {
    each: F,
    max: usize,
    element: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>, F: FnMut(T)> Each<F, T> {
    fn new(max: usize, each: F) -> Self {
        Self { each, max, element: PhantomData }
    }
}

impl<'de, T: Deserialize<'de>, F: FnMut(T)> Visitor<'de> for Each<F, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        let mut taken = 0;
        while taken < self.max
            && let Some(element) = list.next_element()?
        {
            (self.each)(element);
            taken += 1;
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn listed(text: &str, max: usize) -> serde_json::Result<Vec<Listed>> {
        let mut all = Vec::new();
        listing(text.as_bytes(), max, |container| all.push(container)).map(|()| all)
    }

    #[test]
    fn a_list_is_truncated_at_the_limit_and_the_rest_must_still_be_valid() {
        let text = format!("[{}]", vec![r#"{"Id":"0"}"#; 1000].join(","));
        assert_eq!(listed(&text, 10).unwrap().len(), 10);
        assert_eq!(listed(&text, 2000).unwrap().len(), 1000);
        for wrong in ["null", "{}", "[{}", "[{}] x", "[1]", r#"[{"Id":1}]"#, ""] {
            assert!(listed(wrong, 10).is_err(), "{wrong}");
        }
        assert!(listed("[{},{},{]", 1).is_err());
    }

    #[test]
    fn elements_before_an_invalid_one_are_passed_on() {
        for broken in [r#"{"Id":1}"#, "7", "{", r#"{"Names":"/a"}"#] {
            let text = format!(r#"[{{"Id":"a"}},{{"Id":"b"}},{broken},{{"Id":"c"}}]"#);
            let mut ids = Vec::new();
            assert!(listing(text.as_bytes(), 10, |container| ids.extend(container.id)).is_err(), "{broken}");
            assert_eq!(ids, ["a", "b"], "{broken}");
        }
    }

    #[test]
    fn labels_and_names_are_truncated_at_the_limit() {
        let labels: Vec<_> = (0..5000).map(|number| format!(r#""{number:06}":"""#)).collect();
        let names = vec![r#""/a/b""#; 5000].join(",");
        let text = format!(r#"[{{"Labels":{{{}}},"Names":[{names}],"Image":"i"}}]"#, labels.join(","));
        let container = listed(&text, 10).unwrap().remove(0);
        assert_eq!(container.labels.unwrap().0.len(), LABELS_MAX);
        assert_eq!(container.names.unwrap().0.len(), NAMES_MAX);
        assert_eq!(container.image.as_deref(), Some("i"));
    }

    #[test]
    fn missing_fields_and_null_are_unknown() {
        for text in ["[{}]", r#"[{"Id":null,"Names":null,"Labels":null,"State":null,"Created":null}]"#] {
            let container = listed(text, 10).unwrap().remove(0);
            assert!(container.id.is_none() && container.names.is_none() && container.labels.is_none());
        }
        let labels = listed(r#"[{"Labels":{"a":null}}]"#, 1).unwrap().remove(0).labels.unwrap();
        assert_eq!(labels.get("a"), "");
    }

    /// Almost valid JSON, with the keys that are decoded.
    fn near_json() -> impl Strategy<Value = String> {
        let token = prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "null",
            "true",
            "-1",
            "1e999",
            "99999999999999999999",
            r#""Id""#,
            r#""Names""#,
            r#""Labels""#,
            r#""State""#,
            r#""Actor""#,
            r#""Attributes""#,
            r#""timeNano""#,
            r#""\ud800""#,
            r#""x""#,
            r#""Health""#,
            r#""Status""#,
            r#""ExitCode""#,
            " ",
            "\n",
            r#"{"Id":"0"}"#,
        ]);
        prop::collection::vec(token, 0..60).prop_map(|tokens| tokens.concat())
    }

    proptest! {
        #[test]
        fn no_text_causes_a_panic_or_exceeds_the_limit(
            near in near_json(), bytes in prop::collection::vec(any::<u8>(), 0..200), max in 0usize..5,
        ) {
            for text in [near.as_bytes(), bytes.as_slice()] {
                let mut taken = 0;
                let _ = listing(text, max, |_| taken += 1);
                prop_assert!(taken <= max);
                let _ = serde_json::from_slice::<Inspected>(text);
                let _ = serde_json::from_slice::<Event>(text);
            }
        }

        #[test]
        fn listings_of_a_daemon_are_decoded(
            id in "[0-9a-f]{64}", name in "\\PC{0,20}", labels in prop::collection::btree_map("\\PC{0,10}", "\\PC{0,10}", 0..9),
            created: i64,
        ) {
            let text = serde_json::json!([{
                "Id": id, "Names": [name], "Labels": labels, "State": "running", "Created": created,
                "Ports": [{"PrivatePort": 80}], "Mounts": [],
            }]).to_string();
            let container = listed(&text, 10).unwrap().remove(0);
            prop_assert_eq!(container.id, Some(id));
            prop_assert_eq!(container.names, Some(Names(vec![name])));
            prop_assert_eq!(container.labels, Some(Labels(labels)));
            prop_assert_eq!(container.created, Some(created));
        }
    }
}
