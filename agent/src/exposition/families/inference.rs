//! GPUs given to containers, and the inference libraries and models that they have loaded.

use crate::{
    exposition::family::Family,
    snapshot::{ContainerRow, inference::ModelLoad},
};

/// The families, in the order of the output.
pub(super) const FAMILIES: &[Family] = &[
    Family::gauge("glassbox_container_gpus_given")
        .help(
            "Number of GPUs that the container was given: device nodes /dev/nvidiaN in its root. Absent \
             without GPUs. A container with the /dev of the host has all of its GPUs.",
        )
        .source("/proc/PID/root, every 30 s")
        .container(|row, emit| {
            let given = row.inference.map(|inference| u64::from(inference.gpus_given));
            emit.count(given.filter(|given| *given > 0));
        }),
    Family::gauge("glassbox_container_inference_library_info")
        .help(
            "Always 1. Label library: an inference library that the container has mapped, which is \
             onnxruntime, torch, tensorflow, tensorrt or llama_cpp. Only for containers that were given GPUs.",
        )
        .source("/proc/PID/maps of the eight largest processes, every 30 s")
        .labels(&["library"])
        .container(|row, emit| {
            for library in row.inference.iter().flat_map(|inference| inference.libraries.iter()) {
                emit.with(&[library.name()]).count(1);
            }
        }),
    Family::gauge("glassbox_container_model_load_seconds")
        .help(
            "Duration of the last load of model files, or of the one in progress, in seconds: from the first \
             time that one was found open for reading until the last time that one was read, without pauses of \
             more than 5 s. The start is accurate to 1 s or one tick, the end to 0.1 s; shorter loads may be \
             missed. Loads are found after a tick in which the memory or GPU memory of the container has grown \
             by 16 MiB, and in the first ten minutes of a container that was given GPUs; later ones of such a \
             container that fill less memory are looked for every 30 s. Files that are mapped instead of read \
             are not measured.",
        )
        .source("/proc/PID/fd and fdinfo")
        .container(|row, emit| emit.time(load(row).map(|load| load.duration))),
    Family::gauge("glassbox_container_model_load_bytes")
        .help(
            "Bytes read in the load of glassbox_container_model_load_seconds: how far each open model file was read. What is read in the \
             last 0.1 s before a file is closed is missing.",
        )
        .source("/proc/PID/fdinfo")
        .container(|row, emit| emit.count(load(row).map(|load| load.read_bytes))),
];

fn load(row: &ContainerRow) -> Option<ModelLoad> {
    row.inference?.load
}
