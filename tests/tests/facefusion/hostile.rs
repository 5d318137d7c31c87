//! Hostile job files. The agent continues, needs little memory, counts what it ignores, and publishes no names.

use std::{
    fs,
    os::unix::fs::symlink,
    time::{Duration, Instant},
};

use glassbox_tests::{
    docker::{Docker, Network},
    facefusion::{MARKER, Player, Setup, scenario::scenario},
};

use super::{
    agent,
    docker::assert_no_names,
    or_skip,
    unharmed::{Victim, job, make_fifo},
    watch::Scrape,
};

/// Size of a huge file.
const HUGE_BYTES: usize = 64 << 20;
/// Files in one directory: as many as can be made in this time, but a million at most.
const FILES: std::ops::RangeInclusive<usize> = 100_000..=1_000_000;
const MAKING: Duration = Duration::from_secs(10);
const WATCHED: Duration = Duration::from_secs(5);

#[test]
fn malformed_job_files_are_ignored_and_counted() {
    let Some(victim) = or_skip(Victim::start()) else { return };
    let whole = job("queued");
    let half = whole.get(..whole.len() / 2).unwrap().to_owned();
    let files = [
        ("empty", String::new()),
        ("half", half),
        ("no-object", "[1, 2, 3]".to_owned()),
        ("no-steps", r#"{"version": "1"}"#.to_owned()),
        ("steps-of-another-type", r#"{"version": "1", "steps": {"status": 7, "args": null}}"#.to_owned()),
        ("number", "1e999999".to_owned()),
        (
            "escapes",
            format!(r#"{{"version": "1", "steps": [{{"status": "\ud800{MARKER}", "args": {{}}}}]}}"#),
        ),
        ("zeros", "\0".repeat(4096)),
        ("nested", "[".repeat(200_000)),
        ("nested-objects", r#"{"steps":"#.repeat(200_000)),
        ("long-number", "1".repeat(1 << 20)),
    ];
    for (name, content) in &files {
        victim.write("queued", name, content);
    }
    fs::write(victim.path("queued", "not-utf8"), b"{\"version\": \"\xff\xfe\"}").unwrap();
    fs::create_dir(victim.path("queued", "directory")).unwrap();
    victim.assert_unharmed(WATCHED);
    assert!(
        victim.ignored() >= files.len() as f64 / 2.0,
        "{} events were counted as ignored",
        victim.ignored()
    );
    // The agent still reads a good file beside them.
    let before = victim.scrape().count("jobs_total", &[("outcome", "completed")]);
    victim.write("completed", "good", &job("completed"));
    victim.write("queued", "good", &job("queued"));
    victim.assert_unharmed(Duration::from_secs(1));
    let counted = victim.scrape().count("jobs_total", &[("outcome", "completed")]);
    assert!(counted <= before + 1.0, "{counted} completed jobs");
}

#[test]
fn unknown_processors_and_statuses_are_no_labels() {
    let Some(victim) = or_skip(Victim::start()) else { return };
    let running = job("started").replace("face_swapper", &format!("{MARKER}\\\"}} 1\\n"));
    victim.write("queued", "running", &running);
    victim.write("queued", "unknown", &job(MARKER));
    let many = format!("[{}]", format!("\"{MARKER}\",").repeat(100_000).trim_end_matches(','));
    victim.write("queued", "many", &job("started").replace("[\"face_swapper\"]", &many));
    victim.assert_unharmed(WATCHED);
    let processors = victim.scrape().by_label("processors_total", "processor");
    assert!(processors.keys().all(|name| !name.contains(MARKER)), "{processors:?}");
}

#[test]
fn huge_job_files_are_not_read() {
    let Some(victim) = or_skip(Victim::start()) else { return };
    // A valid file, one of brackets, and one of nothing but a hole.
    let padding = format!("\"version\": \"{}\"", "x".repeat(HUGE_BYTES));
    victim.write("queued", "valid", &job("started").replace("\"version\": \"1\"", &padding));
    victim.write("queued", "brackets", &"[".repeat(HUGE_BYTES));
    let sparse = fs::File::create(victim.path("completed", "sparse")).unwrap();
    sparse.set_len(1 << 40).unwrap();
    victim.assert_unharmed(WATCHED);
    assert!(victim.ignored() > 0.0, "nothing was counted as ignored");
}

#[test]
fn a_hundred_thousand_job_files_and_more_are_bounded() {
    // Links in memory are made fastest.
    let memory = or_skip(tempfile::tempdir_in("/dev/shm").map_err(|error| format!("/dev/shm: {error}")));
    let Some(memory) = memory else { return };
    let Some(victim) = or_skip(Victim::start_with(Some(&memory.path().join("jobs")))) else { return };
    let begun = Instant::now();
    victim.write("queued", "0", &job("queued"));
    let first = victim.path("queued", "0");
    let mut files = 1;
    while files < *FILES.start() || (begun.elapsed() < MAKING && files < *FILES.end()) {
        fs::hard_link(&first, victim.path("queued", &files.to_string())).unwrap();
        files += 1;
    }
    println!("{files} files in {:?}", begun.elapsed());
    victim.assert_unharmed(WATCHED);
    let queued = victim.scrape().sum("unfinished_jobs", &[("status", "queued")]);
    // The agent has either counted all of them, or reports that it has not.
    assert!(queued == Some(files as f64) || victim.ignored() > 0.0, "{queued:?} queued, and nothing lost");
    // Later jobs are counted again.
    fs::rename(victim.directory("queued"), victim.directory("aside")).unwrap();
    fs::create_dir(victim.directory("queued")).unwrap();
    victim.becomes("queued", 0.0);
    victim.write("queued", "last", &job("queued"));
    victim.becomes("queued", 1.0);
}

#[test]
fn links_and_fifos_in_place_of_job_files_are_not_opened() {
    let Some(victim) = or_skip(Victim::start()) else { return };
    symlink("/etc/shadow", victim.path("queued", "shadow")).unwrap();
    symlink("/dev/zero", victim.path("queued", "zero")).unwrap();
    symlink(victim.path("queued", "loop"), victim.path("queued", "loop")).unwrap();
    // Opening one of these for reading would wait forever.
    make_fifo(&victim.path("queued", "fifo"));
    let fifo = victim.directory("").join("fifo");
    make_fifo(&fifo);
    symlink(&fifo, victim.path("queued", "to-fifo")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(victim.path("queued", "socket")).unwrap();
    victim.assert_unharmed(WATCHED);
    assert!(victim.ignored() > 0.0, "nothing was counted as ignored");
    victim.write("drafted", "second", &job("drafted"));
    victim.becomes("drafted", 2.0);
}

#[test]
fn a_directory_that_is_replaced_again_and_again_is_found_again() {
    let Some(victim) = or_skip(Victim::start()) else { return };
    let (queued, aside) = (victim.directory("queued"), victim.directory("aside"));
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("decoy.json"), job("started")).unwrap();
    for round in 0..200 {
        fs::rename(&queued, &aside).unwrap();
        match round % 3 {
            0 => symlink(outside.path(), &queued).unwrap(),
            1 => fs::write(&queued, "a file").unwrap(),
            _ => make_fifo(&queued),
        }
        std::thread::sleep(Duration::from_millis(7));
        fs::remove_file(&queued).unwrap();
        fs::rename(&aside, &queued).unwrap();
    }
    victim.assert_unharmed(WATCHED);
    // All of it, and with it all watched directories.
    let (all, old) = (victim.directory(""), victim.directory("").with_extension("old"));
    fs::rename(&all, &old).unwrap();
    for status in ["drafted", "queued", "completed", "failed"] {
        fs::create_dir_all(victim.directory(status)).unwrap();
    }
    victim.write("queued", "new", &job("queued"));
    victim.becomes("queued", 1.0);
    victim.becomes("drafted", 0.0);
    victim.assert_unharmed(Duration::from_secs(1));
}

#[test]
fn links_do_not_lead_out_of_the_container() {
    let started = Docker::own(Network::None).and_then(|docker| {
        let socket = docker.socket().display();
        Ok((agent(&format!("[docker]\nsocket = \"{socket}\"\n"))?, docker))
    });
    let Some((agent, docker)) = or_skip(started) else { return };
    // A job store that exists only on the host.
    let decoy = tempfile::tempdir().unwrap();
    for status in ["drafted", "queued", "completed", "failed"] {
        fs::create_dir(decoy.path().join(status)).unwrap();
        fs::write(decoy.path().join(status).join("decoy.json"), job("started")).unwrap();
    }
    let setup = Setup { scenario: scenario("3.8.1", &[]), ..Setup::default() };
    let Some(player) = or_skip(Player::in_docker(&docker, "links", &setup)) else { return };
    let jobs = player.path(".jobs");
    fs::write(jobs.join("drafted").join(format!("{MARKER}.json")), job("drafted")).unwrap();
    let drafted = |name: &str| Scrape::of(&agent, name).sum("unfinished_jobs", &[("status", "drafted")]);
    glassbox_tests::docker::eventually("a draft", WATCHED * 4, || {
        (drafted("links") == Some(1.0)).then_some(())
    });
    for target in [decoy.path().to_owned(), format!("../../../..{}", decoy.path().display()).into()] {
        // One directory, and then all of them.
        let (queued, aside) = (jobs.join("queued"), jobs.join("aside"));
        fs::rename(&queued, &aside).unwrap();
        symlink(target.join("queued"), &queued).unwrap();
        std::thread::sleep(WATCHED / 3);
        assert_no_decoy(&agent);
        fs::remove_file(&queued).unwrap();
        fs::rename(&aside, &queued).unwrap();
        let old = player.path("old");
        fs::rename(&jobs, &old).unwrap();
        symlink(&target, &jobs).unwrap();
        std::thread::sleep(WATCHED / 3);
        assert_no_decoy(&agent);
        fs::remove_file(&jobs).unwrap();
        fs::rename(&old, &jobs).unwrap();
    }
    assert_no_names(&agent);
}

fn assert_no_decoy(agent: &glassbox_tests::agent::Agent) {
    let scrape = Scrape::of(agent, "links");
    for status in ["queued", "running"] {
        assert_eq!(
            scrape.count("unfinished_jobs", &[("status", status)]),
            0.0,
            "a job of the host is {status}"
        );
    }
    assert_eq!(scrape.count("jobs_total", &[]), 0.0, "a job of the host was counted");
}
