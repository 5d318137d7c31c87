//! The demonstration's host, on its own: `demo --nvml LIBRARY --config FILE --agent ADDRESS` starts its GPUs and containers
//! and writes the configuration of an agent that is to see them. Once that agent listens on ADDRESS, the containers begin.
//! Goes on until SIGINT or SIGTERM. Needs root.

use std::{
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use glassbox_tests::demo::{Demo, STEP};

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
    let mut agent = Some(agent.context("find --agent")?);
    let program = std::env::current_exe().context("find this program")?.with_file_name("fake-cuda");
    // Before there are threads, so that all of them leave the signals to this one.
    let signals = glassbox_tests::signals::block();
    let mut demo = Demo::start(&program, &nvml)?;
    demo.write_configuration(&config)?;
    while !signals.came_within(STEP) {
        // An agent listens once its programs are attached.
        if agent.take_if(|agent| TcpStream::connect_timeout(agent, STEP).is_ok()).is_some() {
            demo.begin();
        }
        demo.step()?;
    }
    drop(demo);
    Ok(ExitCode::SUCCESS)
}
