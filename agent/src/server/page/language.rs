//! The languages of the page. Both forms of a text stand side by side in the code, so that the compiler reports a missing
//! one.

use axum::http::{HeaderMap, header::ACCEPT_LANGUAGE};

/// A language of the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) enum Language {
    /// English.
    #[default]
    English,
    /// Simplified Chinese.
    Chinese,
}

/// Formats the English or the Chinese form of a text. Both can name variables in braces.
macro_rules! say {
    ($language:expr, $english:literal, $chinese:literal) => {
        match $language {
            $crate::server::page::Language::English => format!($english),
            $crate::server::page::Language::Chinese => format!($chinese),
        }
    };
}
pub(super) use say;

impl Language {
    /// All languages.
    pub(super) const ALL: [Self; 2] = [Self::English, Self::Chinese];

    /// The language tag of HTML and HTTP.
    pub(in super::super) const fn tag(self) -> &'static str {
        self.pick("en", "zh-CN")
    }

    /// The value of the parameter `lang`.
    pub(super) const fn parameter(self) -> &'static str {
        self.pick("en", "zh")
    }

    /// The form of a text in this language.
    pub(super) const fn pick<'a>(self, english: &'a str, chinese: &'a str) -> &'a str {
        match self {
            Self::English => english,
            Self::Chinese => chinese,
        }
    }

    /// The language of a tag such as `zh-Hans-CN`; `*` stands for any.
    fn of_tag(tag: &str) -> Option<Self> {
        let primary = tag.split('-').next().unwrap_or_default();
        match primary {
            "*" => Some(Self::English),
            _ if primary.eq_ignore_ascii_case("en") => Some(Self::English),
            _ if primary.eq_ignore_ascii_case("zh") => Some(Self::Chinese),
            _ => None,
        }
    }

    /// The language with the highest weight in `Accept-Language`; of equal ones, the first. Invalid entries are ignored.
    pub(super) fn preferred(headers: &HeaderMap) -> Self {
        let mut best = (0.0, Self::English);
        for value in headers.get_all(ACCEPT_LANGUAGE) {
            let Ok(value) = value.to_str() else { continue };
            for entry in value.split(',') {
                let mut parts = entry.split(';').map(str::trim);
                let language = parts.next().and_then(Self::of_tag);
                let weight = parts.next().map_or(Some(1.0), weight);
                if let Some((language, weight)) = language.zip(weight)
                    && weight > best.0
                {
                    best = (weight, language);
                }
            }
        }
        best.1
    }

    /// The language of the parameter `lang`.
    pub(super) fn of_parameter(value: &str) -> Option<Self> {
        Self::of_tag(value).filter(|_| value != "*")
    }
}

/// The weight of `q=0.8`, 0 to 1.
fn weight(parameter: &str) -> Option<f32> {
    let (name, value) = parameter.split_once('=')?;
    let weight: f32 = value.trim().parse().ok()?;
    (name.trim().eq_ignore_ascii_case("q") && (0.0..=1.0).contains(&weight)).then_some(weight)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn preferred(values: &[&str]) -> Language {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(ACCEPT_LANGUAGE, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        Language::preferred(&headers)
    }

    #[test]
    fn the_language_with_the_highest_weight_is_used() {
        for value in [
            "zh",
            "zh-CN,zh;q=0.9,en;q=0.8",
            "en;q=0.5, ZH-hans",
            "fr, zh;q=0.1",
            "zh, en",
            "en;q=0,zh;q=0.001",
        ] {
            assert_eq!(preferred(&[value]), Language::Chinese, "{value}");
        }
        for value in
            ["en", "en-US,zh;q=0.9", "fr", "*", "en,zh", "zh;q=0", "zhx", "de;q=0.9,*;q=0.5,zh;q=0.4"]
        {
            assert_eq!(preferred(&[value]), Language::English, "{value}");
        }
        assert_eq!(preferred(&["en;q=0.3", "zh;q=0.4"]), Language::Chinese, "several headers");
        assert_eq!(preferred(&[]), Language::English);
    }

    #[test]
    fn invalid_entries_are_ignored() {
        for value in
            ["zh;q=nan", "zh;q=2", "zh;q=-1", "zh;q=", "zh;x=1", ";;,,=", "zh;q=inf", "\u{ff}", "zh;q"]
        {
            assert_eq!(preferred(&[value]), Language::English, "{value}");
        }
        assert_eq!(preferred(&[&",".repeat(10_000), "zh;q=x, zh;q=0.2"]), Language::Chinese);
    }
}
