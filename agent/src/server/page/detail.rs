//! The page of one container: its problems, what it is, its numbers with their queries, and its run-queue histogram.

use std::fmt::Write as _;

use super::{
    Escaped, Request, card, histogram,
    language::say,
    line,
    name::name,
    numbers,
    quantity::{Span, timestamp},
    words,
};
use crate::snapshot::{ContainerRow, Snapshot};

/// Writes the part between the heading and the footer.
pub(super) fn detail(page: &mut String, snapshot: &Snapshot, row: &ContainerRow, request: &Request) {
    if row.problems.is_empty() {
        let status = words::status(row, request.language);
        // Writing into a String cannot fail.
        let _ = writeln!(page, "<p class=\"headline {}\">{}</p>", status.class, status.words);
    } else {
        card::cards(page, &[row], request);
    }
    facts(page, snapshot, row, request);
    numbers::numbers(page, row, request);
    histogram::histogram(page, row, request);
}

fn facts(page: &mut String, snapshot: &Snapshot, row: &ContainerRow, request: &Request) {
    let language = request.language;
    let identity = &row.identity;
    let escaped = |text: &str| if text.is_empty() { String::new() } else { Escaped(text).to_string() };
    let started = identity.started_at.map(|at| {
        let since = timestamp(at);
        #[expect(clippy::disallowed_methods, reason = "the age of a timestamp of a runtime, for people")]
        match snapshot.taken_at.duration_since(at) {
            Ok(age) if row.is_running() => {
                let age = Span(age, language);
                say!(language, "{since}, {age} ago", "{since}（{age}前）")
            }
            _ => since,
        }
    });
    let health = row.status.health.and_then(|health| words::health_words(health, language));
    let facts = [
        (language.pick("runtime name", "运行时中的名称"), escaped(&identity.name)),
        (language.pick("namespace", "命名空间"), escaped(identity.namespace.as_deref().unwrap_or_default())),
        ("Pod", escaped(identity.pod.as_deref().unwrap_or_default())),
        (language.pick("image", "镜像"), escaped(&identity.image)),
        (language.pick("runtime", "运行时"), identity.runtime.as_str().to_owned()),
        ("ID", escaped(&identity.id)),
        (language.pick("started", "启动时间"), started.unwrap_or_default()),
        (language.pick("health check", "健康检查"), health.unwrap_or_default().to_owned()),
        (
            language.pick("restarts", "重启次数"),
            row.status.restarts.map(|it| it.to_string()).unwrap_or_default(),
        ),
        (
            language.pick("last exit", "最近一次退出"),
            row.status.last_exit.map(|exit| line::last_exit(&exit, language)).unwrap_or_default(),
        ),
    ];
    let heading = say!(language, "Container", "容器");
    let _ = write!(page, "<section aria-labelledby=facts><h2 id=facts>{heading}</h2>\n<dl class=facts>");
    for (what, text) in facts.iter().filter(|(_, text)| !text.is_empty()) {
        let _ = write!(page, "<div><dt>{what}<dd>{text}</div>");
    }
    page.push_str("</dl></section>\n");
}

/// The title of the page of a container.
pub(super) fn title(row: &ContainerRow) -> String {
    Escaped(name(&row.identity)).to_string()
}
