//! A bar beside a number.

/// A bar that shows a share. The text beside it says the same, so it is hidden from screen readers.
pub(super) fn bar(ratio: f64) -> String {
    let percent = (ratio * 100.0).clamp(0.0, 100.0);
    format!("<span class=bar aria-hidden=true><i style=\"width:{percent:.0}%\"></i></span>")
}
