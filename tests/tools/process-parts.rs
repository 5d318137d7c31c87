//! A process that does what its arguments say, one after another. Tests execute it by links with the names of other
//! programs.
//!
//! | arguments | what the process does |
//! |---|---|
//! | `sleep MS` | sleeps |
//! | `exit STATUS` | ends, with all threads |
//! | `kill SIGNAL` | sends itself a signal |
//! | `name NAME` | changes its name |
//! | `fork` | creates a process that executes nothing and exits with status 1, and waits for it |
//! | `spawn PATH WORDS` | starts a program with these arguments, which are separated by spaces, and waits for it |
//! | `exec PATH …` | executes a program with all further arguments |
//! | `thread` | continues with the next argument in another thread, while the first one sleeps |
//! | `leave STATUS` | continues with the next argument in another thread; the first one calls exit(2) |
//! | `end STATUS` | the thread calls exit(2); other threads continue |

use std::{
    env, io,
    os::unix::process::CommandExt as _,
    process::{self, Command},
    thread,
    time::Duration,
};

fn main() {
    play(env::args().skip(1).collect());
}

fn play(arguments: Vec<String>) {
    let mut words = arguments.into_iter();
    while let Some(action) = words.next() {
        match action.as_str() {
            "sleep" => thread::sleep(Duration::from_millis(number(words.next()).unsigned_abs().into())),
            "exit" => process::exit(number(words.next())),
            "kill" => {
                // SAFETY: no pointers.
                unsafe { libc::kill(libc::getpid(), number(words.next())) };
            }
            "name" => {
                let name = format!("{}\0", words.next().unwrap_or_default());
                // SAFETY: a C string that outlives the call.
                unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
            }
            "fork" => fork(),
            "spawn" => {
                let program = words.next().unwrap_or_default();
                let arguments = words.next().unwrap_or_default();
                if let Err(error) = Command::new(&program).args(arguments.split(' ')).status() {
                    fail(&program, &error);
                }
            }
            "exec" => {
                let program = words.next().unwrap_or_default();
                fail(&program, &Command::new(&program).args(words).exec());
            }
            "thread" => {
                thread::spawn(move || play(words.collect()));
                loop {
                    thread::sleep(Duration::from_secs(60));
                }
            }
            "leave" => {
                let status = number(words.next());
                thread::spawn(move || play(words.collect()));
                end(status);
            }
            "end" => end(number(words.next())),
            other => fail(other, &io::Error::from(io::ErrorKind::InvalidInput)),
        }
    }
}

fn number(word: Option<String>) -> i32 {
    word.and_then(|word| word.parse().ok())
        .unwrap_or_else(|| fail("a number", &io::ErrorKind::InvalidInput.into()))
}

/// Ends this thread only.
fn end(status: i32) -> ! {
    loop {
        // SAFETY: the thread uses nothing afterwards. Its stack stays mapped as long as the process lives.
        unsafe { libc::syscall(libc::SYS_exit, status) };
    }
}

fn fork() {
    // SAFETY: the child calls only _exit, and is reaped.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::_exit(1);
        }
        libc::waitpid(child, std::ptr::null_mut(), 0);
    }
}

/// Ends with a status that no test expects.
fn fail(what: &str, error: &io::Error) -> ! {
    eprintln!("{what}: {error}");
    process::exit(99);
}
