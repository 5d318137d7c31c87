//! The exposition as a whole: what a fixture host looks like, what the documentation says, and that nothing a
//! container is called can spoil a scrape.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; these helpers are tests, too"
)]

mod budget;
mod golden;
mod hostile;
mod labels;
mod metrics_doc;

use std::path::Path;

/// Compares with a file of the repository, or writes it where `GLASSBOX_BLESS` is set.
fn assert_is_file(path: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    if std::env::var_os("GLASSBOX_BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
        return;
    }
    let file = std::fs::read_to_string(&path).unwrap_or_default();
    if let Some((line, (is, was))) =
        text.lines().zip(file.lines()).enumerate().find(|(_, (is, was))| is != was)
    {
        panic!("{}:{}\n was {was}\n  is {is}\nGLASSBOX_BLESS=1 accepts", path.display(), line + 1);
    }
    assert_eq!(
        text.len(),
        file.len(),
        "{} has other lines at its end; GLASSBOX_BLESS=1 accepts",
        path.display()
    );
}
