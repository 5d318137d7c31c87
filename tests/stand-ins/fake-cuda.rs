//! A CUDA application without CUDA, which ends with one line of JSON: what it sent and what came back.
//!
//! `fake-cuda --ctl PATH --gpu PATH --uvm PATH --release R PROFILE [FLAGS] [PROFILE [FLAGS]]…`
//!
//! | profile | flags (defaults) | does |
//! |---|---|---|
//! | `wait` | | says `waiting`, opens nothing, goes on with a line on the standard input |
//! | `context` | | the 711 requests of a CUDA context |
//! | `allocate` | `--bytes` (16 MiB) `--count` (1) `--range` | GPU memory, by VID_HEAP_CONTROL and RM_ALLOC in turn |
//! | `free` | `--heap` | gives back all that was allocated |
//! | `exhaust` | `--bytes` | allocates until refused |
//! | `exhaust-and-recover` | `--bytes` | the same, frees one, and is granted as much |
//! | `pin` | `--bytes --count --heap` | pins memory of its own |
//! | `migrate` | `--bytes --count` | prefetches managed memory |
//! | `storm` | `--threads` (8) `--rate` (50000/s, 0: all it can) `--seconds` (1) | cheap requests |
//! | `hostile` | `--count` | lies |
//! | `hold` | | says `holding` with its account, goes on when the standard input closes |

fn main() -> anyhow::Result<std::process::ExitCode> {
    glassbox_tests::nvidia::application::main()
}
