//! The page for a name that no container has.

use super::{Escaped, Request, escaped::is_visible, frame, language::say};
use crate::snapshot::Snapshot;

/// Renders the page. `name` is `None` if the path was not valid text.
pub(in super::super) fn missing(snapshot: &Snapshot, name: Option<&str>, request: &Request) -> String {
    let language = request.language;
    let name =
        name.filter(|name| is_visible(name)).map_or_else(|| "?".to_owned(), |name| Escaped(name).to_string());
    let title = say!(language, "No container {name}", "没有容器 {name}");
    // It does not reload: a scanner would keep a tab with it busy.
    let mut page = frame::head(request, &title, false);
    let remedy = language.pick(
        "No container has this name now, or several have it. It may have ended some minutes ago. In Kubernetes, use \
         NAMESPACE/POD/CONTAINER; the ID works, too.",
        "当前没有容器叫这个名称，或者有多个容器同名。它可能在几分钟前已经结束。在 Kubernetes 中请使用 NAMESPACE/POD/CONTAINER，也可以使用 ID。",
    );
    let (home, all) = (request.link("/"), language.pick("all containers", "全部容器"));
    page.push_str(&format!(
        "<header><h1>{title}</h1></header>\n<main>\n<p>{remedy}</p>\n<p><a href=\"{home}\">{all}</a></p>\n</main>\n"
    ));
    frame::foot(&mut page, snapshot, request, "/");
    page
}
