//! Compares the counts of listed programs with what the test has started. The programs are links to `process-parts`.

use std::{
    fs::{self, File},
    os::{
        fd::AsRawFd as _,
        unix::{
            fs::symlink,
            process::{CommandExt as _, ExitStatusExt as _},
        },
    },
    path::Path,
    process::{Child, Command, ExitStatus},
    time::{Duration, Instant, SystemTime},
};

use glassbox::{
    collectors::{Collector, Context, programs::SPEC},
    config::{self, Config, ProgramStats},
    containers::{cgroup::Layout, tracker::Container},
    kernel::{Kernel, Options},
    snapshot::{
        ContainerRow,
        programs::{ProgramCounters, ProgramUsage},
    },
};
use glassbox_ebpf::{Lost, container_programs::RUNS_PER_CONTAINER};
use glassbox_tests::cgroup::{Cgroup, ROOT, v2_root};
use tempfile::TempDir;

use super::{
    probe::ALONE,
    starts::{engine, row},
};

/// Starts programs by the links in a directory.
struct Actor {
    links: TempDir,
}

impl Actor {
    fn new() -> Self {
        let built = Path::new(env!("CARGO_BIN_EXE_process-parts"));
        let parts = if built.exists() { built } else { Path::new("/bin/process-parts") };
        let links = tempfile::tempdir().unwrap();
        for name in ["ffmpeg", "curl", "other", "ffmpeg-longer"] {
            symlink(parts, links.path().join(name)).unwrap();
        }
        fs::create_dir(links.path().join("bin")).unwrap();
        symlink(parts, links.path().join("bin/ffmpeg")).unwrap();
        Self { links }
    }

    fn path(&self, program: &str) -> String {
        self.links.path().join(program).to_str().unwrap().to_owned()
    }

    /// Starts a program in a cgroup. Arguments are separated by spaces; `@` stands for the directory of the links, and `+`
    /// for a space.
    fn start(&self, cgroup: &Cgroup, program: &str, arguments: &str) -> Child {
        let mut command = Command::new(self.path(program));
        let directory = self.path("");
        command.args(arguments.split(' ').map(|word| word.replace('@', &directory).replace('+', " ")));
        let processes = File::options().write(true).open(cgroup.path().join("cgroup.procs")).unwrap();
        let enter = move || {
            // SAFETY: one byte of a constant; 0 is the calling process.
            let written = unsafe { libc::write(processes.as_raw_fd(), c"0".as_ptr().cast(), 1) };
            if written == 1 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
        };
        // SAFETY: only async-signal-safe calls.
        unsafe { command.pre_exec(enter) };
        command.spawn().unwrap()
    }

    /// Starts a program in a cgroup and waits for its end.
    fn run(&self, cgroup: &Cgroup, program: &str, arguments: &str) -> ExitStatus {
        let status = self.start(cgroup, program, arguments).wait().unwrap();
        assert_ne!(status.code(), Some(99), "{program} {arguments}");
        status
    }
}

/// The collector with one tracked container.
struct Tracked {
    actor: Actor,
    kernel: Kernel,
    collector: Box<dyn Collector>,
    container: Container,
    row: ContainerRow,
    cgroup: Cgroup,
}

fn config() -> Config {
    Config {
        kernel: config::Kernel { program_stats: ProgramStats::Always, ..config::Kernel::default() },
        programs: config::Programs { names: ["curl", "ffmpeg"].map(str::to_owned).to_vec() },
        ..super::starts::config()
    }
}

impl Tracked {
    fn start() -> Self {
        let config = config();
        let mut kernel = Kernel::start(&Options { config: &config, hierarchy_id: 0, change_offsets: |_| () })
            .unwrap_or_else(|error| panic!("{error:#}"));
        // Turns on the kernel's statistics of its programs.
        kernel.tick();
        let (cgroup, container) = Cgroup::tracked(&v2_root().expect("a v2 hierarchy"), &kernel);
        let collector = (SPEC.start)(&mut Context {
            config: &config,
            layout: &Layout::detect(Path::new(ROOT)).unwrap(),
            kernel: Some(&mut kernel),
            kernel_error: None,
            layers: Default::default(),
        })
        .unwrap_or_else(|error| panic!("{error:#}"));
        let row = ContainerRow::new(container.identity.clone(), SystemTime::now());
        Self { actor: Actor::new(), kernel, collector, container, row, cgroup }
    }

    fn run(&self, program: &str, arguments: &str) -> ExitStatus {
        self.actor.run(&self.cgroup, program, arguments)
    }

    fn read(&mut self) -> &[ProgramUsage] {
        self.collector.collect(&self.container, &mut self.row).unwrap();
        &self.row.programs
    }

    /// What the collector reports about a program: started, running and exits by result; all 0 if nothing.
    fn of(&mut self, program: &str) -> (u64, u64, [u64; 4]) {
        counts(self.read(), program)
    }

    fn lost(&self) -> u64 {
        self.kernel.lost_of(Lost::ProgramRuns)
    }
}

fn counts(programs: &[ProgramUsage], program: &str) -> (u64, u64, [u64; 4]) {
    let found = programs.iter().find(|usage| &*usage.name == program);
    found.map_or_else(Default::default, |usage| {
        let ProgramCounters { started, ended_ns: _, exits } = usage.counters;
        (started, usage.running, exits)
    })
}

#[test]
fn every_short_process_is_counted_with_its_result_and_its_container() {
    let _alone = ALONE.lock();
    let mut tracked = Tracked::start();
    let (neighbour, container) = Cgroup::tracked(&v2_root().unwrap(), &tracked.kernel);
    assert!(tracked.read().is_empty());
    for _ in 0..30 {
        assert!(tracked.run("ffmpeg", "exit 0").success());
        assert_eq!(tracked.run("ffmpeg", "exit 3").code(), Some(3));
        assert_eq!(tracked.run("ffmpeg", "kill 9").signal(), Some(9));
        assert_eq!(tracked.run("ffmpeg", "kill 6").signal(), Some(6));
        assert!(tracked.run("other", "exit 0").success());
        assert!(tracked.run("ffmpeg-longer", "exit 0").success());
        assert_eq!(tracked.actor.run(&neighbour, "curl", "exit 22").code(), Some(22));
        // Outside of containers.
        assert!(Command::new(tracked.actor.path("ffmpeg")).args(["exit", "0"]).status().unwrap().success());
    }
    assert_eq!(tracked.of("ffmpeg"), (120, 0, [30, 30, 60, 0]));
    assert_eq!(tracked.read().len(), 1, "{:?}", tracked.row.programs);
    tracked.collector.collect(&container, &mut tracked.row).unwrap();
    assert_eq!(counts(&tracked.row.programs, "curl"), (30, 0, [0, 30, 0, 0]));
    assert_eq!((tracked.row.programs.len(), tracked.lost()), (1, 0));
    tracked.kernel.tick();
    for program in tracked.kernel.programs().iter().filter(|program| program.collector == SPEC.name) {
        println!("{} took {:?} in {:?} runs", program.name, program.run_time, program.runs);
        assert!(program.runs.is_some_and(|runs| runs >= 240), "{program:?}");
    }
}

#[test]
fn durations_are_the_times_from_exec_to_the_end() {
    let _alone = ALONE.lock();
    let mut tracked = Tracked::start();
    // The shortest first, because they are waited for in this order.
    let processes = [1000, 2000, 2000].map(|ms| {
        let begun = Instant::now();
        (begun, tracked.actor.start(&tracked.cgroup, "curl", &format!("sleep {ms}")))
    });
    assert_eq!(tracked.of("curl"), (3, 3, [0; 4]));
    assert_eq!(tracked.row.programs[0].counters.ended_ns, 0);
    let mut longest = Duration::ZERO;
    for (begun, mut process) in processes {
        assert!(process.wait().unwrap().success());
        longest += begun.elapsed();
    }
    assert_eq!(tracked.of("curl"), (3, 0, [3, 0, 0, 0]));
    let sum = Duration::from_nanos(tracked.row.programs[0].counters.ended_ns);
    println!("{sum:?}, at least 5 s and at most {longest:?}");
    assert!(sum >= Duration::from_secs(5) && sum <= longest, "{sum:?}, at most {longest:?}");
}

#[test]
fn a_process_ends_with_its_last_thread_and_the_status_that_wait_returns() {
    let _alone = ALONE.lock();
    let mut tracked = Tracked::start();
    let mut expected = [0; 4];
    // The first thread exits first; the other one ends the process, or is the last to call exit(2), or is killed.
    for (number, arguments) in [
        "leave 0 sleep 200 exit 3",
        "leave 5 sleep 200 exit 0",
        "leave 5 sleep 200 end 0",
        "leave 0 sleep 200 end 7",
        "leave 0 sleep 200 kill 9",
        "thread exit 4",
    ]
    .into_iter()
    .enumerate()
    {
        let mut process = tracked.actor.start(&tracked.cgroup, "ffmpeg", arguments);
        if number < 5 {
            let stat = format!("/proc/{}/stat", process.id());
            let is_zombie = || fs::read_to_string(&stat).unwrap().contains(") Z ");
            let deadline = Instant::now() + Duration::from_secs(10);
            while !is_zombie() {
                assert!(Instant::now() < deadline, "the first thread does not exit");
                std::thread::sleep(Duration::from_millis(2));
            }
            let (_, running, _) = tracked.of("ffmpeg");
            // The process may have ended meanwhile, but is not reaped.
            let threads = fs::read_dir(format!("/proc/{}/task", process.id())).unwrap().count();
            assert!(running == 1 || threads == 1, "{arguments}: {running} running, {threads} threads");
        }
        let status = process.wait().unwrap();
        let result = match (status.code(), status.signal()) {
            (Some(0), _) => 0,
            (Some(_), _) => 1,
            _ => 2,
        };
        expected[result] += 1;
        let started = number as u64 + 1;
        assert_eq!(tracked.of("ffmpeg"), (started, 0, expected), "{arguments}: {status}");
    }
    assert!(expected[..3].iter().all(|count| *count > 0), "{expected:?}");
}

#[test]
fn another_exec_ends_a_program_and_one_of_the_same_name_continues_it() {
    let _alone = ALONE.lock();
    let mut tracked = Tracked::start();
    // To a program that is not listed, to another listed one, and back.
    assert_eq!(tracked.run("ffmpeg", "exec @/other exit 3").code(), Some(3));
    assert_eq!(tracked.of("ffmpeg"), (1, 0, [0, 0, 0, 1]));
    assert_eq!(tracked.run("other", "exec @/ffmpeg exec @/curl exit 2").code(), Some(2));
    assert_eq!(tracked.of("ffmpeg"), (2, 0, [0, 0, 0, 2]));
    assert_eq!(tracked.of("curl"), (1, 0, [0, 1, 0, 0]));
    // A file of the same name.
    assert!(tracked.run("ffmpeg", "exec @/bin/ffmpeg exec @/ffmpeg exit 0").success());
    assert_eq!(tracked.of("ffmpeg"), (3, 0, [1, 0, 0, 2]));
    // exec by another thread than the first, which ends the others.
    assert!(tracked.run("ffmpeg", "thread exec @/curl exit 0").success());
    assert_eq!(tracked.of("ffmpeg"), (4, 0, [1, 0, 0, 3]));
    assert!(tracked.run("other", "thread exec @/ffmpeg exit 0").success());
    assert!(tracked.run("ffmpeg", "leave 0 sleep 50 exec @/ffmpeg exit 0").success());
    assert_eq!(tracked.of("ffmpeg"), (6, 0, [3, 0, 0, 3]));
    assert_eq!(tracked.of("curl"), (2, 0, [1, 1, 0, 0]));
    // An exec that fails is none.
    let missing = tracked.actor.start(&tracked.cgroup, "ffmpeg", "exec @/missing").wait().unwrap();
    assert_eq!((missing.code(), tracked.of("ffmpeg")), (Some(99), (7, 0, [3, 1, 0, 3])));
}

#[test]
fn a_fork_without_exec_and_a_changed_name_do_not_count_but_children_do() {
    let _alone = ALONE.lock();
    let mut tracked = Tracked::start();
    assert!(tracked.run("ffmpeg", "fork fork exit 0").success());
    assert!(tracked.run("other", "name ffmpeg fork exit 0").success());
    assert!(tracked.run("ffmpeg", "name curl sleep 5 exit 0").success());
    assert_eq!((tracked.of("ffmpeg"), tracked.of("curl")), ((2, 0, [2, 0, 0, 0]), (0, 0, [0; 4])));
    // vfork, also in another thread.
    assert!(tracked.run("other", "spawn @/ffmpeg exit+1 spawn @/curl exit+0").success());
    assert!(tracked.run("ffmpeg", "thread spawn @/curl kill+9 exit 0").success());
    assert_eq!((tracked.of("ffmpeg"), tracked.of("curl")), ((4, 0, [3, 1, 0, 0]), (2, 0, [1, 0, 1, 0])));
}

#[test]
fn more_processes_than_a_container_may_have_are_counted_as_lost() {
    let _alone = ALONE.lock();
    let mut tracked = Tracked::start();
    let limit = RUNS_PER_CONTAINER.unsigned_abs();
    let processes: Vec<Child> =
        (0..limit + 3).map(|_| tracked.actor.start(&tracked.cgroup, "ffmpeg", "sleep 100000")).collect();
    assert_eq!((tracked.of("ffmpeg"), tracked.lost()), ((limit, limit, [0; 4]), 3));
    let (neighbour, container) = Cgroup::tracked(&v2_root().unwrap(), &tracked.kernel);
    assert!(tracked.actor.run(&neighbour, "ffmpeg", "exit 0").success());
    tracked.collector.collect(&container, &mut tracked.row).unwrap();
    assert_eq!(counts(&tracked.row.programs, "ffmpeg"), (1, 0, [1, 0, 0, 0]));
    for mut process in processes {
        process.kill().unwrap();
        process.wait().unwrap();
    }
    assert!(tracked.run("ffmpeg", "exit 0").success());
    assert_eq!((tracked.of("ffmpeg"), tracked.lost()), ((limit + 1, 0, [1, 0, limit, 0]), 3));
}

#[test]
fn a_process_that_outlives_its_container_does_not_count_for_the_next_in_the_slot() {
    let _alone = ALONE.lock();
    let mut tracked = Tracked::start();
    let other = Cgroup::new(&v2_root().unwrap(), "glassbox-elsewhere").unwrap();
    let mut moved = tracked.actor.start(&tracked.cgroup, "ffmpeg", "sleep 100000");
    other.enter(moved.id().cast_signed()).unwrap();
    assert_eq!(tracked.of("ffmpeg"), (1, 1, [0; 4]));
    tracked.collector.clear_slot(tracked.container.slot.unwrap());
    assert!(tracked.read().is_empty());
    assert!(tracked.run("ffmpeg", "exit 0").success());
    moved.kill().unwrap();
    moved.wait().unwrap();
    assert_eq!(tracked.of("ffmpeg"), (1, 0, [1, 0, 0, 0]));
}

#[test]
fn a_process_that_is_moved_counts_for_the_container_in_which_it_started() {
    let _alone = ALONE.lock();
    let mut tracked = Tracked::start();
    let other = Cgroup::new(&v2_root().unwrap(), "glassbox-elsewhere").unwrap();
    let mut leaves = tracked.actor.start(&tracked.cgroup, "ffmpeg", "sleep 100000");
    let mut enters = tracked.actor.start(&other, "curl", "sleep 100000");
    other.enter(leaves.id().cast_signed()).unwrap();
    tracked.cgroup.enter(enters.id().cast_signed()).unwrap();
    for process in [&mut leaves, &mut enters] {
        process.kill().unwrap();
        process.wait().unwrap();
    }
    assert_eq!((tracked.of("ffmpeg"), tracked.of("curl")), ((1, 0, [0, 0, 1, 0]), (0, 0, [0; 4])));
}

#[test]
fn processes_older_than_the_agent_do_not_count_and_those_of_an_ended_container_do() {
    let _alone = ALONE.lock();
    let actor = Actor::new();
    let (cgroup, id) = Cgroup::container(&v2_root().unwrap()).unwrap();
    let mut older = actor.start(&cgroup, "ffmpeg", "sleep 100000");
    let (mut engine, snapshots) = engine(config());
    engine.tick();
    assert!(row(&snapshots, &id).unwrap().programs.is_empty());
    older.kill().unwrap();
    older.wait().unwrap();
    assert!(actor.run(&cgroup, "curl", "exit 0").success());
    let mut last = actor.start(&cgroup, "ffmpeg", "sleep 100000");
    engine.tick();
    let programs = row(&snapshots, &id).unwrap().programs;
    assert_eq!(counts(&programs, "ffmpeg"), (1, 1, [0; 4]));
    assert_eq!(counts(&programs, "curl"), (1, 0, [1, 0, 0, 0]));
    // Kills its process.
    let reaper = std::thread::spawn(move || last.wait().unwrap());
    drop(cgroup);
    assert_eq!(reaper.join().unwrap().signal(), Some(9));
    super::starts::tick_until("see its end", &mut engine, || {
        row(&snapshots, &id).is_some_and(|row| row.ended_at.is_some())
    });
    let programs = row(&snapshots, &id).unwrap().programs;
    assert_eq!(counts(&programs, "ffmpeg"), (1, 0, [0, 0, 1, 0]));
}
