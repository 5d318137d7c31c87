//! The driver's modules: their functions, and unloading and loading while the agent runs.

use std::{
    fs,
    io::{Read as _, Write as _},
    time::{Duration, Instant},
};

use glassbox::{
    config::{self, Config, NvidiaDriverHook},
    containers::tracker::Container,
    tick::Waker,
};
use glassbox_ebpf::{Lost, programs};
use glassbox_tests::{cgroup::Cgroup, nvidia_module};

use super::{
    super::starts::{config, engine},
    call::{Device, control, request, uvm},
    caller::{Nodes, fork, low_structure, make, make_compat, wait},
    probe::{DriverProbe, METHOD, counts, method_of, reload},
    stand_in,
};

/// Unloads both modules, if they are loaded.
fn unload() {
    nvidia_module::unload_uvm().unwrap();
    if fs::exists("/sys/module/nvidia").unwrap() {
        nvidia_module::unload().unwrap();
    }
}

/// Starts a process in a container that makes two calls on uvm and one on ctl as soon as `load` returns.
fn load_and_call(cgroup: &Cgroup, load: impl FnOnce()) {
    let pid = fork(Some(cgroup), || {
        load();
        let descriptors = Nodes::new().open();
        for mut call in [uvm(0x3000_0001, 0), uvm(25, 0), control(0x101)] {
            assert_eq!(make(descriptors, call.device, call.request, call.bytes.as_mut_ptr()), 0);
        }
    });
    wait(pid);
}

fn total(probe: &mut DriverProbe, container: &Container) -> u64 {
    probe.read(container).map_or(0, |usage| counts(&usage).values().sum())
}

fn attached(probe: &DriverProbe, program: &str) -> bool {
    let programs = probe.kernel.programs();
    programs.iter().find(|status| status.name == program).is_some_and(|status| status.attached)
}

/// Number of calls by device and command.
type Counted = Vec<((&'static str, String), u64)>;

/// Calls that one attach method sees and the other may miss, by device and command.
fn unusual_calls(method: NvidiaDriverHook, release: &str) -> (DriverProbe, Counted) {
    reload(&format!("release={release}"));
    let mut probe = DriverProbe::on(method);
    let (cgroup, container) = probe.container();
    let nodes = Nodes::new();
    let pid = fork(Some(&cgroup), || {
        let [ctl, gpu, uvm_file] = nodes.open();
        let tools = nodes.open_tools();
        let structure = low_structure();
        let call = control(0x101);
        for descriptor in [ctl, gpu] {
            assert_eq!(make_compat(descriptor, call.request, structure), 0);
        }
        assert_eq!(make_compat(uvm_file, 25, structure), 0);
        // One call on the device for tools, and two with words of other drivers.
        make([tools; 3], Device::Uvm, 1, structure);
        make([ctl; 3], Device::Ctl, 0x4700, structure);
        make([uvm_file; 3], Device::Uvm, 2047, structure);
        let known = request(Device::Ctl, 0xC8, 72);
        make([ctl; 3], Device::Ctl, known.request, structure);
    });
    wait(pid);
    let usage = probe.read(&container).expect("a row");
    (probe, counts(&usage).into_iter().collect())
}

#[test]
fn function_hooks_see_every_call_in_every_release() {
    let Some(_alone) = stand_in("function_hooks_see_every_call_in_every_release") else { return };
    for release in ["535.104.05", "550.54.14"] {
        let (probe, counted) = unusual_calls(NvidiaDriverHook::Functions, release);
        let method = probe.kernel.method("nvidia_driver").unwrap();
        assert_eq!((method.name, method.misses), (method_of(release.parse().unwrap()), ""));
        for program in [
            programs::NVIDIA_DRIVER_CALL,
            programs::NVIDIA_DRIVER_UVM_CALL,
            programs::NVIDIA_DRIVER_TOOLS_CALL,
            programs::NVIDIA_DRIVER_RETURN,
            programs::NVIDIA_DRIVER_POLL,
            programs::NVIDIA_DRIVER_REPORT,
        ] {
            assert!(attached(&probe, program), "{program}: {:?}", probe.kernel.outcomes());
        }
        let expected = [
            (("ctl", "card_info"), 1),
            (("ctl", "other"), 1),
            (("ctl", "rm_control_system"), 1),
            (("gpu", "rm_control_system"), 1),
            (("other", "other"), 1),
            (("uvm", "uvm_register_gpu_vaspace"), 1),
            (("uvm", "uvm_unknown"), 1),
        ];
        assert_eq!(counted, expected.map(|((device, command), count)| ((device, command.to_owned()), count)));
        assert_eq!(
            probe.kernel.missing_programs("nvidia_driver").count(),
            0,
            "{:?}",
            probe.kernel.outcomes()
        );
    }
}

#[test]
fn tracepoints_miss_only_the_documented_calls() {
    let Some(_alone) = stand_in("tracepoints_miss_only_the_documented_calls") else {
        return;
    };
    for release in ["535.104.05", "550.54.14"] {
        let (probe, counted) = unusual_calls(NvidiaDriverHook::Syscalls, release);
        let expected = [(("ctl", "card_info"), 1), (("other", "other"), 1)];
        assert_eq!(counted, expected.map(|((device, command), count)| ((device, command.to_owned()), count)));
        let misses = probe.kernel.method("nvidia_driver").unwrap().misses;
        assert!(misses.contains("32-bit callers") && misses.contains("requests"), "{misses}");
    }
}

#[test]
fn the_first_calls_on_nvidia_uvm_are_counted_if_it_is_loaded_later() {
    let Some(_alone) = stand_in("the_first_calls_on_nvidia_uvm_are_counted_if_it_is_loaded_later") else {
        return;
    };
    unload();
    nvidia_module::load_driver("").unwrap();
    let mut probe = DriverProbe::start();
    assert_eq!(probe.kernel.method("nvidia_driver").map(|method| method.name).unwrap(), METHOD);
    for program in
        [programs::NVIDIA_DRIVER_CALL, programs::NVIDIA_DRIVER_POLL, programs::NVIDIA_DRIVER_REPORT]
    {
        assert!(attached(&probe, program), "{program}: {:?}", probe.kernel.outcomes());
    }
    assert!(!attached(&probe, programs::NVIDIA_DRIVER_UVM_CALL));
    let (cgroup, container) = probe.container();
    // The agent does not tick meanwhile.
    load_and_call(&cgroup, || nvidia_module::load_uvm().unwrap());
    assert_eq!(total(&mut probe, &container), 3);
    probe.look();
    assert!(attached(&probe, programs::NVIDIA_DRIVER_UVM_CALL), "{:?}", probe.kernel.outcomes());
    nvidia_module::unload_uvm().unwrap();
    probe.look();
    assert!(
        !attached(&probe, programs::NVIDIA_DRIVER_UVM_CALL) && attached(&probe, programs::NVIDIA_DRIVER_CALL)
    );
    load_and_call(&cgroup, || nvidia_module::load_uvm().unwrap());
    assert_eq!(total(&mut probe, &container), 6);
    probe.look();
    assert_eq!(probe.lost(Lost::NvidiaAttach) + probe.lost(Lost::NvidiaCalls), 0);
}

#[test]
fn a_call_in_progress_when_nvidia_uvm_is_loaded_is_counted() {
    let Some(_alone) = stand_in("a_call_in_progress_when_nvidia_uvm_is_loaded_is_counted") else {
        return;
    };
    unload();
    nvidia_module::load("latency_us=1000000").unwrap();
    let nodes = Nodes::new();
    let ((mut ready, mut is_ready), (mut until, mut go)) =
        (std::io::pipe().unwrap(), std::io::pipe().unwrap());
    // Forked before the agent starts, because a process that inherits its file descriptors would keep the programs attached.
    let pid = fork(None, || {
        let descriptors = nodes.open();
        // SAFETY: our own descriptor, which would keep nvidia-uvm from being unloaded.
        unsafe { libc::close(descriptors[Device::Uvm as usize]) };
        is_ready.write_all(&[0]).unwrap();
        let _ = until.read(&mut [0]);
        for mut call in vec![control(0x101); 4] {
            assert_eq!(make(descriptors, call.device, call.request, call.bytes.as_mut_ptr()), 0);
        }
    });
    ready.read_exact(&mut [0]).unwrap();
    nvidia_module::unload_uvm().unwrap();
    let mut probe = DriverProbe::start();
    let (cgroup, container) = probe.container();
    cgroup.enter(pid).unwrap();
    go.write_all(&[0]).unwrap();
    let begun = Instant::now();
    while probe.read(&container).is_none() {
        assert!(begun.elapsed() < Duration::from_secs(20), "no call has begun");
        std::thread::sleep(Duration::from_millis(10));
    }
    nvidia_module::load_uvm().unwrap();
    probe.look();
    assert!(attached(&probe, programs::NVIDIA_DRIVER_UVM_CALL), "{:?}", probe.kernel.outcomes());
    assert!(total(&mut probe, &container) < 4, "all calls have ended before");
    wait(pid);
    assert_eq!(total(&mut probe, &container), 4);
}

#[test]
fn tracepoints_stay_attached_when_nvidia_uvm_is_loaded() {
    let Some(_alone) = stand_in("tracepoints_stay_attached_when_nvidia_uvm_is_loaded") else {
        return;
    };
    unload();
    nvidia_module::load_driver("").unwrap();
    let mut probe = DriverProbe::on(NvidiaDriverHook::Syscalls);
    let (cgroup, container) = probe.container();
    nvidia_module::load_uvm().unwrap();
    probe.look();
    load_and_call(&cgroup, || ());
    assert_eq!((total(&mut probe, &container), probe.lost(Lost::NvidiaAttach)), (3, 0));
}

#[test]
fn a_loaded_driver_is_traced_without_waiting_for_a_tick() {
    let Some(_alone) = stand_in("a_loaded_driver_is_traced_without_waiting_for_a_tick") else { return };
    unload();
    let (mut engine, _snapshots) = engine(Config { tick_ms: Duration::from_secs(3600).into(), ..config() });
    let stop = Waker::new().unwrap();
    let ticking = {
        let stop = stop.clone();
        std::thread::spawn(move || engine.run(&stop, || ()).unwrap())
    };
    // After the first tick.
    std::thread::sleep(Duration::from_secs(1));
    let events = || fs::read_to_string("/sys/kernel/tracing/kprobe_events").unwrap();
    assert!(!events().contains("nvidia_unlocked_ioctl"));
    let begun = Instant::now();
    nvidia_module::load("").unwrap();
    while !events().contains("nvidia_unlocked_ioctl_return") {
        // An emulated machine needs seconds to verify the programs.
        assert!(begun.elapsed() < Duration::from_secs(60), "not attached:\n{}", events());
        std::thread::sleep(Duration::from_millis(1));
    }
    let took = begun.elapsed();
    stop.wake();
    ticking.join().unwrap();
    println!("attached {took:?} after the module was loaded");
}

#[test]
fn a_driver_in_use_before_it_is_traced_counts_as_a_loss() {
    let Some(_alone) = stand_in("a_driver_in_use_before_it_is_traced_counts_as_a_loss") else {
        return;
    };
    for method in [NvidiaDriverHook::Functions, NvidiaDriverHook::Syscalls] {
        unload();
        let mut probe = DriverProbe::on(method);
        let (cgroup, _container) = probe.container();
        let ((mut held, mut holds), (mut until, mut end)) =
            (std::io::pipe().unwrap(), std::io::pipe().unwrap());
        let pid = fork(Some(&cgroup), || {
            nvidia_module::load("").unwrap();
            let _descriptors = Nodes::new().open();
            holds.write_all(&[0]).unwrap();
            let _ = until.read(&mut [0]);
        });
        held.read_exact(&mut [0]).unwrap();
        probe.look();
        // nvidia and nvidia_uvm.
        assert_eq!(probe.lost(Lost::NvidiaAttach), 2, "{method:?}");
        end.write_all(&[0]).unwrap();
        wait(pid);
        if method == NvidiaDriverHook::Syscalls {
            // Its tracepoint keeps the module loaded.
            continue;
        }
        // No file is open now.
        reload("");
        probe.look();
        assert_eq!(probe.lost(Lost::NvidiaAttach), 2, "{method:?}");
    }
}

#[test]
fn a_module_without_the_required_functions_is_reported_until_another_is_loaded() {
    let Some(_alone) =
        stand_in("a_module_without_the_required_functions_is_reported_until_another_is_loaded")
    else {
        return;
    };
    unload();
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut config = Config {
        nvidia_driver: config::NvidiaDriver {
            hook: NvidiaDriverHook::Functions,
            ..config::NvidiaDriver::default()
        },
        ..Config::default()
    };
    config.nvidia_driver.extra_ctl_paths = vec![file.path().into()];
    let mut probe = DriverProbe::with(&config);
    let trouble = probe.trouble().expect("a device, and no function").to_owned();
    assert!(trouble.contains("nvidia_driver.hook") && trouble.contains("auto"), "{trouble}");
    assert!(probe.kernel.method("nvidia_driver").is_err());
    nvidia_module::load("").unwrap();
    probe.look();
    assert_eq!(probe.trouble(), None);
    assert!(probe.kernel.method("nvidia_driver").is_ok());
}
