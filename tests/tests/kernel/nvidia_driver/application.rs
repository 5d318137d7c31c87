//! Compares the fake CUDA application's account with the counters, on the stand-in. `tests/nvidia_driver.rs` runs the same
//! checks with the host's method.

use glassbox_tests::nvidia::{
    abi::RELEASES,
    stand_in::{APPLICATION, StandIn},
    truth::Setup,
};

use super::{probe::method_of, stand_in};

fn setup() -> Setup {
    Setup {
        program: APPLICATION.into(),
        driver: |release, memory_mib| Ok(Box::new(StandIn::load(release, memory_mib)?)),
        method: method_of,
        on_functions: true,
    }
}

/// Runs all checks in the layouts of one release. Each release has a test, because an emulated machine takes half a minute
/// for it.
fn counters_match_the_account_of(test: &str, release: &str) {
    let Some(_alone) = stand_in(test) else { return };
    let mut workload = setup().start(release.parse().unwrap(), 512);
    workload.counters_match_the_account();
    workload.every_call_of_a_storm_is_counted_or_reported_as_lost(0);
    workload.a_hostile_caller_does_not_corrupt_counters();
}

#[test]
fn counters_match_the_account_on_535() {
    counters_match_the_account_of("counters_match_the_account_on_535", RELEASES[0]);
}

#[test]
fn counters_match_the_account_on_550() {
    counters_match_the_account_of("counters_match_the_account_on_550", RELEASES[1]);
}

#[test]
fn counters_match_the_account_on_580() {
    counters_match_the_account_of("counters_match_the_account_on_580", RELEASES[2]);
}

#[test]
fn counters_match_the_account_on_595() {
    counters_match_the_account_of("counters_match_the_account_on_595", RELEASES[3]);
}

#[test]
fn only_the_application_that_exhausts_the_gpu_has_failures() {
    let Some(_alone) = stand_in("only_the_application_that_exhausts_the_gpu_has_failures") else {
        return;
    };
    setup().only_the_container_that_exhausts_the_memory_shows_the_failure();
}
