//! The host of the demonstration: `demo --nvml LIBRARY --config FILE --agent ADDRESS` starts its GPUs and containers and
//! writes the configuration of an agent for them. The containers start to work once that agent is ready at ADDRESS. Runs
//! until SIGINT or SIGTERM. Needs root.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use anyhow::{Context as _, bail};
use glassbox_tests::{
    demo::{Demo, STEP},
    http,
};

fn main() -> anyhow::Result<ExitCode> {
    let (mut nvml, mut config, mut agent) = (None, None, None::<SocketAddr>);
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let value = arguments.next().with_context(|| format!("find a value behind {flag}"))?;
        match flag.as_str() {
            "--nvml" => nvml = Some(PathBuf::from(value)),
            "--config" => config = Some(PathBuf::from(value)),
            "--agent" => agent = Some(value.parse().with_context(|| format!("read the address {value:?}"))?),
            _ => bail!("unknown flag {flag}"),
        }
    }
    let (nvml, config) = (nvml.context("find --nvml")?, config.context("find --config")?);
    let agent = agent.context("find --agent")?;
    let program = std::env::current_exe().context("find this program")?;
    let programs = program.parent().context("find the programs beside this one")?;
    // Before there are threads, so that all of them inherit the blocked signals.
    let signals = glassbox_tests::signals::block();
    let mut demo = Demo::start(programs, &nvml)?;
    if let Some(missing) = demo.missing() {
        println!("  - {missing}");
    }
    demo.write_configuration(&config)?;
    let ready = watch(agent)?;
    while !signals.came_within(STEP) {
        if ready.load(Ordering::Relaxed) {
            demo.begin()?;
        }
        demo.step()?;
    }
    drop(demo);
    Ok(ExitCode::SUCCESS)
}

/// Becomes true once the agent has made a snapshot, because its programs are attached then. An open connection would not
/// show this: the agent listens earlier. It polls on a thread, because a slow agent would block it.
fn watch(agent: SocketAddr) -> anyhow::Result<Arc<AtomicBool>> {
    let ready = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&ready);
    let ask = move || {
        while !http::get(agent, "/readyz").is_ok_and(|answer| answer.status == 200) {
            thread::sleep(STEP);
        }
        set.store(true, Ordering::Relaxed);
    };
    thread::Builder::new().name("demo-agent".to_owned()).spawn(ask).context("start a thread")?;
    Ok(ready)
}
