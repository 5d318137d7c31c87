//! `[programs]`: the programs whose processes are counted per container.

use glassbox_ebpf::container_programs::{NAME_MAX_BYTES, PROGRAMS_MAX};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

/// The programs that are counted by default.
const DEFAULT: [&str; 4] = ["ffmpeg", "ffprobe", "curl", "nvidia-smi"];

/// `[programs]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Programs {
    /// The names of their files.
    #[serde(deserialize_with = "names")]
    pub names: Vec<String>,
}

impl Default for Programs {
    fn default() -> Self {
        Self { names: DEFAULT.map(str::to_owned).to_vec() }
    }
}

fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    if names.is_empty() {
        return Err(D::Error::custom(
            "the list is empty; to count no programs, set collectors.programs = false",
        ));
    }
    if names.len() > PROGRAMS_MAX {
        return Err(D::Error::custom(format!("at most {PROGRAMS_MAX} programs are possible")));
    }
    for (index, name) in names.iter().enumerate() {
        if name.is_empty() || name.len() > NAME_MAX_BYTES {
            return Err(D::Error::custom(format!(
                "program {name:?} is invalid: 1 to {NAME_MAX_BYTES} bytes are possible; of a longer name, the kernel \
                 keeps the first {NAME_MAX_BYTES}"
            )));
        }
        if name.contains(|char: char| char == '/' || char.is_control()) {
            return Err(D::Error::custom(format!(
                "program {name:?} is invalid: name the file without its directory, and without control characters"
            )));
        }
        if names[..index].contains(name) {
            return Err(D::Error::custom(format!("program {name:?} is listed twice")));
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Programs, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn names_are_those_of_files() {
        assert_eq!(parse("").unwrap().names, ["ffmpeg", "ffprobe", "curl", "nvidia-smi"]);
        assert_eq!(parse("names = [\"a b\", \"größe\"]").unwrap().names, ["a b", "größe"]);
        for (text, reason) in [
            ("names = []", "collectors.programs = false"),
            ("names = [\"\"]", "1 to 15 bytes"),
            ("names = [\"1234567890123456\"]", "keeps the first 15"),
            ("names = [\"/usr/bin/curl\"]", "without its directory"),
            ("names = [\"a\\u0000b\"]", "control characters"),
            ("names = [\"curl\", \"curl\"]", "listed twice"),
            ("names = [\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\"]", "at most 8"),
            ("name = []", "unknown field"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_name_panics_and_accepted_ones_fit_in_the_kernel(name in "\\PC{0,20}") {
            if let Ok(programs) = parse(&format!("names = [{name:?}]\n")) {
                prop_assert!((1..=NAME_MAX_BYTES).contains(&programs.names[0].len()));
            }
        }
    }
}
