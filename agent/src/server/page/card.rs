//! A card for each container with problems: what is wrong, since when, the figures that show it, and what to do.

use std::fmt::Write as _;

use super::{Request, advice, name::linked, words};
use crate::snapshot::ContainerRow;

/// Maximum number of cards; the table has all containers.
const CARDS_MAX: usize = 50;

/// Writes a card for each container with problems, in the given order.
pub(super) fn cards(page: &mut String, rows: &[&ContainerRow], request: &Request) {
    let sick = rows.iter().filter(|row| !row.problems.is_empty()).take(CARDS_MAX);
    let mut sick = sick.peekable();
    if sick.peek().is_none() {
        return;
    }
    let label = request.language.pick("Containers that need attention", "需要处理的容器");
    // Writing into a String cannot fail.
    let _ = writeln!(page, "<section class=cards aria-label=\"{label}\">");
    for row in sick {
        card(page, row, request);
    }
    page.push_str("</section>\n");
}

fn card(page: &mut String, row: &ContainerRow, request: &Request) {
    let language = request.language;
    let status = words::status(row, language);
    let _ = write!(
        page,
        "<article class={}><h2>{}</h2><p class={0}>{}</p>",
        status.class,
        linked(row, request),
        status.words
    );
    for problem in &row.problems {
        let evidence = advice::evidence(row, problem, language);
        if !evidence.is_empty() {
            let _ = write!(page, "<p>{evidence}</p>");
        }
        let _ = write!(page, "<p>{}</p>", advice::remedy(row, problem, language));
    }
    page.push_str("</article>\n");
}
