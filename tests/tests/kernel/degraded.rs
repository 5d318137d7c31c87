//! Missing parts of the host are reported, and everything else works.

use std::path::Path;

use glassbox::{
    check::{Report, RowState},
    config::{self, Config, NvidiaDriverHook, SchedulerHook},
    kernel::{Kernel, Options},
};
use glassbox_ebpf::offsets::{ABSENT, Offsets};
use glassbox_tests::{
    cgroup::{Cgroup, ROOT, v2_root},
    inapplicable,
};

use super::{
    probe::ALONE,
    starts::{config, engine, latest},
};

fn refusal(config: &Config) -> String {
    match Kernel::start(&Options { config, hierarchy_id: 0, change_offsets: |_| () }) {
        Ok(_) => panic!("it started"),
        Err(error) => format!("{error:#}"),
    }
}

#[test]
fn without_btf_the_scheduler_is_off_and_cgroup_files_are_read() {
    let _alone = ALONE.lock();
    let config = Config {
        kernel: config::Kernel { btf: "/nonexistent/vmlinux".into(), ..config::Kernel::default() },
        ..config()
    };
    let refusal = refusal(&config);
    assert!(
        refusal.contains("/nonexistent/vmlinux") && refusal.contains("CONFIG_DEBUG_INFO_BTF"),
        "{refusal}"
    );
    let (mut engine, snapshots) = engine(config);
    let (_cgroup, id) = Cgroup::container(&v2_root().unwrap()).unwrap();
    // On a hybrid host a container has a cgroup in each hierarchy.
    let v1 = Path::new(ROOT).join("cpuacct");
    let _beside = v1.exists().then(|| Cgroup::new(&v1, &format!("docker/{id}")).unwrap());
    engine.tick();
    let snapshot = latest(&snapshots);
    let up =
        |name| snapshot.agent.collectors.iter().find(|status| status.name == name).map(|status| status.up);
    assert_eq!((up("scheduler"), up("cgroup")), (Some(false), Some(true)));
    let row = snapshot.containers.iter().find(|row| row.identity.id == id).expect("found by the walk");
    assert!(row.scheduler.is_none() && row.cgroup.cpu.usage_ns.is_some());
}

#[test]
fn a_damaged_btf_is_an_error_and_not_a_panic() {
    let _alone = ALONE.lock();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), b"\x9f\xeb\x01\x00garbage").unwrap();
    let refusal = refusal(&Config {
        kernel: config::Kernel { btf: file.path().into(), ..config::Kernel::default() },
        ..config()
    });
    assert!(refusal.contains("BTF is truncated"), "{refusal}");
}

#[test]
fn without_cap_perfmon_the_error_says_what_to_do() {
    let _alone = ALONE.lock();
    // Capabilities belong to threads, so only this one loses them.
    let refusal = std::thread::spawn(|| {
        drop_capabilities(&[38, 21]);
        let config = config();
        match Kernel::start(&Options { config: &config, hierarchy_id: 0, change_offsets: |_| () }) {
            // Creating maps may be allowed. Then loading the programs is refused.
            Ok(kernel) => {
                // Exported as glassbox_probe_attached.
                assert!(kernel.programs().iter().any(|program| program.collector == "scheduler"));
                assert!(kernel.programs().iter().all(|program| !program.attached));
                kernel.method("scheduler").map(|method| method.name).unwrap_err().to_string()
            }
            Err(error) => format!("{error:#}"),
        }
    })
    .join()
    .unwrap();
    assert!(refusal.contains("CAP_PERFMON"), "{refusal}");
}

/// The finding of `glassbox check` about a subject, unless it is "ok".
fn finding(report: &Report, subject: &str) -> Option<String> {
    let row = report.rows().iter().find(|row| row.subject == subject).expect("a row of check");
    (row.state != RowState::Ok).then(|| row.finding.clone())
}

#[test]
fn without_cap_sys_ptrace_the_affected_collectors_are_down_and_reported() {
    let _alone = ALONE.lock();
    std::thread::spawn(|| {
        drop_capabilities(&[19]);
        // The collector of threads works only beside that of requests.
        let config = || Config { collectors: config::Collectors::default(), ..config() };
        let report = Report::of(&config(), None);
        let (mut engine, snapshots) = engine(config());
        let (_cgroup, _) = Cgroup::container(&v2_root().unwrap()).unwrap();
        // The collector reads containers without a network namespace of their own less often.
        for _ in 0..20 {
            engine.tick();
        }
        let snapshot = latest(&snapshots);
        for name in ["network", "host_network", "disk", "threads", "inference"] {
            let status = snapshot.agent.collectors.iter().find(|status| status.name == name);
            assert_eq!(status.map(|status| status.up), Some(false), "{name}");
            let finding = finding(&report, &format!("collector {name}"));
            // The row that it refers to names the capability and contains the remedy.
            assert!(
                finding.as_ref().is_some_and(|text| {
                    text.contains("see privileges") || text.contains("same reason as collector network")
                }),
                "{name}: {finding:?}"
            );
        }
        let privileges = finding(&report, "privileges");
        assert!(privileges.is_some_and(|text| text.contains("CAP_SYS_PTRACE")));
    })
    .join()
    .unwrap();
}

#[test]
fn missing_capabilities_of_programs_on_cgroups_are_reported_in_one_line() {
    let _alone = ALONE.lock();
    for (bits, name) in [(&[38, 21][..], "CAP_PERFMON"), (&[12, 21][..], "CAP_NET_ADMIN")] {
        std::thread::spawn(move || {
            drop_capabilities(bits);
            let report = Report::of(&config(), None);
            for collector in ["host_network", "sockets"] {
                let finding = finding(&report, &format!("collector {collector}")).expect("it is off");
                let is_short = finding.contains("see privileges") || finding.contains("same reason as");
                assert!(is_short && finding.len() < 600, "{name}: {collector}: {finding}");
            }
            let privileges = finding(&report, "privileges").expect("something is missing");
            assert!(privileges.contains(name), "{privileges}");
        })
        .join()
        .unwrap();
    }
}

/// Removes capabilities from the effective set of the calling thread.
pub(super) fn drop_capabilities(bits: &[u32]) {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    const VERSION_3: u32 = 0x2008_0522;
    let mut header = Header { version: VERSION_3, pid: 0 };
    // Two words each of effective, permitted and inheritable capabilities.
    let mut data = [[0u32; 3]; 2];
    // SAFETY: the structures are those of capget(2) and capset(2), version 3, and live.
    unsafe {
        assert_eq!(libc::syscall(libc::SYS_capget, &raw mut header, &raw mut data), 0);
        for bit in bits {
            data[(bit / 32) as usize][0] &= !(1 << (bit % 32));
        }
        assert_eq!(libc::syscall(libc::SYS_capset, &raw mut header, &raw const data), 0);
    }
}

#[test]
fn a_forced_hook_that_cannot_be_attached_is_reported() {
    let _alone = ALONE.lock();
    // A file in place of the driver. Its functions cannot be hooked, because there is no module.
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut config = Config {
        nvidia_driver: config::NvidiaDriver {
            hook: NvidiaDriverHook::Functions,
            ..config::NvidiaDriver::default()
        },
        ..config()
    };
    config.nvidia_driver.extra_ctl_paths = vec![file.path().into()];
    if Path::new("/sys/module/nvidia").exists() {
        return inapplicable("a_forced_hook_that_cannot_be_attached_is_reported", "a driver is loaded");
    }
    let report = Report::of(&config, None);
    let rows = report.rows().iter().filter(|row| row.subject == "collector nvidia_driver");
    let [row] = rows.collect::<Vec<_>>()[..] else { panic!("{report}") };
    assert!(row.state == RowState::Degraded && row.finding.contains("see probe nvidia_driver"), "{row:?}");
    let probe = finding(&report, "probe nvidia_driver").expect("it is not attached");
    assert!(probe.contains("nvidia_driver.hook = \"functions\""), "{report}");
    let (mut engine, snapshots) = engine(config);
    engine.tick();
    let snapshot = latest(&snapshots);
    let mut collectors = snapshot.agent.collectors.iter();
    assert!(!collectors.find(|status| status.name == "nvidia_driver").unwrap().up);

    let config = Config {
        kernel: config::Kernel { scheduler_hook: SchedulerHook::Switch, ..config::Kernel::default() },
        ..self::config()
    };
    let change_offsets: fn(&mut Offsets) = |offsets| offsets.task_last_queued = ABSENT;
    let kernel = Kernel::start(&Options { config: &config, hierarchy_id: 0, change_offsets }).unwrap();
    let refusal = format!("{:#}", kernel.method("scheduler").unwrap_err());
    assert!(refusal.contains("task_last_queued") && refusal.contains("kernel.scheduler_hook"), "{refusal}");
}

#[test]
fn a_disabled_collector_is_not_started() {
    let _alone = ALONE.lock();
    let (mut engine, snapshots) =
        engine(Config { collectors: config::Collectors::without(&["scheduler"]), ..config() });
    engine.tick();
    let snapshot = latest(&snapshots);
    assert!(snapshot.agent.collectors.iter().all(|status| status.name != "scheduler"));
}
