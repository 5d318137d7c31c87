//! A fake CUDA application. Its last line of output is JSON: the requests that it sent and their results.
//!
//! `fake-cuda --ctl PATH --gpu PATH --uvm PATH --release R PROFILE [FLAGS] [PROFILE [FLAGS]]…`
//!
//! | profile | flags (defaults) | does |
//! |---|---|---|
//! | `wait` | | prints `waiting`, opens nothing, and continues after a line on the standard input |
//! | `context` | | the 711 requests of a CUDA context |
//! | `allocate` | `--bytes` (16 MiB) `--count` (1) `--range` | allocates GPU memory, by VID_HEAP_CONTROL and RM_ALLOC in
//! turn |
//! | `free` | `--heap` | frees everything that was allocated |
//! | `exhaust` | `--bytes` | allocates until the first refusal |
//! | `exhaust-and-recover` | `--bytes` | the same, then frees one allocation and allocates it again |
//! | `pin` | `--bytes --count --heap` | pins memory of its own |
//! | `migrate` | `--bytes --count` | prefetches managed memory |
//! | `storm` | `--threads` (8) `--rate` (50000/s, 0: as fast as possible) `--seconds` (1) | sends cheap requests |
//! | `hostile` | `--count` | sends hostile requests |
//! | `hold` | | prints `holding` with its account, and continues when the standard input is closed |

fn main() -> anyhow::Result<std::process::ExitCode> {
    glassbox_tests::nvidia::application::main()
}
