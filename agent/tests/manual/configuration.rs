//! glassbox(5), from the comments of systemd/agent.toml.
//!
//! The file consists of paragraphs. A paragraph is the header of a table, lines of prose (`# …`), and the keys that they
//! describe (`#key = default`). An example in the prose is indented by four more spaces.

use clap_mangen::roff::{Inline, Roff, bold, roman};

use super::{assert_is_file, in_repository};

#[derive(Default)]
struct Paragraph<'a> {
    table: Option<&'a str>,
    prose: Vec<&'a str>,
    keys: Vec<&'a str>,
}

impl<'a> Paragraph<'a> {
    fn parse(text: &'a str) -> Self {
        let mut paragraph = Self::default();
        for line in text.lines() {
            if let Some(table) = line.strip_prefix('[') {
                paragraph.table = table.strip_suffix(']');
            } else if line == "#" {
                paragraph.prose.push("");
            } else if let Some(prose) = line.strip_prefix("# ") {
                paragraph.prose.push(prose);
            } else if let Some(key) = line.strip_prefix('#') {
                paragraph.keys.push(key);
            } else {
                panic!("neither a table, a comment nor a key: {line}");
            }
        }
        paragraph
    }

    fn write(&self, roff: &mut Roff) {
        if let Some(table) = self.table {
            roff.control("SH", [format!("[{table}]").as_str()]);
        }
        for (index, key) in self.keys.iter().enumerate() {
            roff.control(if index == 0 { "TP" } else { "TQ" }, []);
            let (name, default) = key.split_once(" = ").unwrap();
            roff.text([bold(name), roman(format!(" = {default}"))]);
        }
        if self.keys.is_empty() {
            roff.control("PP", []);
        }
        let mut lines = self.prose.iter().peekable();
        while let Some(line) = lines.next() {
            if line.trim().is_empty() {
                continue;
            }
            let Some(code) = line.strip_prefix("    ") else {
                roff.text([roman(*line)]);
                continue;
            };
            let mut example: Vec<Inline> = vec![roman(format!("{code}\n"))];
            while let Some(code) = lines.peek().and_then(|line| line.strip_prefix("    ")) {
                example.push(roman(format!("{code}\n")));
                lines.next();
            }
            roff.control("IP", []).control("nf", []).text(example).control("fi", []);
        }
    }
}

fn page(shipped: &str) -> String {
    let mut roff = Roff::new();
    roff.control("TH", ["glassbox", "5", "", "glassbox", "glassbox manual"]);
    roff.control("SH", ["NAME"]).text([roman("glassbox - configuration file of the glassbox agent")]);
    roff.control("SH", ["SYNOPSIS"]).text([bold("/etc/glassbox/agent.toml")]);
    roff.control("SH", ["DESCRIPTION"]);
    for paragraph in shipped.split("\n\n") {
        Paragraph::parse(paragraph.trim()).write(&mut roff);
    }
    roff.control("SH", ["SEE ALSO"]).text([roman("glassbox(1), glassbox-run(1), glassbox-config(1)")]);
    roff.render()
}

#[test]
fn the_page_is_up_to_date() {
    let shipped = std::fs::read_to_string(in_repository("systemd/agent.toml")).unwrap();
    let page = page(&shipped);
    assert!(page.contains(r"\fBstuck_after_s\fR = 10") && page.contains(".SH [health]"));
    assert_is_file("man/glassbox.5", &page);
}
