//! Escapes text from containers, which is untrusted input, for the page.

use std::fmt::{self, Write as _};

/// Maximum length of a text, in characters. Longer texts are truncated.
pub(super) const CELL_MAX_CHARS: usize = 200;

/// Displays a text escaped for use between tags and in quoted attributes.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, c) in self.0.chars().enumerate() {
            if place == CELL_MAX_CHARS {
                return out.write_char('…');
            }
            escape(c, out)?;
        }
        Ok(())
    }
}

/// Displays a text of bounded length in the same way, but whole.
pub(super) struct Markup<'a>(pub(super) &'a str);

impl fmt::Display for Markup<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| escape(c, out))
    }
}

fn escape(c: char, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    match c {
        '&' => out.write_str("&amp;"),
        '<' => out.write_str("&lt;"),
        '>' => out.write_str("&gt;"),
        '"' => out.write_str("&quot;"),
        '\'' => out.write_str("&#39;"),
        // Invisible characters, and those that change the text direction, could deceive the reader.
        c if c.is_control() || is_invisible(c) => out.write_char('\u{fffd}'),
        c => out.write_char(c),
    }
}

/// Whether the text contains visible characters.
pub(super) fn is_visible(text: &str) -> bool {
    text.chars().any(|c| !(c.is_control() || c.is_whitespace() || is_invisible(c)))
}

/// Zero-width and directional characters.
pub(super) fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_a_container_can_become_markup() {
        let text = Escaped("<script>alert('x')</script>&\"\u{202e}\n").to_string();
        assert_eq!(text, "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;\u{fffd}\u{fffd}");
    }

    #[test]
    fn a_long_text_is_truncated() {
        assert_eq!(Escaped(&"ß".repeat(10_000)).to_string().chars().count(), CELL_MAX_CHARS + 1);
    }

    #[test]
    fn a_text_without_visible_characters_is_recognized() {
        for text in ["", " ", "\u{200b}\u{202e}", "\0\n", "\u{3000}"] {
            assert!(!is_visible(text), "{text:?}");
        }
        assert!(is_visible(" 融合 "));
    }
}
