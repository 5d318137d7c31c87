//! The status page in Chromium: what fits a screen, what can be read, what a screen reader finds, and that the page loads
//! nothing.
#![expect(clippy::unwrap_used, reason = "a panic fails the test, also in its helpers")]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use glassbox::{
    config::Config,
    server::{self, Options, web::Web},
    snapshot::{
        ContainerRow, Snapshot, health::StuckReason, identity::Identity, memory_leak::Memory,
        problem::Problem, rates::Rates,
    },
};
use glassbox_fixtures::host;
use glassbox_tests::{
    browser::{self, Browser, Screen},
    skip,
};
use tokio::{net::TcpListener, runtime::Runtime, sync::watch};

/// A name that needs escapes, is as long as a name can be and offers no place for a line break.
const HOSTILE: &str = "融合<script>alert(1)</script>_abcdefghijklmnopqrstuvwxyz_abcdefghijklmnopqrstuvwxyz_abcdefghijklmnopqrstuvwxyz_\u{202e}";

/// WCAG 2, level AA, for text of normal size.
const CONTRAST_MIN: f64 = 4.5;

/// The lowest contrast of a text with the background of the page, and that text.
const LOWEST_CONTRAST: &str = r"(() => {
    const channels = colour => colour.match(/[\d.]+/g).slice(0, 3).map(Number);
    const luminance = colour => {
        const [r, g, b] = channels(colour).map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const back = luminance(getComputedStyle(document.body).backgroundColor);
    let lowest = [21, 'none', 0];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        if (!walker.currentNode.data.trim()) continue;
        const style = getComputedStyle(walker.currentNode.parentElement);
        const inSvg = walker.currentNode.parentElement.closest('svg');
        const text = luminance(inSvg ? style.fill : style.color);
        const contrast = (Math.max(text, back) + 0.05) / (Math.min(text, back) + 0.05);
        lowest[2]++;
        if (contrast < lowest[0]) lowest = [contrast, walker.currentNode.data, lowest[2]];
    }
    return lowest;
})()";

/// The width of the content, and the elements that leave the screen. Those that only screen readers see do not count.
const OVERFLOW: &str = r"(() => {
    const width = document.documentElement.clientWidth;
    const hidden = element => element.closest('thead') && getComputedStyle(element.closest('thead')).position == 'absolute';
    const out = [...document.body.querySelectorAll('*')].filter(element => !hidden(element))
        .filter(element => element.getBoundingClientRect().right > width + 0.5 || element.scrollWidth > element.clientWidth + 1
            && getComputedStyle(element).display == 'block' && !element.closest('svg'));
    return [document.documentElement.scrollWidth, out.map(element => element.outerHTML.slice(0, 200))];
})()";

/// The fixture host with problems of each kind, a hostile name and many containers.
fn snapshot() -> Snapshot {
    let since = Duration::from_secs(432);
    let mut snapshot = host::host();
    // As in a running agent, no two rows have the same key.
    (1..).zip(&mut snapshot.containers).for_each(|(key, row)| row.key = key);
    let problems = [
        Problem::StuckInDriver { since: Some(since) },
        Problem::Stuck { reason: StuckReason::Lock, since },
        Problem::Unhealthy,
        Problem::OomKilled { kills: Some(6), ago: since },
        Problem::CrashLooping { restarts: 5, code: Some(1) },
        Problem::GpuMemoryRefused { failures: 2, ago: since },
        Problem::NearMemoryLimit { ratio: 0.95 },
        Problem::Throttled { ratio: 0.5 },
        Problem::StarvedOfCpu { ratio: 0.6 },
        Problem::MemoryLeak { memory: Memory::Host, bytes_per_hour: 6.0e8, full_in: Some(since) },
    ];
    let like = host::docker();
    for (number, problem) in (0..).zip(problems.iter().map(Some).chain(std::iter::repeat_n(None, 41))) {
        let mut identity = host::numbered(number);
        if number % 10 == 0 {
            let name = HOSTILE.replace("融合", &format!("融合{number}"));
            identity = Identity { container: name.clone(), name, image: HOSTILE.into(), ..identity };
        }
        let mut row =
            ContainerRow { identity: Arc::new(identity), key: 1_000 + number as u64, ..like.clone() };
        row.rates = Rates { cpu_cores: Some(0.28), waiting: Some(0.4) };
        row.problems = problem.copied().into_iter().collect();
        snapshot.containers.push(row);
    }
    snapshot.agent.hostname = "gpu-node-7".into();
    snapshot.agent.containers_running = snapshot.containers.len();
    snapshot
}

/// Serves the page until the runtime is dropped.
fn serve(snapshot: Snapshot) -> (Runtime, SocketAddr) {
    let runtime = Runtime::new().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, snapshots) = watch::channel(Some(Arc::new(snapshot)));
    let (options_sender, options) = watch::channel(Options::from(&Config::default()));
    runtime.spawn(async move {
        // The snapshots end with their sender.
        let _senders = (sender, options_sender);
        server::serve(listener, snapshots, options, Web::none(), std::future::pending()).await
    });
    (runtime, address)
}

fn screen(width: u32) -> Screen {
    Screen { width, dark: false, language: "en" }
}

#[test]
fn the_page_is_usable_on_each_screen_in_each_scheme_and_language() {
    const TEST: &str = "the_page_is_usable_on_each_screen_in_each_scheme_and_language";
    if let Err(reason) = browser::find() {
        return skip(TEST, &reason);
    }
    let (_runtime, address) = serve(snapshot());
    let mut browser = Browser::start().unwrap();
    for path in ["/?pause", "/?pause&show=all", "/c/facefusion-1?pause", "/c/none"] {
        for (width, dark, language) in
            [(390, false, "zh-CN"), (390, true, "en"), (1280, true, "zh-CN"), (1280, false, "en")]
        {
            browser.open(address, path, Screen { width, dark, language }).unwrap();
            let shown = format!("{path} at {width} px, dark: {dark}, {language}");
            let overflow = browser.evaluate(OVERFLOW).unwrap();
            assert_eq!(overflow[0], width, "{shown}: {}", overflow[1]);
            assert_eq!(overflow[1].as_array().unwrap().len(), 0, "{shown}: {}", overflow[1]);
            let contrast = browser.evaluate(LOWEST_CONTRAST).unwrap();
            assert!(contrast[0].as_f64().unwrap() >= CONTRAST_MIN, "{shown}: {contrast}");
            let language_shown = browser.evaluate("document.documentElement.lang").unwrap();
            assert_eq!(language_shown, language, "{shown}");
            let loaded = browser.evaluate("performance.getEntriesByType('resource').length").unwrap();
            assert_eq!(loaded, 0, "{shown}");
            let complaints = browser.complaints().unwrap();
            // The browser reports the status of a missing page as an error.
            assert!(
                complaints.iter().all(|it| path == "/c/none" && it.contains("404")),
                "{shown}: {complaints:?}"
            );
        }
    }
    the_checks_can_fail(&mut browser, address);
    a_screen_reader_finds_its_way(&mut browser, address);
    every_link_leads_to_its_container(&mut browser, address);
}

/// Text with too little contrast, an element that is too wide and one that the policy forbids are found.
fn the_checks_can_fail(browser: &mut Browser, address: SocketAddr) {
    browser.open(address, "/?pause", screen(390)).unwrap();
    let spoil = "document.querySelector('main').insertAdjacentHTML('beforeend', \
                 '<p style=\"width: 500px; color: #999999\">pale</p><img src=\"http://127.0.0.1:1/x.png\">')";
    browser.evaluate(spoil).unwrap();
    let overflow = browser.evaluate(OVERFLOW).unwrap();
    assert!(overflow[1].to_string().contains("pale"), "{overflow}");
    let contrast = browser.evaluate(LOWEST_CONTRAST).unwrap();
    assert!(contrast[0].as_f64().unwrap() < CONTRAST_MIN && contrast[1] == "pale", "{contrast}");
    let complaints = browser.complaints().unwrap();
    assert!(complaints.iter().any(|it| it.contains("Content Security Policy")), "{complaints:?}");
}

fn a_screen_reader_finds_its_way(browser: &mut Browser, address: SocketAddr) {
    for width in [390, 1280] {
        for (path, expected) in [
            (
                "/?pause",
                &[
                    ("banner", ""),
                    ("main", ""),
                    ("contentinfo", ""),
                    ("navigation", "Other pages"),
                    ("region", "Containers that need attention"),
                    ("region", "GPU"),
                    ("region", "Containers"),
                    ("table", "Containers that need attention"),
                    ("columnheader", "CPU wait"),
                    ("rowheader", "facefusion-1"),
                ][..],
            ),
            (
                "/c/facefusion-1?pause",
                &[
                    ("banner", ""),
                    ("main", ""),
                    ("navigation", "Up"),
                    ("region", "Numbers"),
                    ("region", "Run-queue latency"),
                    ("columnheader", "PromQL"),
                ][..],
            ),
        ] {
            browser.open(address, path, screen(width)).unwrap();
            let found = browser.accessible().unwrap();
            for (role, name) in expected {
                let is_there =
                    found.iter().any(|(other, named)| other == role && (name.is_empty() || named == name));
                assert!(is_there, "{path} at {width} px: no {role} {name:?}");
            }
            if path.starts_with("/c/") {
                let picture = found.iter().find(|(role, _)| role == "image" || role == "img");
                assert!(
                    picture.is_some_and(|(_, name)| name.contains("waits for a CPU, half took")),
                    "{picture:?}"
                );
            }
        }
    }
}

/// The browser resolves the links, hostile names included.
fn every_link_leads_to_its_container(browser: &mut Browser, address: SocketAddr) {
    browser.open(address, "/?pause&show=all", screen(1280)).unwrap();
    let links = "[...document.querySelectorAll('tbody th a')].map(link => [link.pathname, link.textContent])";
    let links = browser.evaluate(links).unwrap();
    let links = links.as_array().unwrap();
    assert!(links.len() >= 50, "{}", links.len());
    let odd = links.iter().filter(|link| !link[1].as_str().unwrap().starts_with("facefusion"));
    let paths: Vec<_> = odd.chain(&links[..3]).collect();
    assert!(paths.iter().any(|link| link[1].as_str().unwrap().contains("<script>")), "{paths:?}");
    for link in paths.iter().take(6) {
        let (path, name) = (link[0].as_str().unwrap(), &link[1]);
        assert!(!name.as_str().unwrap().trim().is_empty(), "{path}");
        browser.open(address, &format!("{path}?pause"), screen(1280)).unwrap();
        assert_eq!(browser.evaluate("document.querySelector('h1').textContent").unwrap(), *name, "{path}");
    }
}
