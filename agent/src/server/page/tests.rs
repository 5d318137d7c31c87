use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use super::*;
use crate::snapshot::{
    agent::AgentUsage, identity::Runtime, lifecycle::ContainerState, requests::RequestUsage,
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

fn page(containers: Vec<ContainerRow>) -> String {
    let agent = AgentUsage {
        hostname: "gpu-node-7".into(),
        containers_running: containers.iter().filter(|row| row.ended_at.is_none()).count(),
        ..AgentUsage::default()
    };
    render(&Snapshot {
        delivery: Default::default(),
        taken_at: SystemTime::UNIX_EPOCH + Duration::from_secs(100),
        containers,
        host: Default::default(),
        agent,
    })
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
