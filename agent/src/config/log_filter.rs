//! The log filter: the key `log` and the flag `--log`. Pure.
//!
//! `EnvFilter` interprets a word that is not a level as the name of a module, and then hides the lines of all other
//! modules. The filter is therefore validated first, so that a typo does not silence the agent.

use tracing_subscriber::EnvFilter;

/// The log levels.
const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// Parses a filter. Modules that it does not name log warnings and errors, unless it contains a level for all modules.
///
/// # Errors
/// Returns the problem, with the valid levels.
pub fn parse(text: &str) -> Result<EnvFilter, String> {
    let refuse = |part: &str, problem: &str| {
        let levels = LEVELS.join(", ");
        format!("{part:?} {problem}; use one of {levels}, or per module as in \"glassbox=debug,info\"")
    };
    let mut has_level = false;
    let parts: Vec<_> = text.split(',').map(str::trim).collect();
    for part in &parts {
        let part = *part;
        let is_level = |word: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word));
        match part.rsplit_once('=') {
            _ if is_level(part) => has_level = true,
            Some((module, level)) if !module.is_empty() && is_level(level) => {}
            // The fields of a span may contain an equals sign, and a span needs no level.
            _ if part.contains('[') => {}
            Some((_, level)) => return Err(refuse(level, "is not a log level")),
            None => return Err(refuse(part, "is not a log level")),
        }
    }
    let others = if has_level { "" } else { "warn," };
    let complete = format!("{others}{}", parts.join(","));
    EnvFilter::try_new(complete).map_err(|error| refuse(text, &format!("is not a log filter ({error})")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn levels_and_modules_are_accepted() {
        for text in [
            "info",
            "DEBUG",
            "off",
            "glassbox=debug",
            "glassbox=debug,info",
            " warn , hyper=trace",
            "h2::codec=Error",
        ] {
            parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        }
    }

    #[test]
    fn an_unknown_level_is_rejected_with_a_list_of_the_valid_ones() {
        for text in [
            "eror",
            "verbose",
            "",
            "glassbox",
            "glassbox=loud",
            "info,verbose",
            "info,",
            "=debug",
            "7",
            "glassbox=debug=x",
        ] {
            let refusal = parse(text).unwrap_err();
            assert!(refusal.contains("error, warn, info, debug, trace, off"), "{text}: {refusal}");
        }
    }

    #[test]
    fn modules_that_the_filter_does_not_name_still_log_warnings() {
        let shown = |text: &str| parse(text).unwrap().to_string();
        assert!(shown("glassbox=debug").contains("warn"), "{}", shown("glassbox=debug"));
        assert!(!shown("glassbox=debug,error").contains("warn"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,40}", near in "[a-z=,\\[\\]{}\"/ ]{0,30}") {
            let _ = (parse(&text), parse(&near));
        }
    }
}
