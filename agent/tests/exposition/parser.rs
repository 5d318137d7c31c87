//! A small, strict reader of text format 0.0.4: it takes what the format allows and panics at anything else.

use std::collections::BTreeMap;

/// A family as it was read.
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) samples: Vec<Sample>,
}

/// A sample as it was read.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

/// Reads a text: each family has HELP, then TYPE, then samples, and occurs once.
pub(crate) fn parse(text: &str) -> Vec<Family> {
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is not ended");
    let mut families: Vec<Family> = Vec::new();
    let mut lines = text.strip_suffix('\n').unwrap_or(text).split('\n').filter(|_| !text.is_empty());
    while let Some(line) = lines.next() {
        if line == format!("# {}", glassbox::exposition::DEMO) {
            assert!(families.is_empty(), "what is said of all comes first");
        } else if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').expect("HELP has no text");
            assert!(!help.is_empty());
            let kind =
                lines.next().and_then(|line| line.strip_prefix("# TYPE ")).expect("no TYPE after HELP");
            let (typed, kind) = kind.split_once(' ').unwrap();
            assert_eq!(typed, name);
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{kind}");
            assert!(families.iter().all(|family| family.name != name), "{name} comes twice");
            families.push(Family { name: name.into(), kind: kind.into(), samples: Vec::new() });
        } else {
            let sample = sample(line);
            let family = families.last_mut().expect("a sample before any family");
            let suffixes: &[&str] =
                if family.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            let suffix = sample.name.strip_prefix(&family.name).expect("a sample of another family");
            assert!(suffixes.contains(&suffix), "{line}");
            family.samples.push(sample);
        }
    }
    assert!(families.iter().all(|family| !family.samples.is_empty()), "a family without samples");
    families
}

fn sample(line: &str) -> Sample {
    let end = line.find(['{', ' ']).expect("no value");
    let (name, rest) = line.split_at(end);
    assert_name(name);
    let mut labels = BTreeMap::new();
    let mut rest = rest;
    if let Some(mut inside) = rest.strip_prefix('{') {
        loop {
            let (label, after) = inside.split_once("=\"").expect("a label without a value");
            assert_name(label);
            let (value, after) = quoted(after);
            assert!(labels.insert(label.into(), value).is_none(), "label {label} comes twice");
            match after.strip_prefix(',') {
                Some(next) => inside = next,
                None => {
                    rest = after.strip_prefix('}').expect("labels are not closed");
                    break;
                }
            }
        }
    }
    let value = rest.strip_prefix(' ').expect("no space before the value");
    assert!(!value.contains(' '), "a timestamp: {line}");
    Sample { name: name.into(), labels, value: value.parse().expect("the value is no number") }
}

/// The text up to the closing quote, without its escapes, and what follows.
fn quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, c @ ('\\' | '"'))) => value.push(c),
                other => panic!("no such escape: {other:?}"),
            },
            c => value.push(c),
        }
    }
    panic!("a value is not closed: {text}")
}

fn assert_name(name: &str) {
    assert!(!name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()), "{name:?}");
    assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{name:?}");
}
