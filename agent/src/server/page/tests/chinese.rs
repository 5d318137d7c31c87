//! Every text is translated.

use super::*;
use crate::snapshot::{agent::CollectorStatus, memory_leak::Memory};

/// Words of the Chinese page that are not Chinese: names, units, commands, and what the fixture contains.
fn is_kept(word: &str) -> bool {
    const KEPT: &[&str] = &[
        "glassbox",
        "Demonstration",
        "GPU",
        "CPU",
        "Xid",
        "OOM",
        "ID",
        "JSON",
        "cAdvisor",
        "NVIDIA",
        "English",
        "PromQL",
        "MiB",
        "GiB",
        "UTC",
        "q",
        "TEXT",
        "NVRM",
        "dmesg",
        "check",
        "docker",
        "logs",
        "tail",
        "inspect",
        "ms",
        "lock",
        "py",
        "spy",
        "gdb",
        "abc", // the ID
    ];
    KEPT.contains(&word)
}

#[test]
fn the_chinese_page_has_no_english_text() {
    let since = Duration::from_secs(100);
    let problems = vec![
        Problem::StuckInDriver { since: Some(since) },
        Problem::Stuck { reason: StuckReason::Lock, since },
        Problem::Unhealthy,
        Problem::OomKilled { kills: Some(2), ago: since },
        Problem::CrashLooping { restarts: 5, code: Some(1) },
        Problem::GpuMemoryRefused { failures: 2, ago: since },
        Problem::NearMemoryLimit { ratio: 0.95 },
        Problem::Throttled { ratio: 0.5 },
        Problem::StarvedOfCpu { ratio: 0.6 },
        Problem::MemoryLeak { memory: Memory::Host, bytes_per_hour: 6.0e8, full_in: Some(since) },
    ];
    let sick = ContainerRow { problems, ..used() };
    let ended = ContainerRow { ended_at: Some(SystemTime::UNIX_EPOCH), ended_ago: Some(since), ..used() };
    let mut snapshot = snapshot(vec![sick, used(), ended]);
    snapshot.agent.hostname = String::new();
    snapshot.agent.demo = true;
    snapshot.agent.collectors =
        [true, false].map(|up| CollectorStatus { name: "lock", up, duration: since, errors: 0 }).into();
    snapshot.host.gpus = vec![
        Gpu {
            uuid: "GPU-a".into(),
            up: true,
            utilization_ratio: Some(0.9),
            memory_used_bytes: Some(7 << 30),
            memory_total_bytes: Some(8 << 30),
            temperature_celsius: Some(65.0),
            throttle_reasons: vec![("software_power_cap", true)],
            last_xid: Some(79),
            ..Gpu::default()
        },
        Gpu::default(),
    ];
    let chinese = request("lang=zh&q=used");
    let subject = Subject::Container(snapshot.containers[0].key);
    for page in [
        render(&snapshot, &chinese),
        render(&snapshot, &request("lang=zh&pause&show=all")),
        render(&snapshot, &chinese.clone().about(subject)),
        missing(&snapshot, None, &chinese),
    ] {
        assert!(page.contains("<html lang=\"zh-CN\">"), "{page}");
        let body = page.split_once("</style>").unwrap().1;
        let mut text = String::new();
        for part in body.split('<').skip(1) {
            let (tag, after) = part.split_once('>').unwrap();
            // Queries are the same in each language.
            if !tag.starts_with("code class=query") {
                text.push_str(after);
                text.push(' ');
            }
            for attribute in ["aria-label=\"", "data-l=\""] {
                text.push_str(tag.split(attribute).nth(1).map_or("", |rest| rest.split('"').next().unwrap()));
                text.push(' ');
            }
        }
        let text =
            text.replace("&nbsp;", " ").replace("NAMESPACE/POD/CONTAINER", "").replace("Kubernetes", "");
        let words = text.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| word.len() > 1);
        let english: Vec<_> =
            words.filter(|word| !is_kept(word) && !["used", "image", "Pod"].contains(word)).collect();
        assert!(english.is_empty(), "{english:?} in {text}");
    }
}
