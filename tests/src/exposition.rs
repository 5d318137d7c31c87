//! What an exporter shows, taken apart: text format 0.0.4 of whichever program, with or without timestamps.

use std::collections::BTreeMap;

/// A sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The metric's name.
    pub name: String,
    /// Its labels without the empty ones, which to Prometheus are none.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

/// All of a scrape.
#[derive(Clone, Debug, Default)]
pub struct Scrape {
    /// The type of each family.
    pub types: BTreeMap<String, String>,
    /// The samples, in their order.
    pub samples: Vec<Sample>,
}

impl Scrape {
    /// Takes a text apart.
    ///
    /// # Panics
    /// At a line that is none of the format.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut scrape = Self::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(typed) = line.strip_prefix("# TYPE ") {
                let (name, kind) = typed.split_once(' ').unwrap_or_else(|| panic!("a type: {line}"));
                scrape.types.insert(name.into(), kind.into());
            } else if !line.starts_with('#') {
                scrape.samples.push(sample(line).unwrap_or_else(|| panic!("a sample: {line}")));
            }
        }
        scrape
    }

    /// The samples of one name whose labels include these.
    pub fn of<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(String, String)],
    ) -> impl Iterator<Item = &'a Sample> + 'a {
        let has = |sample: &&Sample| {
            labels.iter().all(|(label, value)| sample.labels.get(label).is_some_and(|is| is == value))
        };
        self.samples.iter().filter(move |sample| sample.name == name).filter(has)
    }
}

fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            if !value.is_empty() {
                labels.insert(label.to_owned(), value);
            }
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = &rest[1..];
    }
    let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
    Some(Sample { name: name.to_owned(), labels, value })
}

/// The text up to the closing quote, without its escapes, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_any_exporter_is_taken_apart() {
        let scrape = Scrape::parse(
            "# HELP a b\n# TYPE a counter\na{x=\"1,\\\"}\\n\",y=\"\"} 2.5e-3 1395066363000\na 7\nb{} +Inf\n",
        );
        assert_eq!(scrape.types["a"], "counter");
        let values: Vec<f64> = scrape.samples.iter().map(|sample| sample.value).collect();
        assert_eq!(values, [0.0025, 7.0, f64::INFINITY]);
        assert_eq!(scrape.samples[0].labels, [("x".to_owned(), "1,\"}\n".to_owned())].into());
        assert_eq!(scrape.of("a", &[("x".into(), "1,\"}\n".into())]).count(), 1);
    }
}
