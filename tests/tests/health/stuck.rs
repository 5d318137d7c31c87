//! A server that hangs is classified within 15 s, and again after it has recovered.

use std::{
    thread,
    time::{Duration, Instant},
};

use glassbox_tests::{agent::Agent, skip};

use super::{
    container::{Server, agent},
    disk::Disk,
};

const CLASSIFIED: Duration = Duration::from_secs(15);
const RECOVERED: Duration = Duration::from_secs(5);

fn wait_for(agent: &Agent, what: &str, server: &Server, wanted: (&str, &str), deadline: Instant) {
    loop {
        let state = server.state(agent);
        if state.as_ref().is_some_and(|(state, reason)| (state.as_str(), reason.as_str()) == wanted) {
            return;
        }
        assert!(Instant::now() < deadline, "{what}: {state:?}, not {wanted:?}");
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_hanging_server_is_classified_within_15_s_and_again_after_recovery() {
    let test = "a_hanging_server_is_classified_within_15_s_and_again_after_recovery";
    let Some(agent) = agent(test) else {
        return;
    };
    let frozen = Disk::new();
    if let Err(reason) = &frozen {
        skip(&format!("{test} (a disk that hangs)"), reason);
    }
    let [stopped, locked, looping, disk, writing, network, queue, idle] =
        ["stopped", "lock", "busy_loop", "disk", "disk", "network", "accept_queue", "idle"]
            .map(|_| Server::start(&agent, None));
    stopped.signal(libc::SIGSTOP);
    let begun = Instant::now();
    let pause = queue.pause();
    let write = frozen.as_ref().map(|disk| format!("/write{}", disk.file().display())).ok();
    let mut cases = vec![
        (&stopped, "/ok", "stopped"),
        (&locked, "/lock", "lock"),
        (&looping, "/loop", "busy_loop"),
        (&disk, "/disk", "disk"),
        (&network, "/upstream", "network"),
    ];
    if let (Ok(disk), Some(path)) = (&frozen, &write) {
        disk.freeze();
        cases.push((&writing, path.as_str(), "disk"));
    }
    let requests: Vec<_> = cases.iter().map(|(server, path, _)| server.request(path)).collect();
    thread::sleep(Duration::from_secs(3));
    for (server, path, _) in &cases {
        assert_eq!(server.state(&agent).unwrap().0, "working", "{path} after 3 s");
        assert_eq!(server.probe(&agent).0, 200, "{path} after 3 s");
    }
    for &(server, _, reason) in &cases {
        wait_for(&agent, reason, server, ("stuck", reason), begun + CLASSIFIED);
        let (status, text) = server.probe(&agent);
        assert!(status == 503 && text.contains(&format!("({reason})")), "{status} {text}");
        println!("{reason}: after {:?}: {text}", begun.elapsed());
    }
    wait_for(&agent, "accept_queue", &queue, ("stuck", "accept_queue"), begun + CLASSIFIED);
    assert_eq!(queue.probe(&agent).0, 503);
    assert_eq!(idle.state(&agent).unwrap(), ("idle".into(), "none".into()));
    assert_eq!(idle.probe(&agent), (200, "idle\n".into()));

    stopped.signal(libc::SIGCONT);
    locked.request("/release").join().unwrap();
    looping.request("/release").join().unwrap();
    disk.end_of_pipe();
    frozen.iter().for_each(Disk::thaw);
    network.close_upstream();
    drop(pause);
    queue.request("/ok").join().unwrap();
    let recovered = Instant::now();
    requests.into_iter().for_each(|request| request.join().unwrap());
    for &(server, _, reason) in &cases {
        wait_for(&agent, reason, server, ("idle", "none"), recovered + RECOVERED);
        assert_eq!(server.probe(&agent), (200, "idle\n".into()), "{reason}");
    }
    wait_for(&agent, "accept_queue", &queue, ("idle", "none"), recovered + RECOVERED);
    println!("all recovered after {:?}", recovered.elapsed());
}
