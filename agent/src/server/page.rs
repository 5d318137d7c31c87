//! The plain page at `/`: one file, nothing loaded from anywhere, no script. All that comes from containers
//! is escaped.

use std::{fmt::Write as _, time::Duration};

use crate::snapshot::{ContainerRow, Snapshot, gpu_state::GpuState};

/// Everything up to the first heading.
const HEAD: &str = include_str!("page.html");
/// Stands below the heading in a demonstration.
const DEMO_BANNER: &str =
    "<p class=made-up><b>Demonstration.</b> GPUs, and the containers that use them, are made up.</p>\n";
/// Most containers that are listed; who has more uses the metrics.
const ROWS_MAX: usize = 500;
/// The longest text of a cell, in characters.
const CELL_MAX_CHARS: usize = 200;

/// The page.
pub(super) fn render(snapshot: &Snapshot) -> String {
    let mut page = String::with_capacity(HEAD.len() + 2048 + snapshot.containers.len().min(ROWS_MAX) * 256);
    page.push_str(HEAD);
    let running = snapshot.agent.containers_running;
    // Writing into a String cannot fail.
    let _ = write!(
        page,
        "<h1>glassbox {}</h1>\n{}<p>{running} container{} running; this page follows every 5 s.</p>\n\
         <nav><a href=\"/metrics\">metrics</a><a href=\"/metrics/cadvisor\">metrics as cAdvisor's</a>\
         <a href=\"/healthz\">well?</a><a href=\"/readyz\">ready?</a></nav>\n",
        env!("CARGO_PKG_VERSION"),
        if snapshot.agent.demo { DEMO_BANNER } else { "" },
        if running == 1 { "" } else { "s" },
    );
    collectors(&mut page, snapshot);
    containers(&mut page, snapshot);
    page
}

fn collectors(page: &mut String, snapshot: &Snapshot) {
    page.push_str("<h2>Collectors</h2>\n<p>");
    for collector in &snapshot.agent.collectors {
        let (class, word) = if collector.up { ("up", "on") } else { ("off", "off") };
        let _ = write!(page, "{} <span class=\"{class}\">{word}</span> &nbsp; ", Escaped(collector.name));
    }
    page.push_str("</p>\n");
}

fn containers(page: &mut String, snapshot: &Snapshot) {
    page.push_str(
        "<h2>Containers</h2>\n<table><tr><th>container<th>image<th>runtime<th class=n>CPU used\
         <th class=n>memory<th class=n>GPU memory<th>GPU<th class=n>state</tr>\n",
    );
    let mut rows: Vec<_> = snapshot.containers.iter().collect();
    rows.sort_by_key(|row| (!row.is_running(), &row.identity.container));
    for row in rows.iter().take(ROWS_MAX) {
        container(page, row);
    }
    page.push_str("</table>\n");
    if let Some(more) = rows.len().checked_sub(ROWS_MAX + 1) {
        let _ = writeln!(page, "<p>and {} more</p>", more + 1);
    }
}

fn container(page: &mut String, row: &ContainerRow) {
    let identity = &row.identity;
    let _ = write!(
        page,
        "<tr><td>{}<td>{}<td>{}<td class=n>",
        Escaped(&identity.container),
        Escaped(&identity.image),
        identity.runtime.as_str()
    );
    if let Some(usage_ns) = row.cgroup.cpu.usage_ns {
        let _ = write!(page, "{:.1} s", Duration::from_nanos(usage_ns).as_secs_f64());
    }
    page.push_str("<td class=n>");
    if let Some(bytes) = row.cgroup.memory.working_set_bytes {
        let _ = write!(page, "{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    }
    page.push_str("<td class=n>");
    if let Some(bytes) = row.gpus.iter().filter_map(|gpu| gpu.memory_used_bytes).reduce(u64::saturating_add) {
        let _ = write!(page, "{:.1} GiB", bytes as f64 / f64::from(1 << 30));
    }
    page.push_str("<td>");
    if let Some(state) = row.gpu_state.filter(|state| *state != GpuState::NoGpu) {
        page.push_str(&state.name().replace('_', " "));
    }
    match row.ended_at {
        _ if row.is_running() => page.push_str("<td class=\"n up\">running</tr>\n"),
        None => page.push_str("<td class=\"n off\">ended, cgroup left behind</tr>\n"),
        Some(_) => {
            let ago = row.ended_ago.unwrap_or_default().as_secs();
            let _ = writeln!(page, "<td class=\"n off\">ended {ago} s ago</tr>");
        }
    }
}

/// Text that can stand between tags and in quotes.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (place, c) in self.0.chars().enumerate() {
            if place == CELL_MAX_CHARS {
                return out.write_char('…');
            }
            match c {
                '&' => out.write_str("&amp;")?,
                '<' => out.write_str("&lt;")?,
                '>' => out.write_str("&gt;")?,
                '"' => out.write_str("&quot;")?,
                '\'' => out.write_str("&#39;")?,
                // Characters that are not seen, or that turn the direction of what follows, would deceive the
                // reader.
                c if c.is_control() || is_directional(c) => out.write_char('\u{fffd}')?,
                c => out.write_char(c)?,
            }
        }
        Ok(())
    }
}

fn is_directional(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_a_container_can_become_markup() {
        let text = Escaped("<script>alert('x')</script>&\"\u{202e}\n").to_string();
        assert_eq!(text, "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;\u{fffd}\u{fffd}");
    }

    #[test]
    fn a_long_cell_is_cut() {
        assert_eq!(Escaped(&"ß".repeat(10_000)).to_string().chars().count(), CELL_MAX_CHARS + 1);
    }
}
