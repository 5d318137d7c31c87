//! How much work the kernel has with checking the programs, each of which is loaded here, whichever method it belongs to.

use aya::{EbpfLoader, programs::Program};
use glassbox::{
    config::{Config, NvidiaDriverHook, SchedulerHook},
    kernel::{OBJECT, offsets, plans::plans, program::Hook},
};

/// The kernel refuses a program that takes a million (`BPF_COMPLEXITY_LIMIT_INSNS`), and needs memory for what it has
/// seen long before. A program that doubles with each of its branches gets there one release late.
const MOST_INSTRUCTIONS: u32 = 40_000;

#[test]
fn no_program_is_hard_to_verify() {
    let blob = offsets::read(&Config::default().kernel.btf).unwrap();
    let btf = aya::Btf::parse(&blob, aya::Endianness::default()).unwrap();
    let offsets = offsets::resolve(&blob).unwrap();
    let mut object =
        EbpfLoader::new().btf(Some(&btf)).override_global("OFFSETS", &offsets, true).load(OBJECT).unwrap();
    let mut verified = Vec::new();
    for plan in plans(SchedulerHook::Auto, NvidiaDriverHook::Auto) {
        for method in plan.methods {
            let extras = method.extras.iter().flat_map(|extra| extra.programs);
            for program in method.programs.iter().chain(extras) {
                let handle = object.program_mut(program.name).unwrap();
                match handle {
                    // Several hooks share one.
                    Program::KProbe(handle) if handle.fd().is_ok() => continue,
                    Program::KProbe(handle) => handle.load().unwrap(),
                    Program::TracePoint(handle) => handle.load().unwrap(),
                    Program::BtfTracePoint(handle) => {
                        let Hook::BtfTracepoint(name) = program.hook else { panic!("{program:?}") };
                        // Without this hook, or with other types at it, a kernel has another method.
                        if let Err(error) = handle.load(name, &btf) {
                            println!("{} is not for this kernel: {error}", program.name);
                            continue;
                        }
                    }
                    other => panic!("{other:?}"),
                }
                let info = handle.info().unwrap();
                println!("{} {:?}", program.name, info.verified_instruction_count());
                verified.push((info.verified_instruction_count(), program.name));
            }
        }
    }
    let hard: Vec<_> = verified.iter().filter(|(count, _)| *count > Some(MOST_INSTRUCTIONS)).collect();
    assert!(hard.is_empty(), "{hard:?}");
}
