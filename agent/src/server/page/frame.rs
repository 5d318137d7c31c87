//! What all pages have in common: the head with the style, the line about the snapshot, and the footer.

use std::fmt::Write as _;

use super::{Escaped, Language, Request, language::say, quantity::timestamp};
use crate::snapshot::Snapshot;

/// The head of the document from its character encoding on.
pub(super) const HEAD: &str = include_str!("../page.html");
/// Reloads the page.
const RELOAD: &str = "<meta http-equiv=\"refresh\" content=\"5\">\n";

/// Everything up to the content. `title` is escaped.
pub(super) fn head(request: &Request, title: &str, reloads: bool) -> String {
    let mut page = String::with_capacity(HEAD.len() + 4096);
    let tag = request.language.tag();
    // Writing into a String cannot fail.
    let _ = write!(page, "<!doctype html>\n<html lang=\"{tag}\">\n{HEAD}");
    if reloads && !request.is_paused {
        page.push_str(RELOAD);
    }
    let _ = writeln!(page, "<title>{title}</title>");
    page
}

/// The mark of a demonstration, the time of the snapshot, and whether the page reloads. `path` is that of this page.
pub(super) fn about(page: &mut String, snapshot: &Snapshot, request: &Request, path: &str) {
    let language = request.language;
    if snapshot.agent.demo {
        let _ = writeln!(
            page,
            "<p class=made-up>{}</p>",
            language.pick(
                "<b>Demonstration.</b> GPUs, and the containers that use them, are made up.",
                "<b>Demonstration（演示）。</b>GPU 和使用 GPU 的容器都是模拟的。"
            )
        );
    }
    let at = timestamp(snapshot.taken_at);
    let (state, action) = if request.is_paused {
        (language.pick("paused", "已暂停"), language.pick("resume", "继续"))
    } else {
        (language.pick("reloads every 5 s", "每 5 秒刷新"), language.pick("pause", "暂停"))
    };
    let link = request.link_to(path, |request| request.is_paused = !request.is_paused);
    let line = say!(language, "State at {at}; {state},", "数据时间 {at}；{state}，");
    let _ = writeln!(page, "<p>{line} <a href=\"{link}\">{action}</a></p>");
}

/// The collectors, the links and the version. Ends the document. `path` is that of this page.
pub(super) fn foot(page: &mut String, snapshot: &Snapshot, request: &Request, path: &str) {
    let language = request.language;
    page.push_str("<footer>\n");
    let _ = write!(page, "<p>{}", language.pick("Collectors:", "采集器："));
    for collector in &snapshot.agent.collectors {
        let (class, word) = if collector.up {
            ("good", language.pick("on", "开"))
        } else {
            ("bad", language.pick("off", "关"))
        };
        let _ = write!(page, " {}&nbsp;<span class={class}>{word}</span>", Escaped(collector.name));
    }
    let _ = write!(page, "</p>\n<nav aria-label=\"{}\">", language.pick("Other pages", "其他页面"));
    for (other, text) in [
        ("/metrics", language.pick("metrics", "指标")),
        ("/metrics/cadvisor", language.pick("cAdvisor-compatible metrics", "兼容 cAdvisor 的指标")),
        ("/api/v1/containers", language.pick("containers as JSON", "容器（JSON）")),
        ("/healthz", language.pick("health", "健康状态")),
        ("/readyz", language.pick("readiness", "就绪状态")),
    ] {
        let _ = write!(page, "<a href=\"{other}\">{text}</a> ");
    }
    for other in Language::ALL.iter().filter(|other| **other != language) {
        let changed = |request: &mut Request| (request.language, request.names_language) = (*other, true);
        let link = request.link_to(path, changed);
        let (tag, text) = (other.tag(), other.pick("English", "中文"));
        let _ = write!(page, "<a href=\"{link}\" lang={tag} hreflang={tag}>{text}</a>");
    }
    let version = env!("CARGO_PKG_VERSION");
    let _ = writeln!(page, "</nav>\n<p>glassbox {version}</p>\n</footer>");
}
