//! `[requests]`: names of the functions of Gradio applications.

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::rename::matched;

/// `[requests]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Requests {
    /// Names of functions; the first match wins.
    #[serde(deserialize_with = "names")]
    pub functions: Vec<FunctionName>,
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
        Some(rule) => Err(D::Error::custom(format!("the name of function {} is empty", rule.function))),
        None => Ok(names),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_named_only_in_matching_containers() {
        let rule = FunctionName { container: "face*-1".into(), function: 7, name: "swap".into() };
        assert_eq!(rule.apply("facefusion-1", 7), Some("swap"));
        assert_eq!(rule.apply("facefusion-1", 8), None);
        assert_eq!(rule.apply("facefusion-2", 7), None);
    }
}
