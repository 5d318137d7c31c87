//! GPU memory that is granted, refused and freed.

use std::{path::Path, time::Duration};

use glassbox_tests::nvidia::{abi::RELEASES, application::FakeCuda, driver::Options};

use crate::{application, assert_accounts_agree, calls, driver, release, sum};

const MIB: u64 = 1 << 20;

#[test]
fn memory_is_refused_exactly_when_it_is_exhausted() {
    let test = "memory_is_refused_exactly_when_it_is_exhausted";
    for version in RELEASES {
        // The second size is granted in whole pages of 64 KiB: 20 allocations fit instead of 21.
        for (bytes, granted, fit) in [(4 * MIB, 4 * MIB, 16), (3 * MIB + 1, 3 * MIB + (64 << 10), 20)] {
            let options = Options { release: version.parse().unwrap(), memory_mib: 64, ..Options::default() };
            let Some(driver) = driver(test, options) else { return };
            let mut application = application(&driver, &format!("exhaust --bytes {bytes} hold"));
            let truth = application.holding();
            assert_eq!(sum(&truth, "allocated_bytes"), fit * granted, "{version}");
            assert_eq!(driver.used_bytes(0), fit * granted, "{version}");
            assert_eq!(sum(&truth, "refused"), 1);
            let refusals: u64 = calls(&truth).iter().filter_map(|call| call["statuses"]["81"].as_u64()).sum();
            assert_eq!(refusals, 1);
            assert_accounts_agree(&driver, &truth);
        }
    }
}

#[test]
fn memory_is_granted_again_after_as_much_is_freed() {
    let test = "memory_is_granted_again_after_as_much_is_freed";
    let Some(driver) = driver(test, Options { memory_mib: 64, ..Options::default() }) else { return };
    let mut application = application(&driver, "exhaust-and-recover --bytes 8388608 hold");
    let truth = application.holding();
    assert_eq!(driver.used_bytes(0), 64 * MIB);
    assert_eq!(sum(&truth, "refused"), 1);
    assert_eq!(sum(&truth, "freed_bytes"), 8 * MIB);
    assert_eq!(sum(&truth, "allocated_bytes"), 72 * MIB);
}

#[test]
fn freed_memory_is_available_again_in_every_release() {
    let test = "freed_memory_is_available_again_in_every_release";
    for version in RELEASES {
        let Some(driver) = release(test, version) else { return };
        let both = "allocate --bytes 2097152 --count 6 --range free allocate --count 2 free --heap hold";
        let mut application = application(&driver, both);
        let truth = application.holding();
        assert_eq!(sum(&truth, "allocated_bytes"), 12 * MIB + 32 * MIB, "{version}");
        assert_eq!(sum(&truth, "freed_bytes"), 44 * MIB, "{version}");
        assert_eq!((driver.used_bytes(0), driver.clients()), (0, 1), "{version}");
        assert_accounts_agree(&driver, &truth);
    }
}

#[test]
fn the_memory_of_a_killed_application_is_freed() {
    let test = "the_memory_of_a_killed_application_is_freed";
    let Some(driver) = driver(test, Options::default()) else { return };
    let mut application = application(&driver, "context allocate --count 4 hold");
    let truth = application.holding();
    assert_eq!(driver.used_bytes(0), sum(&truth, "allocated_bytes"));
    assert_eq!(driver.clients(), 1);
    application.kill();
    assert!(driver.idle_within(Duration::from_secs(5)), "{} files are open", driver.open_files());
    assert_eq!((driver.used_bytes(0), driver.clients()), (0, 0));
}

#[test]
fn each_gpu_has_its_own_memory() {
    let test = "each_gpu_has_its_own_memory";
    let Some(driver) = driver(test, Options { memory_mib: 32, ..Options::default() }) else { return };
    let mut first = application(&driver, "exhaust hold");
    assert_eq!(sum(&first.holding(), "refused"), 1);
    let program = Path::new(env!("CARGO_BIN_EXE_fake-cuda"));
    let mut second = FakeCuda::start_on(program, &driver, 1, "allocate --count 2 hold");
    assert_eq!(sum(&second.holding(), "allocated_bytes"), 32 * MIB);
    assert_eq!([driver.used_bytes(0), driver.used_bytes(1)], [32 * MIB, 32 * MIB]);
}

#[test]
fn memory_is_pinned_and_migrated_in_every_release() {
    let test = "memory_is_pinned_and_migrated_in_every_release";
    for version in RELEASES {
        let Some(driver) = release(test, version) else { return };
        let profiles = "pin --bytes 65536 --count 3 pin --bytes 65536 --heap migrate --bytes 4096 --count 5";
        let truth = application(&driver, profiles).truth();
        assert_eq!(sum(&truth, "pinned_bytes"), 4 << 16, "{version}");
        assert_eq!(sum(&truth, "migrated_bytes"), 5 << 12, "{version}");
        let phases: Vec<&str> = truth["phases"]
            .as_array()
            .unwrap()
            .iter()
            .map(|phase| phase["profile"].as_str().unwrap())
            .collect();
        assert_eq!(phases, ["pin", "pin", "migrate"]);
        assert_accounts_agree(&driver, &truth);
    }
}
