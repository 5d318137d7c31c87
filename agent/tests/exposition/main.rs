//! The exposition: the text of the fixture host, the generated documentation, and hostile names that must not break a
//! scrape.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a panic fails the test, also in its helpers")]

mod budget;
mod golden;
mod hostile;
mod labels;
mod metrics_doc;

use std::path::Path;

/// Compares the text with a file of the repository. Writes the file if `GLASSBOX_BLESS` is set.
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
        panic!(
            "{}:{}\n was {was}\n  is {is}\nset GLASSBOX_BLESS=1 to accept the change",
            path.display(),
            line + 1
        );
    }
    assert_eq!(
        text.len(),
        file.len(),
        "{} differs at its end; set GLASSBOX_BLESS=1 to accept the change",
        path.display()
    );
}
