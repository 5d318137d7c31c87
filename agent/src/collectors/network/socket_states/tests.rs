//! Tests, on simulated process directories, which sockets are read when.

use std::fs;

use super::*;
use crate::config;

const HEADINGS: &str = "  sl  local_address rem_address   st tx_queue rx_queue\n";
const LISTENING: &str = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000\n";

fn tables(tcp: bool, udp: bool) -> SocketTables {
    SocketTables::new(&Config {
        network: config::Network { tcp_states: tcp, udp_states: udp },
        ..Config::default()
    })
}

/// A process directory with this many listening sockets, and without IPv6.
fn process(sockets: usize) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("net")).unwrap();
    fs::write(directory.path().join("net/udp"), HEADINGS).unwrap();
    listen(&directory, sockets);
    directory
}

fn listen(directory: &tempfile::TempDir, sockets: usize) {
    let text = HEADINGS.to_owned() + &LISTENING.repeat(sockets);
    fs::write(directory.path().join("net/tcp"), text).unwrap();
}

fn listening(tables: &mut SocketTables, key: u64) -> Option<u64> {
    tables.counted(key).unwrap().and_then(|sockets| Some(sockets.tcp?.0[9]))
}

/// Reads until the round is complete.
fn round(tables: &mut SocketTables) {
    tables.round_begun = None;
    tables.read_on();
    while tables.step() {}
}

#[test]
fn each_container_has_its_own_counts_and_disabled_tables_are_not_read() {
    let mut tables = tables(true, false);
    let (one, two) = (process(1), process(2));
    tables.hold(1, tables.open(one.path()));
    tables.hold(2, tables.open(two.path()));
    assert_eq!(listening(&mut tables, 1), None, "nothing is read before the first round");
    round(&mut tables);
    assert_eq!((listening(&mut tables, 1), listening(&mut tables, 2)), (Some(1), Some(2)));
    let counted = tables.counted(1).unwrap().unwrap();
    assert_eq!((counted.tcp6, counted.udp), (None, None));
}

#[test]
fn a_round_does_not_start_before_its_period_has_passed() {
    let mut tables = tables(true, true);
    let one = process(1);
    tables.hold(1, tables.open(one.path()));
    round(&mut tables);
    listen(&one, 3);
    tables.read_on();
    assert_eq!(listening(&mut tables, 1), Some(1));
    round(&mut tables);
    assert_eq!(listening(&mut tables, 1), Some(3));
    assert!(tables.counted(1).unwrap().unwrap().udp.is_some());
}

#[test]
fn a_container_with_too_many_sockets_fails_once_and_the_others_are_read() {
    let mut tables = tables(true, false);
    let (one, two) = (process(70_000), process(2));
    tables.hold(1, tables.open(one.path()));
    tables.hold(2, tables.open(two.path()));
    round(&mut tables);
    let error = format!("{:#}", tables.counted(1).unwrap_err());
    assert_eq!(error, "count sockets in /proc/PID/net/tcp: more than 65536 sockets");
    assert_eq!((listening(&mut tables, 1), listening(&mut tables, 2)), (None, Some(2)));
    listen(&one, 1);
    round(&mut tables);
    assert_eq!(listening(&mut tables, 1), Some(1));
}

#[test]
fn a_container_that_ends_during_a_read_leaves_nothing() {
    let mut tables = tables(true, false);
    let one = process(1);
    tables.hold(1, tables.open(one.path()));
    tables.waiting.push_back(1);
    assert!(tables.step() && tables.step());
    tables.forget(1);
    while tables.step() {}
    assert!(tables.under_way.is_none() && tables.counted(1).unwrap().is_none());
}

#[test]
fn without_the_configuration_keys_nothing_is_opened() {
    let mut tables = tables(false, false);
    let one = process(1);
    tables.hold(1, tables.open(one.path()));
    assert!(tables.namespaces.is_empty() && tables.buffer.is_empty());
}
