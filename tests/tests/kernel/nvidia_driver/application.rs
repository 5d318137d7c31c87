//! The CUDA application itself against the stand-in: what it knows that it sent is what the programs counted. The same
//! tests run on the host's method: `tests/nvidia_driver.rs`.

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

/// Everything that the application can do, in the layouts of one release: a test each, because an emulated machine takes
/// half a minute for it.
fn the_accounts_agree(test: &str, release: &str) {
    let Some(_alone) = stand_in(test) else { return };
    let mut workload = setup().start(release.parse().unwrap(), 512);
    workload.what_is_counted_is_what_was_sent();
    workload.a_storm_is_counted_to_the_last_or_what_was_lost_is(0);
    workload.a_hostile_caller_leaves_honest_counters();
}

#[test]
fn what_the_application_sends_to_535_is_what_the_agent_counts() {
    the_accounts_agree("what_the_application_sends_to_535_is_what_the_agent_counts", RELEASES[0]);
}

#[test]
fn what_the_application_sends_to_550_is_what_the_agent_counts() {
    the_accounts_agree("what_the_application_sends_to_550_is_what_the_agent_counts", RELEASES[1]);
}

#[test]
fn what_the_application_sends_to_580_is_what_the_agent_counts() {
    the_accounts_agree("what_the_application_sends_to_580_is_what_the_agent_counts", RELEASES[2]);
}

#[test]
fn what_the_application_sends_to_595_is_what_the_agent_counts() {
    the_accounts_agree("what_the_application_sends_to_595_is_what_the_agent_counts", RELEASES[3]);
}

#[test]
fn of_two_applications_on_one_gpu_only_the_one_that_exhausts_it_shows_the_failure() {
    let Some(_alone) =
        stand_in("of_two_applications_on_one_gpu_only_the_one_that_exhausts_it_shows_the_failure")
    else {
        return;
    };
    setup().of_two_containers_only_the_one_that_exhausts_shows_the_failure();
}
