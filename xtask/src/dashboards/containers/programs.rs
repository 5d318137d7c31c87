//! Processes of listed programs, such as ffmpeg.

use crate::dashboards::{
    panel::{Panel, Row},
    promql::{LABELS, growth, promql},
};

const PROGRAM: &str = "{{container}} {{pod}} {{program}}";

pub(super) fn row() -> Row {
    let sum = |query: &str| promql(&format!("sum by ({LABELS}, program) ({query})"));
    let rate = |family: &str| sum(&format!("rate({family}{{CONTAINERS}}[$__rate_interval])"));
    Row {
        title: "Programs",
        collectors: "programs",
        panels: vec![
            Panel::lines(
                "Running programs",
                "none",
                "Processes of the programs that `programs.names` lists, such as ffmpeg. Those older than the agent are missing.",
            )
            .size(12, 8)
            .query(PROGRAM, &sum("glassbox_container_program_running{CONTAINERS}")),
            Panel::lines("Program starts", "cps", "Starts of listed programs per second.")
                .size(12, 8)
                .query(PROGRAM, &rate("glassbox_container_program_started_total")),
            Panel::lines(
                "Failed programs",
                "none",
                "Processes that ended with an error or were killed by a signal, per interval. A failed ffmpeg is usually a failed \
                 job.",
            )
            .size(12, 8)
            .events()
            .query(
                "{{container}} {{pod}} {{program}} {{result}}",
                &promql(&format!(
                    "sum by ({LABELS}, program, result) {}",
                    growth(
                        "glassbox_container_program_exits_total{CONTAINERS, result=~\"error|signal\"}",
                        "$__rate_interval"
                    )
                )),
            ),
            Panel::lines("Mean program duration", "s", "Time from start to end, per process that ended.")
                .size(12, 8)
                .query(
                    PROGRAM,
                    &format!(
                        "{} / ({} > 0)",
                        rate("glassbox_container_program_seconds_total"),
                        rate("glassbox_container_program_exits_total")
                    ),
                ),
        ],
    }
}
