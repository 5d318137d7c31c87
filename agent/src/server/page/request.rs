//! What a client asks of the page: the parameters of its query, and the links that keep them.
//!
//! | parameter | meaning |
//! |---|---|
//! | `pause` | does not reload |
//! | `show=all` | unfolds the healthy and the ended containers |
//! | `q=TEXT` | only containers with TEXT in their name, image or ID |
//! | `lang=en`, `lang=zh` | the language; without it, that of the browser |
//!
//! Other parameters and values are ignored.

use axum::http::HeaderMap;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::Language;

/// Maximum length of the filter, in characters. The rest is ignored.
const FILTER_MAX_CHARS: usize = 100;
/// Characters that are escaped in a part of a path and in a parameter.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Number of usual pages: each language, paused and not.
pub(in super::super) const USUAL: usize = Language::ALL.len() * 2;

/// The subject of a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) enum Subject {
    /// All containers.
    #[default]
    Overview,
    /// The container with this key.
    Container(u64),
}

/// A request for a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Request {
    pub(super) subject: Subject,
    pub(in super::super) language: Language,
    /// True if the client names the language, so that links have to name it, too.
    pub(super) names_language: bool,
    pub(super) is_paused: bool,
    pub(super) shows_all: bool,
    /// Lower case, no surrounding spaces.
    pub(super) filter: String,
}

impl Request {
    /// The request for the overview.
    pub(in super::super) fn new(query: Option<&str>, headers: &HeaderMap) -> Self {
        let mut request = Self { language: Language::preferred(headers), ..Self::default() };
        for pair in query.unwrap_or_default().split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "pause" => request.is_paused = true,
                "show" => request.shows_all |= value == "all",
                "q" => request.filter = filter(value),
                "lang" => {
                    if let Some(language) = Language::of_parameter(value) {
                        (request.language, request.names_language) = (language, true);
                    }
                }
                _ => {}
            }
        }
        request
    }

    /// The same request for another subject.
    pub(in super::super) fn about(self, subject: Subject) -> Self {
        Self { subject, ..self }
    }

    /// A number below [`USUAL`] for the pages that most clients request; `None` for all others.
    pub(in super::super) fn usual(&self) -> Option<usize> {
        let usual = Self { language: self.language, is_paused: self.is_paused, ..Self::default() };
        (*self == usual).then(|| self.language as usize * 2 + usize::from(self.is_paused))
    }

    /// The path with the parameters of this request. Contains no character that HTML must escape, except `&`, which is
    /// escaped.
    pub(super) fn link(&self, path: &str) -> String {
        let mut link = path.to_owned();
        let mut parameter = |text: &str| {
            link.push_str(if link.contains('?') { "&amp;" } else { "?" });
            link.push_str(text);
        };
        if self.is_paused {
            parameter("pause");
        }
        if self.shows_all {
            parameter("show=all");
        }
        if !self.filter.is_empty() {
            parameter(&format!("q={}", escaped(&self.filter)));
        }
        if self.names_language {
            parameter(&format!("lang={}", self.language.parameter()));
        }
        link
    }

    /// The path of this page itself, for a request with other parameters.
    pub(super) fn link_to(&self, path: &str, change: impl FnOnce(&mut Self)) -> String {
        let mut changed = self.clone();
        change(&mut changed);
        changed.link(path)
    }
}

/// A part of a path, or a value of a parameter, with escapes.
pub(super) fn escaped(text: &str) -> impl std::fmt::Display {
    utf8_percent_encode(text, ESCAPED)
}

fn filter(value: &str) -> String {
    let spaced = value.replace('+', " ");
    let text = percent_decode_str(&spaced).decode_utf8_lossy();
    let text: String = text.trim().chars().take(FILTER_MAX_CHARS).collect();
    text.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(query: &str) -> Request {
        Request::new(Some(query), &HeaderMap::new())
    }

    #[test]
    fn known_parameters_are_read_and_others_ignored() {
        let read = request("pause&q=Face%20Fusion+1&lang=zh&show=all&x=y&&=&%00");
        let expected = Request {
            subject: Subject::Overview,
            language: Language::Chinese,
            names_language: true,
            is_paused: true,
            shows_all: true,
            filter: "face fusion 1".into(),
        };
        assert_eq!(read, expected);
        assert_eq!(read.link("/"), "/?pause&amp;show=all&amp;q=face%20fusion%201&amp;lang=zh");
        assert_eq!(request("lang=fr&show=none&lang=*"), Request::default());
        assert_eq!(Request::default().link("/"), "/");
    }

    #[test]
    fn a_hostile_filter_is_bounded_and_cannot_leave_its_attribute() {
        let long = request(&format!("q={}", "%F0%9F%90%9E".repeat(10_000)));
        assert_eq!(long.filter.chars().count(), FILTER_MAX_CHARS);
        for value in ["%22%3E%3Cscript%3E", "\"><script>", "%ff%fe", "%", "%2", "'onmouseover=", "%00"] {
            let link = request(&format!("q={value}")).link("/");
            assert!(!link.contains(['<', '>', '"', '\'', ' ', '\0']), "{link}");
        }
    }

    #[test]
    fn only_pages_without_further_parameters_are_usual() {
        assert_eq!(request("").usual(), Some(0));
        assert_eq!(request("pause").usual(), Some(1));
        let mut headers = HeaderMap::new();
        headers.insert("accept-language", "zh".parse().unwrap());
        assert_eq!(Request::new(Some("pause"), &headers).usual(), Some(3));
        for query in ["q=a", "lang=en", "show=all"] {
            assert_eq!(request(query).usual(), None, "{query}");
        }
        assert_eq!(Request::default().about(Subject::Container(1)).usual(), None);
    }
}
