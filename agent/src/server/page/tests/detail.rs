//! The page of one container, and of none.

use super::*;

#[test]
fn the_page_of_a_container_has_its_numbers_with_queries_and_its_histogram() {
    let snapshot = snapshot(vec![used()]);
    let key = find(&snapshot, "used").unwrap();
    let page = render(&snapshot, &request("pause").about(Subject::Container(key)));
    for part in [
        "<title>used – glassbox on gpu-node-7</title>",
        "<a href=\"/?pause\">glassbox on gpu-node-7</a>",
        "<a href=\"/c/used\">resume</a>",
        "<p class=\"headline good\">running</p>",
        "<dt>image<dd>image",
        "<th scope=row>CPU used, of the quota<td>95 %<td><code class=query>sum(rate(container_cpu_usage_seconds_total\
         {container=&quot;used&quot;}[1m])) / (sum(container_spec_cpu_quota{container=&quot;used&quot;})",
        "<th scope=row>GPU memory<td>6.0 GiB<td>",
        "<th scope=row>exit code of the last run<td>137<td>",
        "<svg role=img",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

#[test]
fn a_row_that_has_gone_since_the_request_is_reported() {
    let page = render(&snapshot(Vec::new()), &Request::default().about(Subject::Container(7)));
    assert!(
        page.contains("<h1>No container ?</h1>") && page.contains("<a href=\"/\">all containers</a>"),
        "{page}"
    );
}

#[test]
fn a_name_that_no_container_has_is_shown_escaped_and_bounded() {
    let name = "<script>".repeat(100_000);
    let page = missing(&snapshot(Vec::new()), Some(&name), &Request::default());
    assert!(page.contains("No container &lt;script&gt;") && !page.contains("<script"), "{page}");
    assert!(page.len() < HEAD.len() + 8_000, "{}", page.len());
}
