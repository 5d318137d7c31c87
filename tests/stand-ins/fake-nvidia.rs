//! The fake driver as a program: mounts, prints `ready DIRECTORY` and answers requests until SIGINT or SIGTERM. Needs root.
//!
//! `fake-nvidia --mount DIR --release 580.65.06 --memory-mib 1024 --latency-us 0 [--hang 0x2a|uvm:33]`

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, bail};
use glassbox_tests::nvidia::driver::{FakeDriver, Options};

fn main() -> anyhow::Result<ExitCode> {
    let options = options()?;
    // Before there are threads, so that all of them inherit the blocked signals.
    let signals = glassbox_tests::signals::block();
    let driver = FakeDriver::start(options)?;
    println!("ready {}", driver.directory().display());
    signals.wait();
    drop(driver);
    Ok(ExitCode::SUCCESS)
}

fn options() -> anyhow::Result<Options> {
    let mut options = Options::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let value = arguments.next().with_context(|| format!("find a value behind {flag}"))?;
        let number = || value.parse().with_context(|| format!("read {flag} {value}"));
        match flag.as_str() {
            "--mount" => options.mount = Some(PathBuf::from(value)),
            "--release" => options.release = value.parse()?,
            "--memory-mib" => options.memory_mib = number()?,
            "--latency-us" => options.latency_us = number()?,
            "--hang" => options.hang = Some(value.parse()?),
            _ => bail!("unknown flag {flag}"),
        }
    }
    Ok(options)
}
