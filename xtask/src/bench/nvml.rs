//! CPU usage of the agent's NVML thread by sampling interval. The library is a fake NVML that returns at once: the cost of
//! NVIDIA's library is not included and can only be measured with a real GPU.

use anyhow::Context as _;

use super::{
    run::Run,
    table::{Row, Verdict, percent},
};
use crate::{step, workspace};

pub(super) fn rows(run: &Run) -> anyhow::Result<Vec<Row>> {
    let mut build = workspace::cargo();
    build.args(["build", "--release", "--package", "glassbox-nvml-stand-in"]);
    step::run("build the fake NVML", &mut build)?;
    let library = workspace::target().join("release/libglassbox_nvml_stand_in.so");
    let arguments = [format!("--nvml={}", library.display()), format!("--seconds={}", run.choose(30, 8))];
    let report = run.measure("NVML by sampling interval", "nvml-cost", &arguments)?;
    let ratio = |sample_ms: &str| {
        let ratio = report["cpu_ratio_by_sample_ms"][sample_ms].as_f64();
        ratio.with_context(|| format!("find the result for {sample_ms} ms"))
    };
    Ok(vec![Row {
        what: format!(
            "CPU of the NVML thread, {} GPUs with {} processes each, library that returns at once",
            report["gpus"], report["processes"]
        ),
        budget: String::new(),
        glassbox: format!(
            "sampling interval 200 ms: {}, 1 s: {}",
            percent(ratio("200")?),
            percent(ratio("1000")?)
        ),
        peer: "no peer runs without a GPU".into(),
        verdict: Verdict::None,
    }])
}
