//! The cost of tracing a call, by method and compared with empty programs on the same hooks. It is not a test: it only
//! prints. A guest is emulated, so only the ratios between the methods are meaningful.
//!
//! `cargo xtask vm --kernel 6.1 -- --ignored --nocapture cost`

use std::{
    io::{Read as _, Write as _},
    time::Instant,
};

use glassbox::config::NvidiaDriverHook;
use glassbox_tests::{
    cgroup::{Cgroup, v2_root},
    measure::empty::{attach_empty_function_programs, attach_empty_ioctl_programs},
};

use super::{
    call::control,
    caller::{Nodes, fork, make, wait},
    probe::{DriverProbe, reload},
    stand_in,
};

const ROUNDS: usize = 9;
const WARMING: u32 = 500;
const CALLS: u32 = 4000;

/// The programs that are attached.
#[derive(Clone, Copy, Debug)]
enum State {
    Nothing,
    EmptyFunctions,
    Functions,
    EmptySyscalls,
    Syscalls,
}

const STATES: [State; 5] =
    [State::Nothing, State::EmptyFunctions, State::Functions, State::EmptySyscalls, State::Syscalls];

/// The time of one call of the driver and of one call of another file, in ns.
fn measure(state: State, nodes: &Nodes) -> [f64; 2] {
    let plain = || Cgroup::container(&v2_root().unwrap()).unwrap().0;
    let traced = |method| {
        let mut probe = DriverProbe::on(method);
        let (cgroup, _container) = probe.container();
        (Some(probe), cgroup)
    };
    let (mut empty, (_probe, cgroup)) = (
        None,
        match state {
            State::Functions => traced(NvidiaDriverHook::Functions),
            State::Syscalls => traced(NvidiaDriverHook::Syscalls),
            _ => (None, plain()),
        },
    );
    match state {
        State::EmptyFunctions => {
            let functions = ["nvidia_unlocked_ioctl", "uvm_unlocked_ioctl_entry"];
            empty = Some(attach_empty_function_programs(&functions).unwrap());
        }
        State::EmptySyscalls => empty = Some(attach_empty_ioctl_programs().unwrap()),
        _ => {}
    }
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    let pid = fork(Some(&cgroup), || {
        let descriptors = nodes.open();
        // SAFETY: a C string that outlives the call.
        let other = unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) };
        let mut call = control(0x101);
        for descriptors in [descriptors, [other; 3]] {
            let mut begun = Instant::now();
            for number in 0..WARMING + CALLS {
                if number == WARMING {
                    begun = Instant::now();
                }
                make(descriptors, call.device, call.request, call.bytes.as_mut_ptr());
            }
            let ns = begun.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS);
            let _ = writer.write_all(&ns.to_ne_bytes());
        }
    });
    wait(pid);
    drop(empty);
    [(); 2].map(|()| {
        let mut bytes = [0; 8];
        reader.read_exact(&mut bytes).unwrap();
        f64::from_ne_bytes(bytes)
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
#[ignore = "measures, and checks nothing"]
fn cost_of_tracing_by_method() {
    let Some(_alone) = stand_in("cost_of_tracing_by_method") else { return };
    reload("");
    let nodes = Nodes::new();
    let rounds: Vec<_> = (0..ROUNDS).map(|_| STATES.map(|state| measure(state, &nodes))).collect();
    for (index, state) in STATES.into_iter().enumerate() {
        let added =
            |call: usize| median(rounds.iter().map(|round| round[index][call] - round[0][call]).collect());
        let took = |call: usize| median(rounds.iter().map(|round| round[index][call]).collect());
        println!(
            "{state:?}: a call to the driver {:.0} ns, {:.0} added; one elsewhere {:.0} ns, {:.0} added",
            took(0),
            added(0),
            took(1),
            added(1)
        );
    }
}
