//! Finds the selectors of a query without a parser of PromQL. In our dashboards every selector has braces, so a name before
//! a brace is a metric, a name before a parenthesis is a function, and any other name must be a keyword.

const WORDS: [&str; 13] = [
    "and",
    "or",
    "unless",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "bool",
    "offset",
    "inf",
    "nan",
];
/// Keywords that are followed by a list of labels.
const BEFORE_LABELS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// One selector of a query.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Selector<'a> {
    /// The metric.
    pub(super) metric: &'a str,
    /// The text between the braces.
    pub(super) matchers: &'a str,
    /// The text between the brackets; empty without brackets.
    pub(super) range: &'a str,
    /// The innermost function or aggregation around it; empty if there is none.
    pub(super) function: &'a str,
}

/// Every selector of a query, from left to right.
pub(super) fn selectors(query: &str) -> Result<Vec<Selector<'_>>, String> {
    let mut found = Vec::new();
    // The function of each open parenthesis.
    let mut open: Vec<&str> = Vec::new();
    let mut rest = query;
    while let Some(next) = rest.chars().next() {
        if next.is_ascii_alphabetic() || next == '_' {
            let end =
                rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':').unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            let after = after.trim_start();
            if BEFORE_LABELS.contains(&name) {
                rest = after
                    .strip_prefix('(')
                    .map_or(Ok(after), |labels| until(labels, ')').map(|(_, rest)| rest))?;
                // An aggregation: its labels are between its name and its parenthesis.
                continue;
            }
            if let Some(matchers) = after.strip_prefix('{') {
                let (matchers, after) = until(matchers, '}')?;
                let (range, after) =
                    after.strip_prefix('[').map_or(Ok(("", after)), |range| until(range, ']'))?;
                let function = open.last().copied().unwrap_or_default();
                found.push(Selector { metric: name, matchers, range, function });
                rest = after;
            } else if let Some(inside) = after.strip_prefix('(') {
                open.push(name);
                rest = inside;
            } else if after.starts_with("by ") || after.starts_with("without ") || WORDS.contains(&name) {
                rest = after;
            } else {
                return Err(format!("{name} is neither a selector with braces nor a word of PromQL"));
            }
            continue;
        }
        if let Some(variable) = rest.strip_prefix('$') {
            // A variable of Grafana in place of a duration.
            rest = variable.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
            continue;
        }
        match next {
            '(' => open.push(""),
            ')' => {
                open.pop().ok_or("unmatched closing parenthesis")?;
            }
            _ => {}
        }
        let digits = |c: char| c.is_ascii_alphanumeric() || c == '.';
        // A number may contain letters, as in 1e3.
        rest = if next.is_ascii_digit() { rest.trim_start_matches(digits) } else { &rest[next.len_utf8()..] };
    }
    if open.is_empty() { Ok(found) } else { Err("unmatched opening parenthesis".into()) }
}

fn until(text: &str, end: char) -> Result<(&str, &str), String> {
    text.split_once(end).ok_or_else(|| format!("no {end} in {text}"))
}

#[test]
fn selectors_are_found_with_their_range_and_function() {
    let query =
        r#"sum by (a, b) (rate(x_total{c=~"$c"}[$__rate_interval])) / on (a) group_left () max(y{} > 1e3)"#;
    let found = selectors(query).unwrap();
    let x =
        Selector { metric: "x_total", matchers: r#"c=~"$c""#, range: "$__rate_interval", function: "rate" };
    let y = Selector { metric: "y", matchers: "", range: "", function: "max" };
    assert_eq!(found, [x, y]);
    let found = selectors("sum (x{} unless x{} offset $__range)").unwrap();
    assert!(found.len() == 2 && found.iter().all(|selector| selector.metric == "x"), "{found:?}");
}

#[test]
fn a_metric_without_braces_is_refused() {
    assert_eq!(
        selectors("rate(up[5m])"),
        Err("up is neither a selector with braces nor a word of PromQL".into())
    );
    assert!(selectors("sum(x{)").is_err());
    assert!(selectors("sum(x{}").is_err());
    assert!(selectors("x{})").is_err());
}
