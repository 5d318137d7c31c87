//! `[requests]`: which requests of containers are counted, and names of the functions of Gradio applications.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::{bounded::Millis, rename::matched};

/// Maximum number of configured routes; the others are built in.
pub const ROUTES_MAX: usize = 6;
/// Maximum length of the prefix of a route, in bytes.
const PREFIX_MAX_BYTES: usize = 24;

/// `[requests]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Requests {
    /// Ports whose requests are counted; empty for all ports on which containers listen.
    #[serde(deserialize_with = "ports")]
    pub ports: Vec<u16>,
    /// Further routes: prefixes of request targets.
    #[serde(deserialize_with = "routes")]
    pub routes: Vec<String>,
    /// Minimum duration of the requests that are logged; 0 for none.
    pub slow_after_ms: Millis<0, 3_600_000>,
    /// Whether the dimensions of uploaded images are read.
    pub upload_images: bool,
    /// Names of the functions of Gradio applications; the first match wins.
    #[serde(deserialize_with = "names")]
    pub functions: Vec<FunctionName>,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            ports: Vec::new(),
            routes: Vec::new(),
            slow_after_ms: Duration::ZERO.into(),
            upload_images: false,
            functions: Vec::new(),
        }
    }
}

/// Gives a function of a Gradio application a name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FunctionName {
    /// The display names of the containers; a `*` matches any sequence of characters.
    #[serde(default = "any")]
    pub container: String,
    /// The number of the function in the application.
    pub function: u32,
    /// Its name.
    pub name: String,
}

impl FunctionName {
    /// The name of a function in a container; `None` if the rule does not match.
    #[must_use]
    pub fn apply(&self, container: &str, function: u32) -> Option<&str> {
        let matches = self.function == function && matched(&self.container, container).is_some();
        matches.then_some(self.name.as_str())
    }
}

fn any() -> String {
    "*".into()
}

fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<FunctionName>, D::Error> {
    let names = Vec::<FunctionName>::deserialize(deserializer)?;
    match names.iter().find(|rule| rule.name.is_empty()) {
        Some(rule) => {
            Err(D::Error::custom(format!("function {} needs a name: name must not be empty", rule.function)))
        }
        None => Ok(names),
    }
}

fn ports<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u16>, D::Error> {
    let ports = Vec::<u16>::deserialize(deserializer)?;
    if ports.contains(&0) {
        return Err(D::Error::custom(
            "0 is not a port; to count requests of all ports, leave the list empty",
        ));
    }
    Ok(ports)
}

fn routes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let routes = Vec::<String>::deserialize(deserializer)?;
    if routes.len() > ROUTES_MAX {
        return Err(D::Error::custom(format!("at most {ROUTES_MAX} routes are possible")));
    }
    for route in &routes {
        if !route.starts_with('/') || !route.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(D::Error::custom(format!(
                "route {route:?} is invalid: it must start with / and contain only visible ASCII characters"
            )));
        }
        if route.len() > PREFIX_MAX_BYTES {
            return Err(D::Error::custom(format!(
                "route {route:?} is longer than {PREFIX_MAX_BYTES} bytes; a prefix is enough"
            )));
        }
    }
    Ok(routes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Requests, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn routes_are_paths_of_limited_length_and_number() {
        assert_eq!(parse("routes = [\"/api/\"]").unwrap().routes, ["/api/"]);
        for (text, reason) in [
            ("routes = [\"api\"]", "must start with /"),
            ("routes = [\"/a b\"]", "only visible ASCII"),
            ("routes = [\"/a-prefix-of-more-than-24-bytes\"]", "longer than 24 bytes"),
            ("routes = [\"/1\",\"/2\",\"/3\",\"/4\",\"/5\",\"/6\",\"/7\"]", "at most 6"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn port_0_is_refused() {
        assert_eq!(parse("ports = [7860]").unwrap().ports, [7860]);
        assert!(parse("ports = [0]").unwrap_err().contains("leave the list empty"));
    }

    #[test]
    fn a_function_is_named_only_in_matching_containers() {
        let rule = FunctionName { container: "face*-1".into(), function: 7, name: "swap".into() };
        assert_eq!(rule.apply("facefusion-1", 7), Some("swap"));
        assert_eq!(rule.apply("facefusion-1", 8), None);
        assert_eq!(rule.apply("facefusion-2", 7), None);
    }
}
