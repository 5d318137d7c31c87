//! Which log lines are wanted: the setting `log`, checked so that a typing mistake does not silence the agent. Pure.
//!
//! `EnvFilter` takes a bare word that is no level for the name of a module, and then shows nothing of all others.

use tracing_subscriber::EnvFilter;

/// What a level may be.
const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// The filter that `text` describes. Modules that it does not name log warnings and errors, unless it has a level for
/// them.
///
/// # Errors
/// What is wrong with it, with the levels there are.
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
            // A span's fields may contain an equals sign, and a span needs no level.
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
    fn levels_and_modules_are_taken() {
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
    fn what_is_no_level_is_refused_with_those_that_are() {
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
    fn other_modules_still_warn() {
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
