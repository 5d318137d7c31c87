use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use super::*;
use crate::snapshot::{
    agent::AgentUsage,
    gpu::{ContainerGpu, Gpu},
    health::StuckReason,
    identity::Runtime,
    lifecycle::ContainerState,
    requests::RequestUsage,
};

/// Minimum contrast of WCAG 2, level AA, for text of normal size.
const CONTRAST_MIN: f64 = 4.5;

/// The variables of the stylesheet's `:root` rules: light, then dark.
fn palettes() -> Vec<BTreeMap<&'static str, &'static str>> {
    let rules = HEAD.split(":root {").skip(1).map(|rest| rest.split_once('}').unwrap().0);
    let variables = rules.map(|rule| {
        let pairs = rule.split(';').filter_map(|pair| pair.trim().strip_prefix("--")?.split_once(": "));
        pairs.map(|(name, value)| (name, value.trim())).collect()
    });
    variables.collect()
}

/// WCAG's relative luminance of `#rrggbb`.
fn luminance(colour: &str) -> f64 {
    let channel = |at: usize| {
        let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
        if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
}

fn contrast(one: &str, other: &str) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[test]
fn every_text_colour_has_enough_contrast_in_the_light_and_dark_scheme() {
    assert!((contrast("#000000", "#ffffff") - 21.0).abs() < 0.01);
    assert!((contrast("#777777", "#ffffff") - 4.48).abs() < 0.01);
    let palettes = palettes();
    assert_eq!(palettes.len(), 2);
    assert!(palettes[0].keys().eq(palettes[1].keys()), "a colour is missing in one scheme");
    for palette in &palettes {
        for (name, colour) in palette.iter().filter(|(name, _)| **name != "back") {
            let contrast = contrast(colour, palette["back"]);
            assert!(contrast >= CONTRAST_MIN, "{name} {colour} on {}: {contrast:.2}", palette["back"]);
        }
        assert!(palette.len() >= 6);
    }
    // All other rules use these variables, so the loop above checks every colour.
    let rules = HEAD.split_once("body {").unwrap().1;
    assert!(!rules.contains('#') && !rules.contains("rgb"), "{rules}");
    assert!(rules.contains("background: var(--back); color: var(--text)"));
}

fn row(name: &str, problems: Vec<Problem>) -> ContainerRow {
    let identity = Identity {
        id: format!("{:064x}", 0xabc),
        cgroup_path: "/docker/x".into(),
        runtime: Runtime::Docker,
        name: name.into(),
        image: "image".into(),
        container: name.into(),
        ..Identity::default()
    };
    let mut row = ContainerRow::new(Arc::new(identity), SystemTime::UNIX_EPOCH);
    row.problems = problems;
    row
}

fn snapshot(containers: Vec<ContainerRow>) -> Snapshot {
    let agent = AgentUsage {
        hostname: "gpu-node-7".into(),
        containers_running: containers.iter().filter(|row| row.ended_at.is_none()).count(),
        ..AgentUsage::default()
    };
    Snapshot {
        delivery: Default::default(),
        taken_at: SystemTime::UNIX_EPOCH + Duration::from_secs(100),
        containers,
        host: Default::default(),
        agent,
    }
}

fn page(containers: Vec<ContainerRow>) -> String {
    render(&snapshot(containers), false)
}

#[test]
fn a_card_shows_the_problem_its_evidence_and_what_to_do() {
    let mut full = row("new-oom", vec![Problem::OomKilled { kills: Some(6), ago: Duration::from_secs(4) }]);
    full.cgroup.memory.working_set_bytes = Some(3 << 29);
    full.cgroup.limits.memory_limit_bytes = Some(2 << 30);
    let mut slow = row("slow", vec![Problem::Throttled { ratio: 0.4 }]);
    (slow.cgroup.limits.cpu_quota_us, slow.cgroup.limits.cpu_period_us) = (Some(30_000), Some(100_000));
    let crashing = row("<b>", vec![Problem::CrashLooping { restarts: 5, code: Some(1) }]);
    let page = page(vec![full, slow, crashing, row("fine", Vec::new())]);
    let cards: Vec<_> =
        page.split("<article>").skip(1).map(|rest| rest.split("</article>").next().unwrap()).collect();
    let [full, crashing, slow] = cards[..] else { panic!("{cards:?}") };
    assert!(full.starts_with("<h2>new-oom</h2><p class=bad>OOM-killed 6 times, last 4 s ago</p>"), "{full}");
    assert!(
        full.contains("Memory: 1.5 GiB of 2.0 GiB.") && full.contains("Raise the memory limit"),
        "{full}"
    );
    assert!(slow.contains("Quota: 0.30 cores.") && slow.contains("<p class=warn>"), "{slow}");
    // The ID and not the name, which could be anything.
    assert!(crashing.contains("<code>docker logs --tail 50 000000000000</code>"), "{crashing}");
    assert!(crashing.starts_with("<h2>&lt;b&gt;</h2>"), "{crashing}");
}

#[test]
fn an_id_that_needs_quotes_is_in_no_command() {
    let mut hostile = row("a", vec![Problem::CrashLooping { restarts: 5, code: None }]);
    let identity = Identity { id: "$(reboot)".into(), ..Identity::clone(&hostile.identity) };
    hostile.identity = Arc::new(identity);
    let page = page(vec![hostile]);
    assert!(!page.contains("reboot"), "{page}");
}

#[test]
fn every_reason_to_be_stuck_has_advice() {
    use StuckReason::*;
    for reason in [Stopped, NvidiaDriver, Disk, BusyLoop, Network, Lock, AcceptQueue, Unknown] {
        let page = page(vec![row("a", vec![Problem::Stuck { reason, since: Duration::from_secs(20) }])]);
        let card = page.split("<article>").nth(1).unwrap().split("</article>").next().unwrap();
        assert!(card.matches("<p>").count() == 1 && card.contains('.'), "{reason:?}: {card}");
    }
}

#[test]
fn a_gpu_has_a_line_with_those_who_hold_its_memory() {
    let mut holder = row("facefusion", Vec::new());
    let used =
        ContainerGpu { uuid: "GPU-a".into(), memory_used_bytes: Some(6 << 30), ..ContainerGpu::default() };
    holder.gpus = vec![used];
    let mut snapshot = snapshot(vec![holder]);
    let up = Gpu {
        uuid: "GPU-a".into(),
        name: "NVIDIA <L4>".into(),
        up: true,
        utilization_ratio: Some(0.9),
        memory_used_bytes: Some(7 << 30),
        memory_total_bytes: Some(8 << 30),
        power_watts: Some(71.6),
        temperature_celsius: Some(65.0),
        throttle_reasons: vec![("idle", true), ("power_cap", true), ("hw_thermal", false)],
        ..Gpu::default()
    };
    let lost = Gpu { pci_bus_id: "00000000:41:00.0".into(), ..Gpu::default() };
    snapshot.host.gpus = vec![up, lost];
    let page = render(&snapshot, false);
    let expected = "<li><b>GPU 0</b> NVIDIA &lt;L4&gt;, 90 % busy, memory <span class=warn>7.0 GiB of 8.0 GiB</span>, 72 W, 65 °C, \
                    <span class=warn>clocks reduced: power cap</span>; held by facefusion (6.0 GiB)</li>";
    assert!(page.contains(expected), "{page}");
    assert!(page.contains("<li><b>GPU 00000000:41:00.0</b>  <span class=bad>down"), "{page}");
}

#[test]
fn a_paused_page_does_not_reload_itself() {
    let snapshot = snapshot(vec![row("a", Vec::new())]);
    let (running, paused) = (render(&snapshot, false), render(&snapshot, true));
    assert!(
        running.contains("http-equiv=\"refresh\"") && running.contains("<a href=\"/?pause\">pause</a>"),
        "{running}"
    );
    assert!(!paused.contains("refresh") && paused.contains("<a href=\"/\">resume</a>"), "{paused}");
    assert!(paused.contains("State at 00:01:40 UTC;"), "{paused}");
}

#[test]
fn containers_with_problems_come_first_and_are_counted() {
    let mut done = row("a-done", Vec::new());
    done.ended_at = Some(SystemTime::UNIX_EPOCH);
    done.ended_ago = Some(Duration::from_secs(100));
    let page = page(vec![
        row("b-well", Vec::new()),
        done,
        row("y-slow", vec![Problem::Throttled { ratio: 0.5 }]),
        row("z-hung", vec![Problem::StuckInDriver { since: None }]),
    ]);
    let at = |name: &str| page.find(&format!("<tr><td>{name}")).unwrap();
    assert!(
        at("z-hung") < at("y-slow") && at("y-slow") < at("b-well") && at("b-well") < at("a-done"),
        "{page}"
    );
    assert!(page.contains("<span class=bad>2 of 3</span> containers need attention."), "{page}");
    assert!(page.contains("<td class=\"s bad\">stuck in the GPU driver"), "{page}");
    assert!(page.contains("<td class=\"s warn\">CPU throttled in 50 % of periods"), "{page}");
    assert!(page.contains("<td class=\"s good\">running") && page.contains("ended 1 min 40 s ago"), "{page}");
    assert!(page.contains("<title>glassbox on gpu-node-7</title>"), "{page}");
}

/// The remaining columns fit a screen of 390 pixels.
#[test]
fn a_narrow_screen_shows_only_name_status_gpu_memory_and_gpu() {
    let narrow = HEAD.split_once("@media (max-width: 30rem) {").unwrap().1;
    assert!(
        HEAD.contains(".wide { display: none }") && narrow.contains(".middle { display: none }"),
        "{HEAD}"
    );
    let page = page(vec![row("a", Vec::new())]);
    let headings: Vec<_> =
        page.split("<th scope=col").skip(1).map(|rest| rest.split('<').next().unwrap()).collect();
    let left = headings.iter().filter(|text| !text.contains("wide") && !text.contains("middle"));
    let left: Vec<_> = left.map(|text| text.rsplit_once('>').unwrap().1).collect();
    assert_eq!(left, ["container", "status", "GPU memory", "GPU"]);
    assert!(HEAD.contains("content=\"width=device-width\""), "{HEAD}");
}

#[test]
fn requests_in_flight_are_shown_if_requests_are_counted() {
    let mut serving = row("a", Vec::new());
    serving.requests = Some(Box::new(RequestUsage { in_flight: 17, ..RequestUsage::default() }));
    let page = page(vec![serving, row("b", Vec::new())]);
    let cells =
        |name: &str| page.split(&format!("<tr><td>{name}<")).nth(1).unwrap().split("</tr>").next().unwrap();
    assert!(cells("a").contains("<td class=\"n wide\">17<"), "{page}");
    assert!(!cells("b").contains("<td class=\"n wide\">0<"), "{page}");
}

#[test]
fn the_headline_states_that_there_are_no_problems() {
    let page = page(vec![row("a", Vec::new())]);
    assert!(page.contains("1 container running, none needs attention."), "{page}");
}

#[test]
fn a_paused_container_is_not_shown_as_running() {
    let mut paused = row("a", Vec::new());
    paused.status.state = Some(ContainerState::Paused);
    let text = page(vec![paused]);
    assert!(text.contains("<td class=\"s warn\">paused"), "{text}");
    let mut started = row("a", Vec::new());
    started.status.state = Some(ContainerState::Created);
    let text = page(vec![started]);
    assert!(text.contains("<td class=\"s good\">running"), "{text}");
}

#[test]
fn a_name_without_visible_characters_is_replaced_by_the_id() {
    let page = page(vec![row(" \u{200b}", Vec::new())]);
    assert!(page.contains("<tr><td>000000000000<td"), "{page}");
}
