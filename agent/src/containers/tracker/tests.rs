//! The life of rows: birth, naming, restart, succession, death, expiry.

use super::*;
use crate::{
    containers::directory::Names,
    snapshot::lifecycle::{ExitReason, State},
};

const ID: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const OTHER: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
}

fn tracker() -> (Tracker, Directory) {
    let directory = Directory::new();
    (Tracker::new(directory.clone(), Vec::new(), Duration::from_secs(300), 4), directory)
}

fn sighting(id: &str, cgroup_id: u64) -> Sighting<'_> {
    Sighting {
        id,
        runtime: Runtime::Docker,
        cgroup_path: "/docker/x",
        cgroup_id,
        slot: None,
        made_at: Some(at(0)),
    }
}

fn named(directory: &Directory, id: &str, name: &str) {
    directory.put(
        id,
        Names { runtime: Runtime::Docker, name: name.into(), image: "img".into(), ..Names::default() },
    );
}

#[test]
fn a_container_without_any_runtime_is_shown_by_its_id_at_once() {
    let (mut tracker, _) = tracker();
    tracker.add(&sighting(ID, 7), at(0));
    tracker.name();
    let rows = tracker.rows(at(0));
    assert_eq!(rows[0].identity.container, ID[..12]);
    assert!(rows[0].owns_name);
}

#[test]
fn a_container_is_held_back_for_a_second_where_a_runtime_may_name_it() {
    let (mut tracker, directory) = tracker();
    directory.register(Runtime::Docker);
    directory.set_connected(Runtime::Docker, Ok(()));
    tracker.add(&sighting(ID, 7), at(0));
    tracker.name();
    assert!(tracker.rows(at(0)).is_empty());
    assert_eq!(tracker.rows(at(1)).len(), 1);
    named(&directory, ID, "web");
    tracker.name();
    assert_eq!(tracker.rows(at(0))[0].identity.container, "web");
}

#[test]
fn a_successor_of_the_same_name_takes_the_own_series_over() {
    let (mut tracker, directory) = tracker();
    named(&directory, ID, "web");
    let old = tracker.add(&sighting(ID, 7), at(0));
    tracker.end(old, at(5));
    named(&directory, OTHER, "web");
    tracker.add(&sighting(OTHER, 8), at(6));
    tracker.name();
    let rows = tracker.rows(at(9));
    assert_eq!(rows.len(), 2);
    for row in rows {
        assert_eq!(row.identity.container, "web");
        assert_eq!(row.owns_name, row.ended_at.is_none());
    }
}

#[test]
fn one_that_ended_keeps_the_name_it_bore() {
    let (mut tracker, directory) = tracker();
    let compose =
        |name: &str| Names { compose_service: Some("web".into()), name: name.into(), ..Names::default() };
    directory.put(ID, compose("a_web_1"));
    directory.put(OTHER, compose("b_web_1"));
    let first = tracker.add(&sighting(ID, 7), at(0));
    tracker.add(&sighting(OTHER, 8), at(0));
    tracker.name();
    let shown =
        |tracker: &Tracker| tracker.rows(at(9)).iter().map(|r| r.identity.container.clone()).collect();
    let names: Vec<String> = shown(&tracker);
    assert_eq!(names, ["a_web_1", "b_web_1"], "both would be web");
    tracker.end(first, at(5));
    tracker.name();
    let names: Vec<String> = shown(&tracker);
    assert_eq!(names, ["a_web_1", "web"]);
}

#[test]
fn a_restarted_container_replaces_its_earlier_life() {
    let (mut tracker, _) = tracker();
    let first = tracker.add(&sighting(ID, 7), at(0));
    tracker.end(first, at(5));
    assert_eq!(tracker.key_of_cgroup(7), None);
    let second = tracker.add(&sighting(ID, 8), at(6));
    assert_ne!(first, second);
    tracker.name();
    assert_eq!(tracker.rows(at(9)).len(), 1);
}

#[test]
fn a_restarted_container_goes_on_counting_its_kills_and_its_restarts() {
    let (mut tracker, _) = tracker();
    for life in 0..3 {
        let key = tracker.add(&sighting(ID, 7 + life), at(10 * life));
        tracker.get_mut(key).unwrap().row.oom.this_life = Some(2);
        tracker.name();
        let rows = tracker.rows(at(10 * life));
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].oom.total(), rows[0].life.restarts), (Some(2 * life + 2), Some(life)));
        tracker.end(key, at(10 * life + 5));
        tracker.name();
    }
}

#[test]
fn how_a_run_ended_is_told_for_five_minutes_and_into_the_next_life() {
    let (mut tracker, directory) = tracker();
    named(&directory, ID, "web");
    let key = tracker.add(&sighting(ID, 7), at(0));
    directory.update_life(ID, |life| life.started(false));
    tracker.end(key, at(5));
    tracker.name();
    assert_eq!(tracker.rows(at(5))[0].life.last_exit.unwrap().code, None, "docker has not told yet");
    directory.update_life(ID, |life| life.died(Some(3), at(5)));
    tracker.name();
    let code = |tracker: &Tracker, now| tracker.rows(now)[0].life.last_exit.map(|exit| exit.code);
    assert_eq!(code(&tracker, at(5)), Some(Some(3)));
    tracker.add(&sighting(ID, 8), at(6));
    directory.update_life(ID, |life| life.started(true));
    tracker.name();
    assert_eq!(tracker.rows(at(6))[0].life.state, Some(State::Running));
    assert_eq!(code(&tracker, at(304)), Some(Some(3)));
    assert_eq!(code(&tracker, at(305)), None);
}

#[test]
fn a_kill_that_is_read_after_docker_has_told_the_end_is_why_it_ended() {
    let (mut tracker, directory) = tracker();
    named(&directory, ID, "web");
    let key = tracker.add(&sighting(ID, 7), at(0));
    directory.update_life(ID, |life| life.died(Some(137), at(5)));
    tracker.name();
    let reason = |tracker: &Tracker| tracker.rows(at(6))[0].life.last_exit.and_then(|exit| exit.reason);
    assert_eq!(reason(&tracker), Some(ExitReason::Signal("SIGKILL")));
    tracker.get_mut(key).unwrap().row.oom =
        OomKills { this_life: Some(1), earlier_lives: 0, last_at: Some(at(6)) };
    tracker.name();
    assert_eq!(reason(&tracker), Some(ExitReason::OomKilled));
}

#[test]
fn final_counters_stay_for_five_minutes_and_no_longer() {
    let (mut tracker, _) = tracker();
    let key = tracker.add(&sighting(ID, 7), at(0));
    tracker.end(key, at(10));
    tracker.expire(at(309));
    assert_eq!(tracker.rows(at(309)).len(), 1);
    tracker.expire(at(310));
    assert!(tracker.rows(at(310)).is_empty());
    assert_eq!(tracker.dropped(), 0);
}

#[test]
fn a_flood_of_short_lived_containers_is_bounded_and_counted() {
    let (mut tracker, _) = tracker();
    for index in 0..10 {
        let id = format!("{index:064x}");
        let key = tracker.add(&sighting(&id, 100 + index), at(0));
        tracker.end(key, at(1));
    }
    tracker.expire(at(2));
    assert_eq!(tracker.rows(at(2)).len(), 4);
    assert_eq!(tracker.dropped(), 6);
}

#[test]
fn a_container_that_nobody_knows_is_reported_once() {
    let (mut tracker, directory) = tracker();
    named(&directory, OTHER, "known");
    tracker.add(&sighting(OTHER, 6), at(0));
    tracker.add(&sighting(ID, 7), at(0));
    for name in ["a", "b", "c"] {
        named(&directory, "unrelated", name);
        tracker.name();
    }
    assert_eq!(directory.sightings().borrow().all, 1);
    let unnamed = directory.take_unnamed();
    assert_eq!((unnamed[0].id.as_str(), unnamed[0].cgroup_path.as_str()), (ID, "/docker/x"));
}

#[test]
fn a_container_that_kubernetes_made_in_the_place_of_another_goes_on_with_its_series() {
    let (mut tracker, directory) = tracker();
    let attempt = |id: &str, attempt: u64| {
        let text = |text: &str| Some(text.to_owned());
        let names = Names {
            name: format!("k8s_app_web-0_prod_uid_{attempt}"),
            namespace: text("prod"),
            pod: text("web-0"),
            kubernetes_container: text("app"),
            ..Names::default()
        };
        directory.put(id, names);
        directory.update_life(id, |life| {
            life.restarts = Some(attempt);
            life.change(State::Running);
        });
    };
    attempt(ID, 6);
    let first = tracker.add(&sighting(ID, 7), at(0));
    tracker.name();
    directory.update_life(ID, |life| life.died(Some(137), at(5)));
    tracker.get_mut(first).unwrap().row.oom =
        OomKills { this_life: Some(1), earlier_lives: 0, last_at: Some(at(5)) };
    tracker.end(first, at(5));
    attempt(OTHER, 7);
    tracker.add(&sighting(OTHER, 8), at(9));
    tracker.name();
    let owner = |now| tracker.rows(now).into_iter().find(|row| row.owns_name).unwrap();
    let row = owner(at(10));
    assert_eq!((row.identity.id.as_str(), row.identity.container.as_str()), (OTHER, "app"));
    assert_eq!((row.life.state, row.life.restarts), (Some(State::Running), Some(7)));
    let exit = row.life.last_exit.unwrap();
    assert_eq!((exit.code, exit.reason), (Some(137), Some(ExitReason::OomKilled)));
    assert_eq!(owner(at(305)).life.last_exit, None, "as long as any");
}

#[test]
fn a_container_of_the_same_name_that_nobody_restarted_has_no_past() {
    let (mut tracker, directory) = tracker();
    named(&directory, ID, "web");
    let old = tracker.add(&sighting(ID, 7), at(0));
    tracker.end(old, at(5));
    named(&directory, OTHER, "web");
    tracker.add(&sighting(OTHER, 8), at(6));
    tracker.name();
    let row = tracker.rows(at(9)).into_iter().find(|row| row.owns_name).unwrap();
    assert_eq!((row.identity.id.as_str(), row.life.last_exit), (OTHER, None));
}
