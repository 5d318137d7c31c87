//! Compares the fake NVIDIA driver and the fake CUDA application with what is known of the real ones. Needs root and FUSE.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a panic fails the test, also in its helpers")]

mod fake_driver {
    mod context;
    mod hostility;
    mod layouts;
    mod memory;
    mod server;
    mod sizes;
}

use std::path::Path;

use glassbox_tests::nvidia::{
    application::FakeCuda,
    driver::{FakeDriver, Options},
};
use serde_json::Value;

/// A driver, or a skip with the reason.
fn driver(test: &str, options: Options) -> Option<FakeDriver> {
    // SAFETY: no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        glassbox_tests::skip(test, "needs root");
        return None;
    }
    if !Path::new("/dev/fuse").exists() {
        glassbox_tests::inapplicable(test, "this kernel has no FUSE");
        return None;
    }
    Some(FakeDriver::start(options).unwrap_or_else(|error| panic!("{error:#}")))
}

/// A driver of a release.
fn release(test: &str, release: &str) -> Option<FakeDriver> {
    driver(test, Options { release: release.parse().unwrap(), ..Options::default() })
}

fn application(driver: &FakeDriver, profiles: &str) -> FakeCuda {
    FakeCuda::start(Path::new(env!("CARGO_BIN_EXE_fake-cuda")), driver, profiles)
}

fn sum(truth: &Value, name: &str) -> u64 {
    truth["sums"][name].as_u64().unwrap()
}

fn calls(truth: &Value) -> &[Value] {
    truth["calls"].as_array().unwrap()
}

/// Compares the application's account with the driver's: the number of each answer, by device and request.
fn assert_accounts_agree(driver: &FakeDriver, truth: &Value) {
    use std::collections::BTreeMap;
    let mut sent: BTreeMap<(String, u64, Option<i64>), u64> = BTreeMap::new();
    for call in calls(truth) {
        // The driver counts the XFER request, not the one in it.
        let wrapped = call["wrapped"].as_bool().unwrap();
        let number = if wrapped { 0xD3 } else { call["request"].as_u64().unwrap() };
        let mut add = |answer: Option<i64>, count: &Value| {
            let device = call["device"].as_str().unwrap().to_owned();
            *sent.entry((device, number, answer)).or_default() += count.as_u64().unwrap();
        };
        for (status, count) in call["statuses"].as_object().unwrap() {
            add(Some(status.parse().unwrap()), count);
        }
        for (errno, count) in call["errnos"].as_object().unwrap() {
            add(Some(-errno.parse::<i64>().unwrap()), count);
        }
        if call["plain"] != 0 {
            add(None, &call["plain"]);
        }
    }
    let mut answered = BTreeMap::new();
    for answer in driver.answered() {
        let uvm = answer.device.name() == "uvm";
        let number = if uvm { answer.word } else { answer.word & 0xff };
        let key = (answer.device.name().to_owned(), u64::from(number), answer.answer);
        *answered.entry(key).or_default() += answer.count;
    }
    assert_eq!(sent, answered);
}
