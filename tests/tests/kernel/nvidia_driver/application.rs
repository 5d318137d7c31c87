//! The CUDA application itself against the stand-in: what it knows that it sent is what the programs counted. The same
//! tests run on the host's rung: `tests/nvidia_driver.rs`.

use glassbox_tests::nvidia::{
    stand_in::{APPLICATION, StandIn},
    truth::Stage,
};

use super::{probe::RUNG, stand_in};

fn stage() -> Stage {
    Stage {
        program: APPLICATION.into(),
        driver: |release, memory_mib| Ok(Box::new(StandIn::load(release, memory_mib)?)),
        rung: RUNG,
        on_functions: true,
    }
}

#[test]
fn the_agent_counts_what_the_application_sends_in_the_layouts_of_every_release() {
    let Some(_alone) =
        stand_in("the_agent_counts_what_the_application_sends_in_the_layouts_of_every_release")
    else {
        return;
    };
    stage().on_every_release(|scene| {
        scene.what_is_counted_is_what_was_sent();
        scene.a_storm_is_counted_to_the_last_or_what_was_lost_is(0);
        scene.a_hostile_caller_leaves_honest_counters();
    });
}

#[test]
fn of_two_applications_on_one_gpu_only_the_one_that_exhausts_it_shows_the_failure() {
    let Some(_alone) =
        stand_in("of_two_applications_on_one_gpu_only_the_one_that_exhausts_it_shows_the_failure")
    else {
        return;
    };
    stage().of_two_containers_only_the_one_that_exhausts_shows_the_failure();
}
