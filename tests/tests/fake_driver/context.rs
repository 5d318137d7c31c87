//! Compares the context profile with the trace that it replays.

use std::collections::{BTreeMap, BTreeSet};

use glassbox_tests::nvidia::abi::RELEASES;
use serde_json::Value;

use crate::{application, assert_accounts_agree, calls, release, sum};

/// Device, request and count, in a trace of cuInit, cuDeviceGet and cuCtxCreate on real hardware.
const TRACE: [(&str, u64, u64); 25] = [
    ("ctl", 0x2A, 251),
    ("ctl", 0x2B, 103),
    ("gpu", 0x2B, 13),
    ("ctl", 0x4A, 69),
    ("uvm", 73, 69),
    ("uvm", 33, 69),
    ("gpu", 0x27, 37),
    ("uvm", 27, 37),
    ("gpu", 0xC9, 15),
    ("gpu", 0xCE, 13),
    ("ctl", 0x4E, 9),
    ("uvm", 23, 8),
    ("ctl", 0xD6, 2),
    ("ctl", 0xC8, 2),
    ("uvm", 72, 2),
    ("uvm", 45, 2),
    ("ctl", 0x29, 1),
    ("uvm", 0x3000_0001, 1),
    ("uvm", 75, 1),
    ("uvm", 39, 1),
    ("uvm", 37, 1),
    ("uvm", 25, 1),
    ("uvm", 65, 1),
    ("uvm", 51, 1),
    ("gpu", 0xD7, 1),
];

#[test]
fn a_context_is_the_711_requests_of_the_trace_in_every_release() {
    for version in RELEASES {
        let test = "a_context_is_the_711_requests_of_the_trace_in_every_release";
        let Some(driver) = release(test, version) else { return };
        let mut application = application(&driver, "context hold");
        let truth = application.holding();
        assert_eq!(truth["sent"], 711, "{version}");
        assert_eq!(truth["release"], version);
        let mut expected: BTreeMap<(String, u64), u64> =
            TRACE.iter().map(|(device, request, count)| (((*device).to_owned(), *request), *count)).collect();
        expected.insert(("ctl".to_owned(), 0x5E), 1);
        assert_eq!(by_request(&truth), expected, "{version}");
        assert_accounts_agree(&driver, &truth);
        // 62 chunks of 2 MiB are in video memory, the other seven in the host's.
        assert_eq!((driver.used_bytes(0), sum(&truth, "allocated_bytes")), (62 << 21, 62 << 21));
        assert_eq!([sum(&truth, "contexts"), sum(&truth, "channels"), sum(&truth, "events")], [1, 37, 13]);
        assert_eq!(sum(&truth, "pinned_bytes"), 37 << 16);
        // As in the trace: 9 files of the control device, 18 of the GPU, 2 of UVM.
        assert_eq!(driver.open_files(), 9 + 18 + 2);
        assert_eq!(application.truth()["sent"], 711);
    }
}

#[test]
fn the_controls_of_a_context_are_64_commands_of_which_a_few_are_not_supported() {
    let test = "the_controls_of_a_context_are_64_commands_of_which_a_few_are_not_supported";
    let Some(driver) = release(test, "580.65.06") else { return };
    let truth = application(&driver, "context").truth();
    let controls: Vec<&Value> = calls(&truth).iter().filter(|call| call["request"] == 0x2A).collect();
    let commands: BTreeSet<u64> = controls.iter().map(|call| call["control"].as_u64().unwrap()).collect();
    assert_eq!(commands.len(), 64);
    let count = |command: u64| {
        let call = controls.iter().find(|call| call["control"] == command).unwrap();
        call["sent"].as_u64().unwrap()
    };
    let frequent = [0xC36F_0101, 0x0080_170D, 0xC36F_0108, 0xC56F_010B, 0xA06C_0101, 0x0000_0D01];
    assert_eq!(frequent.map(count), [45, 37, 37, 29, 9, 9]);
    let refused: u64 = controls.iter().filter_map(|call| call["statuses"]["86"].as_u64()).sum();
    assert_eq!(refused, count(0x0000_013A) + count(0x2080_182B) + count(0x2080_3001) + count(0x2080_3002));
}

fn by_request(truth: &Value) -> BTreeMap<(String, u64), u64> {
    let mut counts = BTreeMap::new();
    for call in calls(truth) {
        let key = (call["device"].as_str().unwrap().to_owned(), call["request"].as_u64().unwrap());
        *counts.entry(key).or_default() += call["sent"].as_u64().unwrap();
    }
    counts
}
