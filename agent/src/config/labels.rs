//! `[labels]`: static labels of this host, such as its environment. They are exported once, on `glassbox_host_info`, and
//! never on other series: Prometheus adds labels of a target to all of them.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error as _, MapAccess, Visitor},
};

/// Maximum number of labels.
const LABELS_MAX: usize = 16;
/// Maximum length of the name of a label, in bytes.
const NAME_MAX_BYTES: usize = 64;
/// Maximum length of the value of a label, in bytes.
const VALUE_MAX_BYTES: usize = 128;
/// Labels that Prometheus sets, or that identify the subject of other series: a query that joins them would replace the
/// labels of those series.
const RESERVED: [&str; 13] = [
    "job",
    "instance",
    "le",
    "quantile",
    "container",
    "namespace",
    "pod",
    "id",
    "image",
    "name",
    "gpu",
    "uuid",
    "pci_bus_id",
];

/// `[labels]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Labels(#[serde(serialize_with = "serialized")] Arc<BTreeMap<String, String>>);

impl Labels {
    /// The values by name.
    #[must_use]
    pub fn shared(&self) -> Arc<BTreeMap<String, String>> {
        Arc::clone(&self.0)
    }
}

fn serialized<S: serde::Serializer>(
    labels: &Arc<BTreeMap<String, String>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    labels.as_ref().serialize(serializer)
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Table;

        impl<'de> Visitor<'de> for Table {
            type Value = Labels;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a table of labels, such as env = \"prod\"")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Labels, A::Error> {
                let mut labels = BTreeMap::new();
                while let Some(Name(name)) = entries.next_key()? {
                    if labels.len() == LABELS_MAX {
                        return Err(A::Error::custom(format!("at most {LABELS_MAX} labels are possible")));
                    }
                    let Value(value) = entries.next_value()?;
                    labels.insert(name, value);
                }
                Ok(Labels(Arc::new(labels)))
            }
        }

        deserializer.deserialize_map(Table)
    }
}

/// A valid name of a label.
struct Name(String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let is_word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        if RESERVED.contains(&name.as_str()) || name.starts_with("__") {
            Err(D::Error::custom(format!(
                "the label {name:?} is reserved: Prometheus or the agent sets it; choose another name, such as \"env\""
            )))
        } else if !is_word || name.len() > NAME_MAX_BYTES {
            let shown: String = name.chars().take(NAME_MAX_BYTES).collect();
            Err(D::Error::custom(format!(
                "{shown:?} is not the name of a label: letters, digits and _, no digit first, at most {NAME_MAX_BYTES} \
                 characters"
            )))
        } else {
            Ok(Self(name))
        }
    }
}

/// A valid value of a label.
struct Value(String);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = String::deserialize(deserializer)?;
        if value.is_empty() {
            Err(D::Error::custom("the value is empty, which is no label to Prometheus; remove the key"))
        } else if value.len() > VALUE_MAX_BYTES || value.chars().any(char::is_control) {
            Err(D::Error::custom(format!(
                "the value must have at most {VALUE_MAX_BYTES} bytes and no control characters"
            )))
        } else {
            Ok(Self(value))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The error as the user sees it, without the path of the file.
    fn load(text: &str) -> Result<Labels, String> {
        crate::config::Config::parse(text).map(|config| config.labels).map_err(|error| error.to_string())
    }

    #[test]
    fn labels_are_read_in_the_order_of_their_names() {
        let labels = load("[labels]\nenv = \"prod\"\ncluster = \"eu1\"\n_rack2 = \"größe 7\"\n").unwrap();
        let found: Vec<_> = labels.0.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(found, [("_rack2", "größe 7"), ("cluster", "eu1"), ("env", "prod")]);
        assert_eq!(load("").unwrap(), Labels::default());
    }

    #[test]
    fn an_invalid_label_is_refused_with_line_key_and_remedy() {
        let long = "x".repeat(200);
        for (line, parts) in [
            ("job = \"facefusion\"", ["line 3", "key labels", "\"job\" is reserved"]),
            ("__name__ = \"x\"", ["line 3", "key labels", "reserved"]),
            ("pod = \"x\"", ["line 3", "key labels", "reserved"]),
            ("\"data-center\" = \"x\"", ["line 3", "key labels", "letters, digits and _"]),
            ("\"\" = \"x\"", ["line 3", "key labels", "letters, digits and _"]),
            ("9th = \"x\"", ["line 3", "key labels", "no digit first"]),
            ("\"größe\" = \"x\"", ["line 3", "key labels", "letters, digits and _"]),
            (&format!("{long} = \"x\""), ["line 3", "key labels", "at most 64 characters"]),
            ("rack = \"\"", ["line 3", "key labels.rack", "remove the key"]),
            ("rack = \"a\\nb\"", ["line 3", "key labels.rack", "no control characters"]),
            (&format!("rack = \"{long}\""), ["line 3", "key labels.rack", "at most 128 bytes"]),
            ("rack = 7", ["line 3", "key labels.rack", "expected a string"]),
            ("env = \"other\"", ["line 3", "env", "duplicate key"]),
        ] {
            let error = load(&format!("[labels]\nenv = \"prod\"\n{line}\n")).unwrap_err();
            for part in parts {
                assert!(error.contains(part), "{line}: {part}: {error}");
            }
        }
        assert!(load("labels = 7\n").unwrap_err().contains("a table of labels"));
    }

    #[test]
    fn the_number_of_labels_is_limited() {
        let labels = |count| (0..count).map(|n| format!("l{n} = \"x\"\n")).collect::<String>();
        assert_eq!(load(&format!("[labels]\n{}", labels(16))).unwrap().0.len(), 16);
        assert!(load(&format!("[labels]\n{}", labels(17))).unwrap_err().contains("at most 16 labels"));
    }

    proptest! {
        #[test]
        fn no_label_panics_and_accepted_ones_are_valid(name in "\\PC{0,70}", value in "\\PC{0,140}") {
            if let Ok(labels) = load(&format!("[labels]\n{name:?} = {value:?}\n")) {
                for (name, value) in labels.0.iter() {
                    prop_assert!(name.len() <= 64 && value.len() <= 128 && !RESERVED.contains(&name.as_str()));
                    prop_assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
                }
            }
        }
    }
}
