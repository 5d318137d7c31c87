//! The line of a container.

use super::*;

/// A browser test looks at the result.
#[test]
fn a_narrow_screen_shows_each_value_with_its_heading() {
    let narrow = HEAD.split_once("@media (max-width: 66rem) {").unwrap().1;
    assert!(narrow.contains("td[data-l]::before { content: attr(data-l)"), "{HEAD}");
    assert!(HEAD.contains("content=\"width=device-width\""), "{HEAD}");
    let page = page(vec![used()]);
    let headings: Vec<_> =
        page.split("<th scope=col>").skip(1).map(|rest| rest.split('<').next().unwrap()).collect();
    let labels: Vec<_> =
        page.split("data-l=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(headings[..2], ["container", "status"]);
    assert_eq!(headings[2..], labels);
}

#[test]
fn a_line_has_the_use_of_everything_with_its_limit() {
    let page = page(vec![used()]);
    for cell in [
        "<td data-l=\"CPU, cores\" class=warn>0.28 / 0.30<span class=bar",
        "<td data-l=\"CPU wait\">25 %<td",
        "<td data-l=\"memory\">1.5 / 2.0 GiB<span class=bar",
        "<td data-l=\"GPU time\">90 %, busy<td",
        "<td data-l=\"GPU memory\">6.0 GiB<span class=bar",
        "<td data-l=\"requests\">17<td",
        "<td data-l=\"restarts\">3<td",
        "<td data-l=\"last exit\">137 (OOM-killed) at 00:01</tr>",
    ] {
        assert!(page.contains(cell), "{cell}: {page}");
    }
}

#[test]
fn a_filter_selects_by_name_image_and_id_and_unfolds() {
    let mut other = row("other", Vec::new());
    let identity =
        Identity { image: "Example/Web:1".into(), id: "f00d".repeat(16), ..Identity::clone(&other.identity) };
    other.identity = Arc::new(identity);
    let snapshot = snapshot(vec![row("facefusion", vec![Problem::Unhealthy]), other]);
    let of = |query: &str| render(&snapshot, &request(query));
    for (query, shown, hidden) in [
        ("q=FACE", "facefusion", "other"),
        ("q=example%2Fweb", "other", "facefusion"),
        ("q=f00df00d", "other", "facefusion"),
    ] {
        let page = of(query);
        let has = |name: &str| page.contains(&format!("/c/{name}?"));
        assert!(has(shown) && !has(hidden), "{query}: {page}");
        assert!(page.contains("1 of 2 containers match"), "{page}");
        // The verdict is that of the host.
        assert!(page.contains("<span class=bad>1 of 1</span>") || page.contains("1 of 2</span>"), "{page}");
    }
    assert!(of("q=other").contains("<details open><summary>Healthy: 1"), "{}", of("q=other"));
    let hostile = of("q=%22%3E%3Cscript%3E");
    assert!(hostile.contains("0 of 2 containers match “&quot;&gt;&lt;script&gt;”"), "{hostile}");
    assert!(!hostile.contains("<script"), "{hostile}");
}
