//! The status page at `/`: a single file without scripts and external resources. It leads with what is wrong: a card for
//! each container with problems, then the GPUs, then one line per container. All text from containers is escaped.

mod card;
mod escaped;
mod gpus;
mod status;

use std::{
    fmt::Write as _,
    time::{Duration, SystemTime},
};

use self::escaped::Escaped;
pub(super) use self::status::Words;
use crate::snapshot::{ContainerRow, Snapshot, gpu_state::GpuState, identity::Identity, problem::Problem};

/// Everything up to the title.
const HEAD: &str = include_str!("page.html");
/// Shown below the heading in a demonstration.
const DEMO_BANNER: &str =
    "<p class=made-up><b>Demonstration.</b> GPUs, and the containers that use them, are made up.</p>\n";
/// Maximum number of containers in the table; the metrics contain all of them.
const ROWS_MAX: usize = 500;
/// Number of characters of an ID that replace a name without visible characters.
const SHORT_ID: usize = 12;

/// Reloads the page.
const RELOAD: &str = "<meta http-equiv=\"refresh\" content=\"5\">\n";
/// The query with which the page does not reload itself, so that text can be selected and read out.
pub(super) const PAUSED: &str = "pause";

/// Renders the page. It reloads itself unless `is_paused`.
pub(super) fn render(snapshot: &Snapshot, is_paused: bool) -> String {
    let mut page = String::with_capacity(HEAD.len() + 2048 + snapshot.containers.len().min(ROWS_MAX) * 256);
    page.push_str(HEAD);
    page.push_str(if is_paused { "" } else { RELOAD });
    let host = Escaped(&snapshot.agent.hostname);
    let on = if escaped::is_visible(&snapshot.agent.hostname) { " on " } else { "" };
    // Writing into a String cannot fail.
    let (link, reload) = if is_paused { ("/", "resume") } else { ("/?pause", "pause") };
    let _ = write!(
        page,
        "<title>glassbox{on}{host}</title>\n<main>\n<h1>glassbox{on}{host}</h1>\n{}{}<p>State at {}; {} \
         <a href=\"{link}\">{reload}</a>. Version {}.</p>\n\
         <nav><a href=\"/metrics\">metrics</a><a href=\"/metrics/cadvisor\">cAdvisor-compatible metrics</a>\
         <a href=\"/api/v1/containers\">containers as JSON</a><a href=\"/healthz\">health</a>\
         <a href=\"/readyz\">readiness</a></nav>\n",
        if snapshot.agent.demo { DEMO_BANNER } else { "" },
        headline(snapshot),
        clock(snapshot.taken_at),
        if is_paused { "paused," } else { "reloads every 5 s," },
        env!("CARGO_PKG_VERSION"),
    );
    containers(&mut page, snapshot);
    collectors(&mut page, snapshot);
    page.push_str("</main>\n");
    page
}

/// The number of containers with problems, of all running ones; and the collectors that are off.
fn headline(snapshot: &Snapshot) -> String {
    let sick = snapshot.containers.iter().filter(|row| !row.problems.is_empty()).count();
    let running = snapshot.agent.containers_running;
    let of = running.max(sick);
    let mut line = if sick == 0 {
        let plural = if running == 1 { "" } else { "s" };
        format!("<p class=headline>{running} container{plural} running, none needs attention.</p>\n")
    } else {
        let verb = if sick == 1 { "needs" } else { "need" };
        format!("<p class=headline><span class=bad>{sick} of {of}</span> containers {verb} attention.</p>\n")
    };
    let off: Vec<_> = snapshot.agent.collectors.iter().filter(|c| !c.up).map(|c| c.name).collect();
    if !off.is_empty() {
        let _ = writeln!(
            line,
            "<p class=warn>Collectors off: {}. Run <code>glassbox check</code> to see why.</p>",
            Escaped(&off.join(", "))
        );
    }
    line
}

fn collectors(page: &mut String, snapshot: &Snapshot) {
    page.push_str("<h2>Collectors</h2>\n<p>");
    for collector in &snapshot.agent.collectors {
        let (class, word) = if collector.up { ("good", "on") } else { ("bad", "off") };
        let _ = write!(page, "{} <span class={class}>{word}</span> &nbsp; ", Escaped(collector.name));
    }
    page.push_str("</p>\n");
}

/// The time of day.
fn clock(at: SystemTime) -> String {
    #[expect(clippy::disallowed_methods, reason = "a timestamp, not an age")]
    let seconds = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() % 86_400;
    format!("{:02}:{:02}:{:02} UTC", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn containers(page: &mut String, snapshot: &Snapshot) {
    let mut rows: Vec<_> = snapshot.containers.iter().collect();
    rows.sort_by_key(|row| {
        let worst = row.problems.iter().map(Problem::rank).min().unwrap_or(u8::MAX);
        (worst, !row.is_running(), &row.identity.container)
    });
    card::cards(page, &rows);
    gpus::gpus(page, snapshot);
    let shown = |row: &&ContainerRow| row.is_running() || !row.problems.is_empty();
    let (shown, ended): (Vec<_>, Vec<_>) = rows.into_iter().partition(shown);
    table(page, &shown);
    if !ended.is_empty() {
        let _ = writeln!(page, "<details><summary>Ended containers: {}</summary>", ended.len());
        table(page, &ended);
        page.push_str("</details>\n");
    }
}

fn table(page: &mut String, rows: &[&ContainerRow]) {
    page.push_str(
        "<table><tr><th scope=col>container<th scope=col>status<th scope=col class=\"n wide\">CPU used\
         <th scope=col class=\"n wide\">requests in flight<th scope=col class=\"n middle\">memory<th scope=col class=n>GPU memory<th scope=col>GPU\
         <th scope=col class=wide>image<th scope=col class=wide>runtime</tr>\n",
    );
    for row in rows.iter().take(ROWS_MAX) {
        container(page, row);
    }
    page.push_str("</table>\n");
    if let Some(more) = rows.len().checked_sub(ROWS_MAX + 1) {
        let _ = writeln!(page, "<p>and {} more</p>", more + 1);
    }
}

fn container(page: &mut String, row: &ContainerRow) {
    let status = status::status(row);
    let _ = write!(
        page,
        "<tr><td>{}<td class=\"s {}\">{}<td class=\"n wide\">",
        Escaped(name(&row.identity)),
        status.class,
        status.words
    );
    if let Some(usage_ns) = row.cgroup.cpu.usage_ns {
        let _ = write!(page, "{:.1} s", Duration::from_nanos(usage_ns).as_secs_f64());
    }
    page.push_str("<td class=\"n wide\">");
    if let Some(requests) = &row.requests {
        let _ = write!(page, "{}", requests.in_flight);
    }
    page.push_str("<td class=\"n middle\">");
    if let Some(bytes) = row.cgroup.memory.working_set_bytes {
        let _ = write!(page, "{:.1} MiB", bytes as f64 / f64::from(1 << 20));
        if let Some(limit) = row.cgroup.limits.finite_memory_bytes() {
            let _ = write!(page, " ({:.0} %)", 100.0 * bytes as f64 / limit as f64);
        }
    }
    page.push_str("<td class=n>");
    if let Some(bytes) = gpu_memory_bytes(row) {
        page.push_str(&gibibytes(bytes));
    }
    page.push_str("<td class=w>");
    if let Some(state) = row.gpu_state.filter(|state| *state != GpuState::NoGpu) {
        page.push_str(&state.name().replace('_', " "));
    }
    let _ = writeln!(
        page,
        "<td class=wide>{}<td class=\"w wide\">{}</tr>",
        Escaped(&row.identity.image),
        row.identity.runtime.as_str()
    );
}

/// Memory that a container holds on all GPUs.
fn gpu_memory_bytes(row: &ContainerRow) -> Option<u64> {
    row.gpus.iter().filter_map(|gpu| gpu.memory_used_bytes).reduce(u64::saturating_add)
}

fn gibibytes(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

/// The display name, or the beginning of the ID if the name has no visible characters.
fn name(identity: &Identity) -> &str {
    if escaped::is_visible(&identity.container) {
        return &identity.container;
    }
    identity.id.get(..SHORT_ID).unwrap_or(&identity.id)
}

#[cfg(test)]
mod tests;
