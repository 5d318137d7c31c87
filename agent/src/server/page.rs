//! The status page at `/`, and the page of one container at `/c/NAME`: HTML without scripts and external resources. The page
//! leads with what is wrong: a card for each container with problems, then the GPUs, then one line per container. All text
//! from containers is escaped, and everything is bounded.

mod advice;
mod bar;
mod card;
mod detail;
mod escaped;
mod frame;
mod gpus;
mod histogram;
mod language;
mod line;
mod missing;
mod name;
mod numbers;
mod quantity;
mod request;
mod words;

use std::fmt::Write as _;

use self::{escaped::Escaped, language::say};
pub(super) use self::{
    language::Language,
    missing::missing,
    name::{ROUTE, find},
    request::{Request, Subject, USUAL},
    words::Words,
};
use crate::snapshot::{ContainerRow, Snapshot, problem::Problem};

/// Renders the page that `request` asks for.
pub(super) fn render(snapshot: &Snapshot, request: &Request) -> String {
    let language = request.language;
    let row = match request.subject {
        Subject::Overview => None,
        Subject::Container(key) => match snapshot.containers.iter().find(|row| row.key == key) {
            Some(row) => Some(row),
            None => return missing(snapshot, None, request),
        },
    };
    let host = Escaped(&snapshot.agent.hostname);
    let on_host = if escaped::is_visible(&snapshot.agent.hostname) {
        say!(language, "glassbox on {host}", "{host} 上的 glassbox")
    } else {
        "glassbox".to_owned()
    };
    let Some(row) = row else {
        let mut page = frame::head(request, &on_host, true);
        page.reserve(2048 + snapshot.containers.len() * 512);
        let _ = write!(page, "<header>\n<h1>{on_host}</h1>\n{}", headline(snapshot, language));
        frame::about(&mut page, snapshot, request, "/");
        page.push_str("</header>\n<main>\n");
        overview(&mut page, snapshot, request);
        page.push_str("</main>\n");
        frame::foot(&mut page, snapshot, request, "/");
        return page;
    };
    let title = detail::title(row);
    let mut page = frame::head(request, &format!("{title} – {on_host}"), true);
    // Writing into a String cannot fail.
    let _ = writeln!(
        page,
        "<header>\n<nav aria-label=\"{}\"><a href=\"{}\">{on_host}</a></nav>\n<h1>{title}</h1>",
        language.pick("Up", "上级"),
        request.link("/")
    );
    let path = name::path(row);
    frame::about(&mut page, snapshot, request, &path);
    page.push_str("</header>\n<main>\n");
    detail::detail(&mut page, snapshot, row, request);
    page.push_str("</main>\n");
    frame::foot(&mut page, snapshot, request, &path);
    page
}

/// The number of containers with problems, of all running ones; and the collectors that are off.
fn headline(snapshot: &Snapshot, language: Language) -> String {
    let sick = snapshot.containers.iter().filter(|row| !row.problems.is_empty()).count();
    let running = snapshot.agent.containers_running;
    let of = running.max(sick);
    let verdict = match (sick, running) {
        (0, 1) => say!(language, "1 container running, it needs no attention.", "1 个容器在运行，无需处理。"),
        (0, _) => say!(
            language,
            "{running} containers running, none needs attention.",
            "{running} 个容器在运行，都无需处理。"
        ),
        (1, _) => say!(
            language,
            "<span class=bad>1 of {of}</span> containers needs attention.",
            "{of} 个容器中有 <span class=bad>1 个</span>需要处理。"
        ),
        _ => say!(
            language,
            "<span class=bad>{sick} of {of}</span> containers need attention.",
            "{of} 个容器中有 <span class=bad>{sick} 个</span>需要处理。"
        ),
    };
    let mut lines = format!("<p class=headline>{verdict}</p>\n");
    let off: Vec<_> = snapshot.agent.collectors.iter().filter(|c| !c.up).map(|c| c.name).collect();
    if !off.is_empty() {
        let off = off.join(language.pick(", ", "、"));
        let off = Escaped(&off);
        let text = say!(
            language,
            "Collectors off: {off}. Run <code>glassbox check</code> to see why.",
            "未工作的采集器：{off}。运行 <code>glassbox check</code> 查看原因。"
        );
        let _ = writeln!(lines, "<p class=warn>{text}</p>");
    }
    lines
}

fn overview(page: &mut String, snapshot: &Snapshot, request: &Request) {
    let language = request.language;
    let mut rows: Vec<_> = snapshot.containers.iter().filter(|row| matches(row, &request.filter)).collect();
    if !request.filter.is_empty() {
        filter_note(page, rows.len(), snapshot.containers.len(), request);
    }
    rows.sort_by_key(|row| {
        let worst = row.problems.iter().map(Problem::rank).min().unwrap_or(u8::MAX);
        (worst, !row.is_running(), &row.identity.container)
    });
    card::cards(page, &rows, request);
    gpus::gpus(page, snapshot, request);
    let (sick, others): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| !row.problems.is_empty());
    let (healthy, ended): (Vec<_>, Vec<_>) = others.into_iter().partition(|row| row.is_running());
    let heading = language.pick("Containers", "容器");
    let _ = writeln!(page, "<section aria-labelledby=containers><h2 id=containers>{heading}</h2>");
    if !sick.is_empty() {
        line::table(page, &sick, language.pick("Containers that need attention", "需要处理的容器"), request);
    }
    let unfolded = request.shows_all || !request.filter.is_empty();
    // If nothing is wrong, the healthy ones are what there is to see.
    fold(page, &healthy, unfolded || sick.is_empty(), language.pick("Healthy", "正常"), request);
    fold(page, &ended, unfolded, language.pick("Ended", "已结束"), request);
    let link = request.link_to("/", |request| request.shows_all = !request.shows_all);
    let text = if request.shows_all {
        language.pick("fold healthy and ended containers", "折叠正常和已结束的容器")
    } else {
        language.pick("show all containers", "显示全部容器")
    };
    let hint = language.pick(
        "To filter by name, image or ID, add <code>?q=TEXT</code> to the address.",
        "在网址后加上 <code>?q=TEXT</code>，可按名称、镜像或 ID 筛选。",
    );
    let _ =
        writeln!(page, "<p><a href=\"{link}\">{text}</a>{} {hint}</p>\n</section>", language.pick(".", "。"));
}

/// Whether the name, the image or the ID of a container contains the filter.
fn matches(row: &ContainerRow, filter: &str) -> bool {
    let identity = &row.identity;
    let contains = |text: &str| text.to_lowercase().contains(filter);
    filter.is_empty()
        || contains(&identity.full_name())
        || [&identity.name, &identity.image, &identity.id].into_iter().any(|text| contains(text))
}

fn filter_note(page: &mut String, found: usize, of: usize, request: &Request) {
    let language = request.language;
    let filter = Escaped(&request.filter);
    let link = request.link_to("/", |request| request.filter.clear());
    let text = say!(
        language,
        "{found} of {of} containers match “{filter}”.",
        "{of} 个容器中有 {found} 个符合“{filter}”。"
    );
    let clear = language.pick("clear the filter", "取消筛选");
    let _ = writeln!(page, "<p class=headline>{text} <a href=\"{link}\">{clear}</a></p>");
}

/// A table that can be folded; nothing without rows.
fn fold(page: &mut String, rows: &[&ContainerRow], is_open: bool, label: &str, request: &Request) {
    if rows.is_empty() {
        return;
    }
    let open = if is_open { " open" } else { "" };
    let count = rows.len();
    let summary = say!(request.language, "{label}: {count}", "{label}：{count}");
    let _ = writeln!(page, "<details{open}><summary>{summary}</summary>");
    line::table(page, rows, label, request);
    page.push_str("</details>\n");
}

/// Memory that a container holds on all GPUs.
fn gpu_memory_bytes(row: &ContainerRow) -> Option<u64> {
    row.gpus.iter().filter_map(|gpu| gpu.memory_used_bytes).reduce(u64::saturating_add)
}

#[cfg(test)]
mod tests;
