//! glassbox(1), and one page per subcommand.

use clap::{Command, CommandFactory as _};
use clap_mangen::{
    Man,
    roff::{Roff, roman},
};
use glassbox::cli::Cli;

use super::{assert_is_file, files_in};

/// Title in the header of each page.
const MANUAL: &str = "glassbox manual";

/// The pages by file name. `help`, which clap adds, has none.
fn pages() -> Vec<(String, String)> {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    let mut pages = vec![("glassbox.1".to_owned(), page(&root, &others(&root)))];
    for command in root.get_subcommands() {
        let name = format!("glassbox-{}", command.get_name());
        let command = command.clone().display_name(name.clone());
        pages.push((format!("{name}.1"), page(&command, &["glassbox(1)".to_owned()])));
    }
    pages
}

fn others(root: &Command) -> Vec<String> {
    root.get_subcommands().map(|command| format!("glassbox-{}(1)", command.get_name())).collect()
}

/// Without a date and a version, so that a page changes only with the command line.
fn page(command: &Command, others: &[String]) -> String {
    let man = Man::new(command.clone()).date("").source("glassbox").manual(MANUAL);
    let mut page = Vec::new();
    man.render_title(&mut page).unwrap();
    man.render_name_section(&mut page).unwrap();
    man.render_synopsis_section(&mut page).unwrap();
    man.render_description_section(&mut page).unwrap();
    man.render_options_section(&mut page).unwrap();
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page).unwrap();
    }
    let mut end = Roff::new();
    if let Some(text) = command.get_after_long_help().or(command.get_after_help()) {
        // The text has columns, so it must not be filled.
        end.control("SH", ["NOTES"]).control("nf", []);
        end.text(text.to_string().lines().map(|line| roman(format!("{line}\n"))).collect::<Vec<_>>());
        end.control("fi", []);
    }
    end.control("SH", ["FILES"]).control("TP", []);
    end.text([roman("/etc/glassbox/agent.toml")]).text([roman("The configuration; see glassbox(5).")]);
    end.control("SH", ["SEE ALSO"]);
    end.text([roman(format!("{}, glassbox(5)", others.join(", ")))]);
    end.to_writer(&mut page).unwrap();
    String::from_utf8(page).unwrap()
}

#[test]
fn the_pages_are_up_to_date() {
    let pages = pages();
    let mut names: Vec<_> = pages.iter().map(|(name, _)| name.clone()).collect();
    for (name, text) in pages {
        assert_is_file(&format!("man/{name}"), &text);
    }
    names.push("glassbox.5".to_owned());
    names.sort();
    assert_eq!(files_in("man"), names, "a page of a command that no longer exists");
}

#[test]
fn each_flag_is_in_its_page() {
    let pages = pages();
    let page = |name: &str| &pages.iter().find(|(file, _)| file == name).unwrap().1;
    assert!(page("glassbox-run.1").contains(r"\fB\-\-web\-config\fR"));
    assert!(page("glassbox-check.1").contains(r"\fB\-\-json\fR"));
    assert!(page("glassbox-check.1").contains("Exit status:"));
    assert!(page("glassbox.1").contains("glassbox\\-run(1)"));
}
