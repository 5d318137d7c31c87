//! The commands of `cuda-work`: one per line of the standard input, with one line of JSON as the response.
//!
//! | command | does | response |
//! |---|---|---|
//! | `context spin` or `block` | creates a context with this way of waiting | |
//! | `allocate BYTES COUNT` | allocates memory and keeps it | `granted`; `refusal` with CUDA's error if it was refused |
//! | `free` | frees all memory that it keeps | |
//! | `launch MILLISECONDS` | runs kernels of 20,000 cycles one after another | `runs`, `seconds` |
//! | `churn MILLISECONDS` | allocates and frees 64 MiB repeatedly | `runs`, `seconds` |

use std::{
    io::{BufRead as _, Write as _},
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::{Cuda, Wait};

const KERNEL_CYCLES: u64 = 20_000;
/// More than the driver's library keeps in reserve, so that each allocation reaches the kernel.
const CHURN_BYTES: u64 = 64 << 20;

/// Executes commands until the standard input is closed.
///
/// # Errors
/// If a command is invalid, or CUDA fails.
pub fn main() -> anyhow::Result<()> {
    let library = PathBuf::from(std::env::args_os().nth(1).context("find the library's path")?);
    let mut worker = Worker { library, cuda: None, kept: Vec::new() };
    for command in std::io::stdin().lock().lines() {
        let command = command.context("read a command")?;
        let answer = worker.execute(&command).with_context(|| format!("execute {command}"))?;
        let mut output = std::io::stdout().lock();
        writeln!(output, "{answer}").and_then(|()| output.flush()).context("answer")?;
    }
    Ok(())
}

struct Worker {
    library: PathBuf,
    cuda: Option<Cuda>,
    kept: Vec<u64>,
}

impl Worker {
    fn execute(&mut self, command: &str) -> anyhow::Result<Value> {
        let words: Vec<_> = command.split(' ').collect();
        let number = |word: &str| word.parse::<u64>().with_context(|| format!("read {word}"));
        match words.as_slice() {
            ["context", wait] => {
                let wait = match *wait {
                    "spin" => Wait::Spin,
                    "block" => Wait::Block,
                    _ => bail!("wait by spin or block"),
                };
                self.cuda = Some(Cuda::new(&self.library, wait)?);
                Ok(json!({}))
            }
            ["allocate", bytes, count] => self.allocate(number(bytes)?, number(count)?),
            ["free"] => {
                let kept = std::mem::take(&mut self.kept);
                let cuda = self.cuda()?;
                kept.into_iter().try_for_each(|address| cuda.free(address))?;
                Ok(json!({}))
            }
            ["launch", ms] => self.repeat(number(ms)?, |cuda| cuda.launch(KERNEL_CYCLES)),
            ["churn", ms] => self.repeat(number(ms)?, |cuda| {
                let address = cuda.allocate(CHURN_BYTES)??;
                cuda.free(address)
            }),
            _ => bail!("unknown command"),
        }
    }

    fn cuda(&mut self) -> anyhow::Result<&mut Cuda> {
        self.cuda.as_mut().context("no context was created")
    }

    fn allocate(&mut self, bytes: u64, count: u64) -> anyhow::Result<Value> {
        for granted in 0..count {
            match self.cuda()?.allocate(bytes)? {
                Ok(address) => self.kept.push(address),
                Err(refusal) => return Ok(json!({ "granted": granted, "refusal": refusal.0 })),
            }
        }
        Ok(json!({ "granted": count }))
    }

    fn repeat(
        &mut self,
        milliseconds: u64,
        mut work: impl FnMut(&mut Cuda) -> anyhow::Result<()>,
    ) -> anyhow::Result<Value> {
        let cuda = self.cuda()?;
        work(cuda)?;
        let (begun, limit) = (Instant::now(), Duration::from_millis(milliseconds));
        let mut runs = 0_u64;
        while begun.elapsed() < limit {
            work(cuda)?;
            runs += 1;
        }
        Ok(json!({ "runs": runs, "seconds": begun.elapsed().as_secs_f64() }))
    }
}
