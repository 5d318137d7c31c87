//! Calls, errors, statuses and waits.

use glassbox_tests::real_driver::{account::Detail, client::WAITS_MS, container::Container, driver};

use super::watch::{Watch, guest};

const THREADS: &str = "4";
const ROUNDS: &str = "100";

#[test]
fn every_call_is_counted_by_command_status_and_error() {
    let Some(_alone) = guest("every_call_is_counted_by_command_status_and_error") else {
        return;
    };
    driver::load(true);
    let watch = Watch::start();
    let container = Container::new();
    container.run(&["orderly"]);
    let account = watch.expect_agreement(&container, Detail::Groups);
    // The client must have been refused by the resource manager and by UVM, and must have created an event.
    assert!(account.calls.len() > 20 && account.statuses.len() > 10, "{account:?}");

    // Other containers run threads, 32-bit callers, waits and hostile requests. Calls of one must not be counted for
    // another.
    let [threads, ioctl32, tools, waits, hostile] = [(); 5].map(|()| Container::new());
    threads.run(&["threads", THREADS, ROUNDS]);
    let account = watch.expect_agreement(&threads, Detail::Groups);
    assert!(account.total() > 4 * 4 * 100, "{account:?}");
    ioctl32.run(&["ioctl32"]);
    let account = watch.expect_agreement(&ioctl32, Detail::Groups);
    assert_eq!(account.total(), 12, "{account:?}");
    tools.run(&["tools"]);
    let account = watch.expect_agreement(&tools, Detail::Names);
    assert_eq!(account.total(), 3, "{account:?}");
    waits.run(&["waits"]);
    let account = watch.expect_agreement(&waits, Detail::Groups);
    assert_eq!(account.polls, [("ctl".to_owned(), WAITS_MS.len() as u64)].into());
    // Last, because it leaves a thousand series.
    hostile.run(&["hostile"]);
    let account = watch.expect_agreement(&hostile, Detail::Names);
    assert!(account.errnos.len() > 10, "{account:?}");
    watch.expect_agreement(&container, Detail::Groups);
}
