//! Why a configuration was refused.

use std::{fmt, path::PathBuf};

/// Names that are less alike than this are no suggestion.
const ALIKE: f64 = 0.8;

/// Why a configuration was refused. The text names the file and the key.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("read configuration {path} (name another with --config)")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML, has an unknown key, or a value that is not allowed.
    #[error("check configuration {path}")]
    Check {
        /// The file.
        path: PathBuf,
        /// Where, and what is wrong.
        source: Box<Problem>,
    },
}

/// What is wrong with a file.
#[derive(Debug)]
pub struct Problem {
    /// The key with its table; `None` if the file is not TOML.
    key: Option<String>,
    /// With line, column, and the line itself.
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

    /// The known key that is most like the unknown one.
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
