mod chinese;
mod contrast;
mod detail;
mod line;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{frame::HEAD, *};
use crate::snapshot::{
    agent::AgentUsage,
    gpu::{ContainerGpu, Gpu},
    gpu_state::GpuState,
    health::StuckReason,
    identity::{Identity, Runtime},
    lifecycle::{ContainerState, ContainerStatus, ExitReason, Health, LastExit},
    nvidia_driver::DriverUsage,
    rates::Rates,
    requests::RequestUsage,
    scheduler::SchedulerCounters,
};

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
    overview_of(&snapshot(containers))
}

fn overview_of(snapshot: &Snapshot) -> String {
    render(snapshot, &Request::default())
}

fn request(query: &str) -> Request {
    Request::new(Some(query), &axum::http::HeaderMap::new())
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
        page.split("<article class=").skip(1).map(|rest| rest.split("</article>").next().unwrap()).collect();
    let [full, crashing, slow] = cards[..] else { panic!("{cards:?}") };
    let head =
        "bad><h2><a href=\"/c/new-oom\">new-oom</a></h2><p class=bad>OOM-killed 6 times, last 4 s ago</p>";
    assert!(full.starts_with(head), "{full}");
    assert!(full.contains("Memory: 1.5 / 2.0 GiB.") && full.contains("Raise the memory limit"), "{full}");
    assert!(slow.contains("Quota: 0.30 cores.") && slow.contains("<p class=warn>"), "{slow}");
    // The ID and not the name, which could be anything.
    assert!(crashing.contains("<code>docker logs --tail 50 000000000000</code>"), "{crashing}");
    assert!(crashing.contains("<h2><a href=\"/c/%3Cb%3E\">&lt;b&gt;</a></h2>"), "{crashing}");
}

#[test]
fn an_id_that_needs_quotes_is_in_no_command() {
    let mut hostile = row("a", vec![Problem::CrashLooping { restarts: 5, code: None }]);
    let identity = Identity { id: "$(reboot)".into(), ..Identity::clone(&hostile.identity) };
    hostile.identity = Arc::new(identity);
    let page = page(vec![hostile]);
    assert!(page.contains("Read the end of its log.</p>") && !page.contains("reboot"), "{page}");
}

#[test]
fn every_reason_to_be_stuck_has_advice() {
    use StuckReason::*;
    for reason in [Stopped, NvidiaDriver, Disk, BusyLoop, Network, Lock, AcceptQueue, Unknown] {
        let stuck = row("a", vec![Problem::Stuck { reason, since: Duration::from_secs(20) }]);
        for (language, stop) in [("en", '.'), ("zh", '。')] {
            let page = render(&snapshot(vec![stuck.clone()]), &request(&format!("lang={language}")));
            let card = page.split("<article").nth(1).unwrap().split("</article>").next().unwrap();
            assert!(card.matches("<p>").count() == 1 && card.contains(stop), "{reason:?}: {card}");
        }
    }
}

#[test]
fn a_gpu_has_a_box_with_those_who_hold_its_memory() {
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
        power_limit_watts: Some(80.0),
        temperature_celsius: Some(65.0),
        last_xid: Some(79),
        throttle_reasons: vec![("idle", true), ("software_power_cap", true), ("hardware_thermal", false)],
        ..Gpu::default()
    };
    let lost = Gpu { pci_bus_id: "00000000:41:00.0".into(), ..Gpu::default() };
    snapshot.host.gpus = vec![up, lost];
    let page = overview_of(&snapshot);
    let strip = page.split("<ul class=gpus>").nth(1).unwrap().split("</ul>").next().unwrap();
    let bar = |percent| format!("<span class=bar aria-hidden=true><i style=\"width:{percent}%\"></i></span>");
    let item =
        |what: &str, class: &str, value: &str| format!("<div><dt>{what}<dd class={class}>{value}</div>");
    for part in [
        "<li><b>GPU 0</b> NVIDIA &lt;L4&gt;".to_owned(),
        item("utilization", "plain", &("90 %".to_owned() + &bar(90))),
        item("memory", "warn", &("7.0 / 8.0 GiB".to_owned() + &bar(88))),
        item("power", "plain", "72 / 80 W"),
        item("temperature", "plain", "65 °C"),
        item("clocks reduced", "warn", "software power cap"),
        item("last error", "warn", "Xid 79"),
        "<p>Memory held by <a href=\"/c/facefusion\">facefusion</a> (6.0 GiB)</p>".to_owned(),
        "<li><b>GPU 00000000:41:00.0</b> <p class=bad>down: look".to_owned(),
    ] {
        assert!(strip.contains(&part), "{part}: {strip}");
    }
}

#[test]
fn a_paused_page_does_not_reload_itself() {
    let snapshot = snapshot(vec![row("a", Vec::new())]);
    let (running, paused) = (overview_of(&snapshot), render(&snapshot, &request("pause&q=a")));
    assert!(
        running.contains("http-equiv=\"refresh\"") && running.contains("<a href=\"/?pause\">pause</a>"),
        "{running}"
    );
    // The other parameters stay.
    assert!(!paused.contains("refresh") && paused.contains("<a href=\"/?q=a\">resume</a>"), "{paused}");
    assert!(paused.contains("State at 1970-01-01 00:01:40 UTC; paused"), "{paused}");
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
    let at = |name: &str| page.find(&format!("<tr><th scope=row><a href=\"/c/{name}\">{name}</a>")).unwrap();
    assert!(
        at("z-hung") < at("y-slow") && at("y-slow") < at("b-well") && at("b-well") < at("a-done"),
        "{page}"
    );
    assert!(page.contains("<span class=bad>2 of 3</span> containers need attention."), "{page}");
    assert!(page.contains("<td class=\"s bad\">stuck in the GPU driver"), "{page}");
    assert!(page.contains("<td class=\"s warn\">CPU throttled in 50 % of periods"), "{page}");
    assert!(page.contains("<td class=\"s good\">running") && page.contains("ended 1 min 40 s ago"), "{page}");
    let folded = "<details><summary>Healthy: 1</summary>";
    assert!(page.contains(folded) && page.contains("<details><summary>Ended: 1</summary>"), "{page}");
    assert!(page.contains("<title>glassbox on gpu-node-7</title>"), "{page}");
}

/// A container with every value of its line.
fn used() -> ContainerRow {
    let mut row = row("used", Vec::new());
    row.rates = Rates { cpu_cores: Some(0.285), waiting: Some(0.095) };
    (row.cgroup.limits.cpu_quota_us, row.cgroup.limits.cpu_period_us) = (Some(30_000), Some(100_000));
    row.cgroup.memory.working_set_bytes = Some(3 << 29);
    row.cgroup.limits.memory_limit_bytes = Some(2 << 30);
    row.gpu_state = Some(GpuState::Busy);
    row.gpus = vec![ContainerGpu {
        uuid: "GPU-a".into(),
        utilization_ratio: Some(0.9),
        memory_used_bytes: Some(6 << 30),
        memory_used_ratio: Some(0.75),
        ..ContainerGpu::default()
    }];
    row.requests = Some(Box::new(RequestUsage { in_flight: 17, ..RequestUsage::default() }));
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(60);
    let exit = LastExit { at, code: Some(137), reason: Some(ExitReason::OomKilled) };
    row.status = ContainerStatus {
        restarts: Some(3),
        last_exit: Some(exit),
        health: Some(Health::Healthy),
        ..ContainerStatus::default()
    };
    let mut scheduler = SchedulerCounters::default();
    scheduler.waits.buckets[40] = 100;
    row.scheduler = Some(Box::new(scheduler));
    row.nvidia_driver = Some(Box::new(DriverUsage { in_flight: 2, ..DriverUsage::default() }));
    row
}

#[test]
fn a_page_of_250_containers_is_bounded() {
    let rows: Vec<_> = (0..250).map(|number| ContainerRow { key: number, ..used() }).collect();
    let page = page(rows);
    assert!(page.len() < 250 * 1_200 + HEAD.len() + 4_096, "{}", page.len());
}

#[test]
fn requests_in_flight_are_shown_if_requests_are_counted() {
    let mut serving = row("a", Vec::new());
    serving.requests = Some(Box::new(RequestUsage { in_flight: 17, ..RequestUsage::default() }));
    let page = page(vec![serving, row("b", Vec::new())]);
    let cells = |name: &str| {
        page.split(&format!("<tr><th scope=row><a href=\"/c/{name}\">"))
            .nth(1)
            .unwrap()
            .split("</tr>")
            .next()
            .unwrap()
    };
    assert!(cells("a").contains("<td data-l=\"requests\">17<"), "{page}");
    assert!(!cells("b").contains("data-l=\"requests\""), "{page}");
}

#[test]
fn the_headline_states_that_there_are_no_problems() {
    let page = page(vec![row("a", Vec::new())]);
    assert!(page.contains("1 container running, it needs no attention."), "{page}");
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
    assert!(page.contains(&format!("<a href=\"/c/{:064x}\">000000000000</a><td", 0xabc)), "{page}");
}
