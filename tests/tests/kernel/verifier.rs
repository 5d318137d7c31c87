//! The verifier's work for each program, independent of the attach method that uses it.

use aya::{EbpfLoader, programs::Program};
use glassbox::{
    config::{Config, NvidiaDriverHook, SchedulerHook},
    kernel::{
        OBJECT, offsets,
        plans::{OptionalProbes, plans},
        program::Hook,
    },
};
use glassbox_ebpf::{Settings, container_programs::ProgramNames, programs};

/// Programs that are attached to cgroups, and are in no attach plan.
const OF_CGROUPS: [&str; 7] = [
    programs::HOST_NETWORK_INGRESS,
    programs::HOST_NETWORK_EGRESS,
    programs::SOCKETS_INGRESS,
    programs::SOCKETS_EGRESS,
    programs::SOCKETS_OPERATIONS,
    programs::REQUESTS_INGRESS,
    programs::REQUESTS_EGRESS,
];

/// The kernel rejects a program above a million instructions (`BPF_COMPLEXITY_LIMIT_INSNS`), and needs much memory long
/// before. If the work doubles with each branch, one more branch reaches the limit.
const MOST_INSTRUCTIONS: u32 = 300_000;

#[test]
fn every_program_is_verified_with_few_instructions() {
    let blob = offsets::read(&Config::default().kernel.btf).unwrap();
    let btf = aya::Btf::parse(&blob, aya::Endianness::default()).unwrap();
    let offsets = offsets::resolve(&blob).unwrap();
    // With the code that the verifier removes by default.
    let settings = Settings { slow_request_ms: 1000, ..Settings::UNSET };
    let names = ProgramNames::new(["a", "b", "c", "d", "e", "f", "g", "h"].into_iter());
    let mut object = EbpfLoader::new()
        .btf(Some(&btf))
        .override_global("OFFSETS", &offsets, true)
        .override_global("SETTINGS", &settings, true)
        .override_global("PROGRAM_NAMES", &names, true)
        .load(OBJECT)
        .unwrap();
    let optional = OptionalProbes { programs: true, socket_events: true, unix_sockets: true };
    let mut verified = Vec::new();
    for plan in plans(SchedulerHook::Auto, NvidiaDriverHook::Auto, optional) {
        for method in plan.methods {
            let extras = method.extras.iter().flat_map(|extra| extra.programs);
            for program in method.programs.iter().chain(extras) {
                let handle = object.program_mut(program.name).unwrap();
                match handle {
                    // Several hooks share one program.
                    Program::KProbe(handle) if handle.fd().is_ok() => continue,
                    Program::KProbe(handle) => handle.load().unwrap(),
                    Program::TracePoint(handle) => handle.load().unwrap(),
                    Program::RawTracePoint(handle) => handle.load().unwrap(),
                    Program::BtfTracePoint(handle) => {
                        let Hook::BtfTracepoint(name) = program.hook else { panic!("{program:?}") };
                        // A kernel without this hook, or with other types at it, uses another method.
                        if let Err(error) = handle.load(name, &btf) {
                            println!("{} does not load on this kernel: {error}", program.name);
                            continue;
                        }
                    }
                    _ => panic!("{program:?}: a kind of program that this test does not load"),
                }
                let info = handle.info().unwrap();
                println!("{} {:?}", program.name, info.verified_instruction_count());
                verified.push((info.verified_instruction_count(), program.name));
            }
        }
    }
    for name in OF_CGROUPS {
        let program = object.program_mut(name).unwrap();
        match program {
            Program::CgroupSkb(handle) => handle.load().unwrap(),
            Program::SockOps(handle) => handle.load().unwrap(),
            other => panic!("{other:?}"),
        }
        let info = program.info().unwrap();
        println!("{name} {:?}", info.verified_instruction_count());
        verified.push((info.verified_instruction_count(), name));
    }
    let hard: Vec<_> = verified.iter().filter(|(count, _)| *count > Some(MOST_INSTRUCTIONS)).collect();
    assert!(hard.is_empty(), "{hard:?}");
}
