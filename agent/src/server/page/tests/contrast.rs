//! The colours of the stylesheet. `tests/tests/page.rs` checks the contrast in a browser, too.

use std::collections::BTreeMap;

use super::*;

/// Minimum contrast of WCAG 2, level AA, for text of normal size.
const CONTRAST_MIN: f64 = 4.5;

/// The variables of the stylesheet's `:root` rules: light, then dark.
fn palettes() -> Vec<BTreeMap<&'static str, &'static str>> {
    let rules = HEAD.split(":root {").skip(1).map(|rest| rest.split_once('}').unwrap().0);
    let variables = rules.map(|rule| {
        let pairs = rule.split(';').filter_map(|pair| pair.trim().strip_prefix("--")?.split_once(": "));
        pairs.map(|(name, value)| (name, value.trim())).collect()
    });
    variables.collect()
}

/// WCAG's relative luminance of `#rrggbb`.
fn luminance(colour: &str) -> f64 {
    let channel = |at: usize| {
        let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
        if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
}

fn contrast(one: &str, other: &str) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[test]
fn every_text_colour_has_enough_contrast_in_the_light_and_dark_scheme() {
    assert!((contrast("#000000", "#ffffff") - 21.0).abs() < 0.01);
    assert!((contrast("#777777", "#ffffff") - 4.48).abs() < 0.01);
    let palettes = palettes();
    assert_eq!(palettes.len(), 2);
    assert!(palettes[0].keys().eq(palettes[1].keys()), "a colour is missing in one scheme");
    for palette in &palettes {
        for (name, colour) in palette.iter().filter(|(name, _)| **name != "back") {
            let contrast = contrast(colour, palette["back"]);
            assert!(contrast >= CONTRAST_MIN, "{name} {colour} on {}: {contrast:.2}", palette["back"]);
        }
        assert!(palette.len() >= 6);
    }
    // All other rules use these variables, so the loop above checks every colour.
    let rules = HEAD.split_once("body {").unwrap().1;
    assert!(!rules.contains('#') && !rules.contains("rgb"), "{rules}");
    assert!(rules.contains("background: var(--back); color: var(--text)"));
}
