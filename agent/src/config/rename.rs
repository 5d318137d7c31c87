//! The user's rules for display names, and detection of rules that can never have an effect. Pure.

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

/// A rule that gives containers another display name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rename {
    /// The runtime name to match; a `*` matches any sequence of characters.
    pub name: String,
    /// The new display name; `*` is replaced by the text that the first `*` in `name` matched.
    pub to: String,
}

impl Rename {
    /// The display name for a runtime name; `None` if the rule does not match or the result is empty.
    #[must_use]
    pub fn apply(&self, name: &str) -> Option<String> {
        let first = matched(&self.name, name)?;
        let to = if self.name.contains('*') { self.to.replace('*', first) } else { self.to.clone() };
        (!to.is_empty()).then_some(to)
    }

    /// True if this rule matches every name that `other` matches. May return false for unusual patterns that it covers.
    fn covers(&self, other: &Self) -> bool {
        // The literal parts of this rule do not contain a `*`, so only a `*` of this rule can match a `*` of the other
        // one.
        matched(&self.name, &other.name).is_some()
    }
}

/// The text that the first `*` in `pattern` matches in `name`, empty without a `*`; `None` if the pattern does not match.
pub(super) fn matched<'a>(pattern: &str, name: &'a str) -> Option<&'a str> {
    let Some((start, rest)) = pattern.split_once('*') else {
        return (pattern == name).then_some("");
    };
    let after_start = name.strip_prefix(start)?;
    let (middle, end) = rest.rsplit_once('*').map_or((None, rest), |(middle, end)| (Some(middle), end));
    let open = after_start.strip_suffix(end)?;
    let mut first = open;
    if let Some(middle) = middle {
        // The leftmost match of each part finds a match if there is one.
        let mut left = open;
        for (number, part) in middle.split('*').enumerate() {
            let at = left.find(part)?;
            if number == 0 {
                first = &left[..at];
            }
            left = &left[at + part.len()..];
        }
    }
    Some(first)
}

/// Rules with at most one `*` per field. With several, it would be ambiguous which one the `*` in `to` refers to.
pub(super) fn rules<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Rename>, D::Error> {
    let rules = Vec::<Rename>::deserialize(deserializer)?;
    for (field, text) in rules.iter().flat_map(|rule| [("name", &rule.name), ("to", &rule.to)]) {
        if text.matches('*').count() > 1 {
            let problem = format!("`{field}` {text:?} has more than one *; only one is allowed");
            return Err(D::Error::custom(problem));
        }
    }
    Ok(rules)
}

/// The rules that can never have an effect, for any set of containers: index and reason.
#[must_use]
pub fn ineffective_renames(rules: &[Rename]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        let shadow = rules[..index].iter().find(|earlier| !earlier.to.is_empty() && earlier.covers(rule));
        if rule.to.is_empty() {
            found.push((index, "`to` is empty".to_owned()));
        } else if let Some(earlier) = shadow {
            let reason = format!("the earlier rule for {:?} matches all of these names first", earlier.name);
            found.push((index, reason));
        } else if let Some(earlier) = rules[..index].iter().find(|earlier| is_same_literal(earlier, rule)) {
            let reason = format!(
                "the rule for {:?} sets the same name {:?}, which only one container can have at a time",
                earlier.name, rule.to
            );
            found.push((index, reason));
        }
    }
    found
}

/// True if both rules set the same name, regardless of the names that they match.
fn is_same_literal(one: &Rename, other: &Rename) -> bool {
    one.to == other.to && !one.to.contains('*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str, to: &str) -> Rename {
        Rename { name: name.into(), to: to.into() }
    }

    #[test]
    fn rules_that_cannot_have_an_effect_are_found() {
        let rules = [
            rule("studio_*_gpu", "*"),
            rule("studio_a_gpu", "a"),
            rule("studio_*", "other-*"),
            rule("studio_*_gpu", "again"),
            rule("web", "front"),
            rule("www", "front"),
            rule("gone", ""),
            rule("gone", "back"),
        ];
        let indexes: Vec<usize> = ineffective_renames(&rules).iter().map(|(index, _)| *index).collect();
        assert_eq!(indexes, [1, 3, 5, 6]);
        assert!(ineffective_renames(&rules[..1]).is_empty());
    }

    #[test]
    fn a_rule_covers_another_if_it_matches_all_names_that_the_other_matches() {
        for (wide, narrow, covers) in [
            ("*", "a*b", true),
            ("a*", "a*b", true),
            ("a*b", "a*", false),
            ("*x*", "*x", true),
            ("a", "a*", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(rule(wide, "x").covers(&rule(narrow, "y")), covers, "{wide} {narrow}");
        }
    }
}
