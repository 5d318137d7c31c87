//! Completions for bash, zsh and fish.

use clap::CommandFactory as _;
use clap_complete::{Shell, generate};
use glassbox::cli::Cli;

use super::{assert_is_file, files_in};

/// Under the names that the shells expect.
const FILES: [(Shell, &str); 3] =
    [(Shell::Zsh, "_glassbox"), (Shell::Bash, "glassbox.bash"), (Shell::Fish, "glassbox.fish")];

#[test]
fn the_completions_are_up_to_date() {
    for (shell, name) in FILES {
        let mut text = Vec::new();
        generate(shell, &mut Cli::command(), "glassbox", &mut text);
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("web-config"), "{name}");
        assert_is_file(&format!("completions/{name}"), &text);
    }
    assert_eq!(files_in("completions"), FILES.map(|(_, name)| name));
}
