//! The pages for operators: links, metrics, configuration keys, commands and quoted messages exist.

use std::{collections::BTreeSet, fs, path::Path};

use clap::CommandFactory as _;
use glassbox::{cli::Cli, config::Config};

const PAGES: [&str; 7] = [
    "README.md",
    "README.zh-CN.md",
    "docs/install.md",
    "docs/labels.md",
    "docs/migration.md",
    "docs/troubleshooting.md",
    "docs/upgrade.md",
];
/// Kernel settings with names like configuration keys of the agent.
const SYSCTLS: [&str; 1] = ["kernel.perf_event_paranoid"];
/// Labels that begin like a metric.
const NOT_METRICS: [&str; 2] = ["container_label_", "DCGM_FI_DRIVER_VERSION"];
/// Beginnings of commands, which look like messages.
const PROGRAMS: [&str; 3] = ["ausearch ", "docker ", "glassbox "];

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn page(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The code of a page: the lines of its blocks with their language, and the text between backticks.
fn code(text: &str) -> Vec<(&str, &str)> {
    let (mut found, mut language) = (Vec::new(), None);
    for line in text.lines() {
        if let Some(rest) = line.trim_start().strip_prefix("```") {
            language = if language.is_some() { None } else { Some(rest) };
        } else if let Some(language) = language {
            found.push((language, line));
        } else {
            found.extend(line.split('`').skip(1).step_by(2).map(|span| ("", span)));
        }
    }
    assert!(language.is_none(), "a block of code has no end");
    found
}

/// The anchors of the headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut breaches = Vec::new();
    let pages = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = pages.filter(|path| path.extension().is_some_and(|ending| ending == "md"));
    for path in pages.chain(["README.md", "README.zh-CN.md"].map(|name| root().join(name))) {
        let text = fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            if link.contains("://") {
                continue;
            }
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            let is_there = target.exists()
                && (anchor.is_empty() || anchors(&fs::read_to_string(&target).unwrap()).contains(anchor));
            if !is_there {
                breaches.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

/// The lines of a page in Chinese that end within a sentence. A browser shows the end of a line as a space.
fn broken_sentences(text: &str) -> Vec<&str> {
    // What continues no paragraph.
    let starts = |line: &str| {
        let line = line.trim_start();
        let number = line.trim_start_matches(|c: char| c.is_ascii_digit());
        line.is_empty()
            || ["#", "|", "- ", "![", "```"].iter().any(|start| line.starts_with(start))
            || number.len() < line.len() && number.starts_with(". ")
    };
    let (mut broken, mut is_code) = (Vec::new(), false);
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
            continue;
        }
        let goes_on = lines.peek().is_some_and(|next| !starts(next));
        if !is_code && goes_on && !line.is_empty() && !line.ends_with('。') {
            broken.push(line);
        }
    }
    broken
}

#[test]
fn lines_in_chinese_end_with_a_sentence() {
    assert_eq!(broken_sentences("一\n二。\n三\n\n```sh\na\nb\n```\n\n- 四\n  五"), ["一", "- 四"]);
    let runbooks = fs::read_dir(root().join("docs/runbooks/zh")).unwrap().map(|entry| entry.unwrap().path());
    let pages: Vec<_> = runbooks.chain([root().join("README.zh-CN.md")]).collect();
    assert!(pages.len() > 20, "only {} pages", pages.len());
    for path in pages {
        let text = fs::read_to_string(&path).unwrap();
        let broken = broken_sentences(&text);
        assert!(broken.is_empty(), "{}: {broken:#?}", path.display());
    }
}

#[test]
fn every_metric_exists() {
    let metrics = page("docs/metrics.md");
    let known: BTreeSet<_> =
        metrics.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let base = |name: &str| {
        let parts = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
        known.contains(name) || parts.is_some_and(|name| known.contains(name))
    };
    let mut seen = 0;
    for path in PAGES {
        for (_, code) in code(&page(path)) {
            for name in code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
                let is_metric = ["glassbox_", "container_", "machine_", "DCGM_FI_", "process_"]
                    .iter()
                    .any(|prefix| name.starts_with(prefix));
                if !is_metric || NOT_METRICS.contains(&name) {
                    continue;
                }
                seen += 1;
                // `container_cpu_*` is a set of families.
                let is_set = name.ends_with('_') && known.iter().any(|known| known.starts_with(name));
                assert!(base(name) || is_set, "{path}: there is no metric {name}");
            }
        }
    }
    assert!(seen > 60, "only {seen} metrics");
}

#[test]
fn every_configuration_key_exists() {
    let defaults: toml::Table = Config::default().to_toml().unwrap().parse().unwrap();
    let mut seen = 0;
    for path in PAGES {
        for (language, code) in code(&page(path)) {
            // A key, maybe with its value.
            let key = code.split(" = ").next().unwrap();
            if SYSCTLS.contains(&key) {
                continue;
            }
            let Some((table, key)) = key.split_once('.') else { continue };
            let Some(table) = defaults.get(table).and_then(toml::Value::as_table) else { continue };
            if language.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
                seen += 1;
                assert!(table.contains_key(key), "{path}: there is no key {code}");
            }
        }
    }
    assert!(seen > 15, "only {seen} keys");
}

#[test]
fn every_command_of_glassbox_has_existing_flags() {
    let cli = Cli::command();
    let mut seen = BTreeSet::new();
    for path in PAGES {
        for (language, code) in code(&page(path)) {
            // A message may mention the program.
            if language.is_empty() && !["glassbox ", "docker "].iter().any(|start| code.starts_with(start)) {
                continue;
            }
            let words: Vec<_> = code.split_whitespace().collect();
            let at = words.iter().position(|word| *word == "glassbox" || word.ends_with("/glassbox"));
            let Some(arguments) = at.map(|at| &words[at + 1..]) else { continue };
            let Some(verb) =
                arguments.first().filter(|verb| verb.bytes().all(|byte| byte.is_ascii_lowercase()))
            else {
                continue;
            };
            let command = cli.find_subcommand(verb).unwrap_or_else(|| panic!("{path}: no command {code}"));
            seen.insert((*verb).to_owned());
            let flags = arguments.iter().take_while(|word| !["|", "&&", "#", ">"].contains(word));
            for flag in flags.filter_map(|word| word.strip_prefix("--")) {
                let flag = flag.split('=').next().unwrap();
                let exists = command.get_arguments().any(|known| known.get_long() == Some(flag));
                assert!(exists || flag == "help", "{path}: no flag --{flag} in {code}");
            }
        }
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["check", "config", "health", "run"]);
}

/// All string literals of the agent, with line continuations joined.
fn sources() -> String {
    fn read(directory: &Path, all: &mut String) {
        for entry in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                read(&entry, all);
            } else {
                all.push_str(&fs::read_to_string(&entry).unwrap());
            }
        }
    }
    let mut all = String::new();
    read(&root().join("agent/src"), &mut all);
    let mut joined = String::with_capacity(all.len());
    for part in all.split("\\\n") {
        joined.push_str(if joined.is_empty() { part } else { part.trim_start() });
    }
    joined.replace("\\\"", "\"")
}

#[test]
fn every_quoted_message_is_one_of_the_agent() {
    let sources = sources();
    let text = page("docs/troubleshooting.md");
    let mut seen = 0;
    for (language, code) in code(&text) {
        let is_message = language == "text"
            || language.is_empty()
                && code.split(' ').count() > 3
                && !PROGRAMS.iter().any(|program| code.starts_with(program));
        if !is_message {
            continue;
        }
        seen += 1;
        // `…` stands for what differs, and capability names are inserted.
        for part in code.split('…').map(str::trim).filter(|part| part.len() > 8) {
            let part = part.trim_start_matches(|c: char| c.is_ascii_uppercase() || "_, ".contains(c));
            let part = part.strip_prefix("are missing").unwrap_or(part);
            assert!(sources.contains(part), "the agent has no message {part:?} of {code:?}");
        }
    }
    assert!(seen > 25, "only {seen} messages");
}
