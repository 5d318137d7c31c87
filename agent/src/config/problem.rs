//! Errors of the configuration file.

use std::{fmt, path::PathBuf};

/// Minimum similarity of a known key for it to be suggested.
const ALIKE: f64 = 0.8;

/// Why a configuration was rejected. The message contains the file and the key.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("read configuration {path} (use --config to choose another file)")]
    Read {
        /// The file.
        path: PathBuf,
        /// The error.
        source: std::io::Error,
    },
    /// The file is not valid TOML, or contains an unknown key or an invalid value.
    #[error("check configuration {path}")]
    Check {
        /// The file.
        path: PathBuf,
        /// The position and the problem.
        source: Box<Problem>,
    },
}

/// A problem in a configuration file.
#[derive(Debug)]
pub struct Problem {
    /// The key with its table; `None` if the file is not valid TOML.
    key: Option<String>,
    /// Contains the line number, the column and the line.
    error: toml::de::Error,
}

impl Problem {
    pub(super) fn syntax(error: toml::de::Error) -> Self {
        Self { key: None, error }
    }

    pub(super) fn value(error: serde_path_to_error::Error<toml::de::Error>) -> Self {
        let key = error.path().to_string();
        Self { key: (key != ".").then_some(key), error: error.into_inner() }
    }

    /// The known key that is most similar to the unknown one.
    fn suggestion(&self) -> Option<&str> {
        let mut names = self.error.message().strip_prefix("unknown field `")?.split('`');
        let unknown = names.next()?;
        let alike = names.skip(1).step_by(2).map(|known| (strsim::jaro_winkler(unknown, known), known));
        let (likeness, known) = alike.max_by(|one, other| one.0.total_cmp(&other.0))?;
        (likeness >= ALIKE).then_some(known)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(key) = &self.key {
            write!(formatter, "key {key}: ")?;
        }
        formatter.write_str(self.error.to_string().trim_end())?;
        match self.suggestion() {
            Some(known) => write!(formatter, "; did you mean `{known}`?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}
