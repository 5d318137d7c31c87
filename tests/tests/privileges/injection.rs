//! System calls in the name of the agent's threads, as an attacker who has taken over a thread would make them. A thread is
//! stopped with ptrace(2) while it waits in a system call, and the same instruction makes another call.

use std::{collections::BTreeMap, mem::MaybeUninit, ptr::null_mut};

use glassbox_tests::agent::Agent;

/// Makes the calls in a thread that serves HTTP and in the tick thread.
pub(crate) fn attack(agent: &Agent, threads: &[(i32, String, String)]) {
    let thread = |name: &str| threads.iter().find(|(_, comm, _)| comm == name).unwrap().0;
    // SAFETY: with this flag, landlock_create_ruleset(2) takes no pointer and returns the version.
    let has_landlock = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, 0, 0, 1) } > 0;
    let line = format!("glassbox_agent_sandbox{{mechanism=\"landlock\"}} {}", u8::from(has_landlock));
    assert!(agent.metrics().lines().any(|found| found == line), "{line}");
    let denied = BTreeMap::from([
        ("execve", libc::SYS_execve),
        ("fork", libc::SYS_fork),
        ("ptrace", libc::SYS_ptrace),
        ("mount", libc::SYS_mount),
        ("init_module", libc::SYS_init_module),
        ("unlink", libc::SYS_unlink),
    ]);
    for (name, opens) in [("glassbox-io", !has_landlock), ("glassbox-tick", true)] {
        let mut stopped = Stopped::new(thread(name));
        for (call, number) in &denied {
            assert_eq!(stopped.call(*number, [0; 4]), -i64::from(libc::EPERM), "{name}: {call}");
        }
        let path = stopped.text("/proc/1/status");
        let directory = u64::from(libc::AT_FDCWD.cast_unsigned());
        let opened = stopped.call(libc::SYS_openat, [directory, path, 0, 0]);
        assert_eq!(opened >= 0, opens, "{name} opens a file of another process: {opened}");
        if opened >= 0 {
            assert_eq!(stopped.call(libc::SYS_close, [opened.cast_unsigned(), 0, 0, 0]), 0);
        } else {
            assert_eq!(opened, -i64::from(libc::EACCES), "{name}");
        }
    }
    assert!(agent.metrics().contains("glassbox_collector_up"), "the agent continues");
}

/// A thread that is stopped, with the registers that it gets back.
struct Stopped {
    thread: i32,
    before: libc::user_regs_struct,
    text: Option<(u64, [i64; 2])>,
}

impl Stopped {
    fn new(thread: i32) -> Self {
        ptrace(libc::PTRACE_SEIZE, thread, 0, 0);
        ptrace(libc::PTRACE_INTERRUPT, thread, 0, 0);
        wait(thread);
        let before = registers(thread);
        // A thread that waits has the system call instruction behind it.
        let instruction = ptrace(libc::PTRACE_PEEKTEXT, thread, before.rip - 2, 0) & 0xffff;
        assert_eq!(instruction, 0x050f, "the thread does not wait in a system call");
        Self { thread, before, text: None }
    }

    /// Makes a system call and returns its result.
    fn call(&mut self, number: i64, arguments: [u64; 4]) -> i64 {
        let mut registers = self.before;
        registers.rip -= 2;
        registers.rax = number.cast_unsigned();
        // The call in which the thread waited must not be restarted now.
        registers.orig_rax = u64::MAX;
        [registers.rdi, registers.rsi, registers.rdx, registers.r10] = arguments;
        set_registers(self.thread, &mut registers);
        ptrace(libc::PTRACE_SINGLESTEP, self.thread, 0, 0);
        wait(self.thread);
        self::registers(self.thread).rax.cast_signed()
    }

    /// Writes a text of at most 15 bytes below the thread's stack and its red zone.
    fn text(&mut self, text: &str) -> u64 {
        let place = (self.before.rsp - 1024) & !7;
        let mut bytes = [0; 16];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        let word = |place: u64| ptrace(libc::PTRACE_PEEKDATA, self.thread, place, 0);
        self.text = Some((place, [word(place), word(place + 8)]));
        for (index, word) in bytes.chunks_exact(8).enumerate() {
            let word = i64::from_ne_bytes(word.try_into().unwrap());
            ptrace(libc::PTRACE_POKEDATA, self.thread, place + 8 * index as u64, word);
        }
        place
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        if let Some((place, words)) = self.text {
            ptrace(libc::PTRACE_POKEDATA, self.thread, place, words[0]);
            ptrace(libc::PTRACE_POKEDATA, self.thread, place + 8, words[1]);
        }
        set_registers(self.thread, &mut self.before);
        ptrace(libc::PTRACE_DETACH, self.thread, 0, 0);
    }
}

/// ptrace(2) with two numbers. Reading a word cannot be told from an error by its value, so the error code decides.
fn ptrace(request: libc::c_uint, thread: i32, address: u64, data: i64) -> i64 {
    // SAFETY: these requests read and write memory of the traced thread only.
    unsafe {
        *libc::__errno_location() = 0;
        let result = libc::ptrace(request, thread, address, data);
        assert!(result != -1 || *libc::__errno_location() == 0, "{}", std::io::Error::last_os_error());
        result
    }
}

fn registers(thread: i32) -> libc::user_regs_struct {
    let mut registers = MaybeUninit::uninit();
    // SAFETY: the request fills the structure.
    unsafe {
        assert_eq!(libc::ptrace(libc::PTRACE_GETREGS, thread, 0, registers.as_mut_ptr()), 0);
        registers.assume_init()
    }
}

fn set_registers(thread: i32, registers: &mut libc::user_regs_struct) {
    // SAFETY: the request reads the structure.
    let result = unsafe { libc::ptrace(libc::PTRACE_SETREGS, thread, 0, &raw mut *registers) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

fn wait(thread: i32) {
    // SAFETY: the status is not requested.
    assert_eq!(unsafe { libc::waitpid(thread, null_mut(), libc::__WALL) }, thread);
}
