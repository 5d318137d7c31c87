//! Hostile clients, and clients with high call rates.

use std::{collections::BTreeSet, time::Duration};

use glassbox_tests::nvidia::{
    abi::{RELEASES, status},
    driver::Options,
};

use crate::{application, assert_accounts_agree, calls, driver, release};

#[test]
fn a_hostile_client_does_not_stop_the_driver_in_any_release() {
    let test = "a_hostile_client_does_not_stop_the_driver_in_any_release";
    for version in RELEASES {
        let Some(driver) = release(test, version) else { return };
        let truth = application(&driver, "hostile --count 10000").truth();
        // Two more requests create the client.
        assert_eq!(truth["sent"], 10_002);
        let errnos = |errno: i32| -> u64 {
            calls(&truth).iter().filter_map(|call| call["errnos"][errno.to_string()].as_u64()).sum()
        };
        // Invalid pointers, unknown requests and closed files must have occurred.
        let errnos = [libc::EFAULT, libc::EINVAL, libc::EBADF].map(errnos);
        assert!(errnos[0] > 1000 && errnos[1] > 1000 && errnos[2] > 0, "{errnos:?}");
        // Some requests must have passed the first checks: only a driver that follows their pointers returns these statuses.
        let given: BTreeSet<i64> = driver.answered().iter().filter_map(|answered| answered.answer).collect();
        for status in [status::OK, status::INVALID_ADDRESS, status::INVALID_CLIENT, status::NO_MEMORY] {
            assert!(given.contains(&i64::from(status)), "no {status:#x} among {given:?}");
        }
        assert!(driver.idle_within(Duration::from_secs(5)), "{} files are open", driver.open_files());
        assert_eq!((driver.used_bytes(0), driver.used_bytes(1), driver.clients()), (0, 0, 0));
        assert_eq!(application(&driver, "context").truth()["sent"], 711, "{version}");
    }
}

#[test]
fn every_request_of_a_storm_is_answered() {
    let Some(driver) = driver("every_request_of_a_storm_is_answered", Options::default()) else { return };
    let truth = application(&driver, "storm --threads 8 --rate 50000 --seconds 3").truth();
    let took_s = truth["phases"][0]["took_ns"].as_f64().unwrap() / 1e9;
    let sent = truth["sent"].as_u64().unwrap();
    println!("{sent} requests in {took_s:.2} s: {:.0} per second, 50000 requested", sent as f64 / took_s);
    assert!(calls(&truth).iter().all(|call| call["errnos"].as_object().unwrap().is_empty()), "{truth}");
    assert!(calls(&truth).iter().any(|call| call["wrapped"] == true), "{truth}");
    assert_accounts_agree(&driver, &truth);
}

#[test]
fn a_storm_keeps_to_its_rate() {
    let Some(driver) = driver("a_storm_keeps_to_its_rate", Options::default()) else { return };
    let truth = application(&driver, "storm --threads 2 --rate 1000 --seconds 2").truth();
    let sent = truth["sent"].as_u64().unwrap();
    // A thread finishes its current round of 14 requests, and two requests create its client.
    assert!(sent <= 2000 + 2 * (14 + 2), "{sent} requests, 2000 requested");
}
