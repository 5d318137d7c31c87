//! Modules that are loaded late, unloaded and loaded again while the agent runs.

use glassbox_tests::real_driver::{account::Detail, container::Container, driver};

use super::watch::{Watch, guest};

#[test]
fn a_process_that_loads_uvm_and_uses_it_immediately_is_counted() {
    let Some(_alone) = guest("a_process_that_loads_uvm_and_uses_it_immediately_is_counted") else {
        return;
    };
    driver::load(false);
    let watch = Watch::start();
    let [before, loader, after] = [(); 3].map(|()| Container::new());
    // Without nvidia-uvm its device does not exist. Everything else is traced.
    before.run(&["waits"]);
    watch.expect_agreement(&before, Detail::Groups);
    loader.run(&["load-uvm"]);
    let account = watch.expect_agreement(&loader, Detail::Groups);
    assert!(account.calls.keys().any(|key| key.starts_with("uvm ")), "{account:?}");
    after.run(&["orderly"]);
    watch.expect_agreement(&after, Detail::Groups);
    watch.expect_agreement(&before, Detail::Groups);
}

#[test]
fn reloaded_modules_are_traced_from_the_first_call() {
    let Some(_alone) = guest("reloaded_modules_are_traced_from_the_first_call") else {
        return;
    };
    driver::load(true);
    let watch = Watch::start();
    for round in 0..2 {
        println!("round {round}");
        let container = Container::new();
        container.run(&["orderly"]);
        watch.expect_agreement(&container, Detail::Groups);
        driver::load(true);
    }
    // Immediately, like a service that waited for the driver.
    let container = Container::new();
    container.run(&["orderly"]);
    watch.expect_agreement(&container, Detail::Groups);
    watch.expect_functions();
}

#[test]
fn a_driver_loaded_after_the_agent_is_traced() {
    let Some(_alone) = guest("a_driver_loaded_after_the_agent_is_traced") else { return };
    driver::load(true);
    driver::unload();
    let watch = Watch::start_without_driver();
    driver::load(true);
    watch.expect_functions();
    let container = Container::new();
    container.run(&["orderly"]);
    watch.expect_agreement(&container, Detail::Groups);
}
