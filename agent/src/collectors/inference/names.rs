//! The closed lists of names by which libraries and models are recognized. A name is only compared, never kept.

use crate::snapshot::inference::Library;

/// Beginnings of the names of shared libraries.
const LIBRARIES: &[(&[u8], Library)] = &[
    (b"libonnxruntime", Library::OnnxRuntime),
    (b"onnxruntime_pybind11_state", Library::OnnxRuntime),
    (b"libtorch", Library::Torch),
    (b"libtensorflow", Library::TensorFlow),
    (b"_pywrap_tensorflow", Library::TensorFlow),
    (b"libnvinfer", Library::TensorRt),
    (b"libllama", Library::LlamaCpp),
    (b"libggml", Library::LlamaCpp),
];

/// Programs that contain the library.
const PROGRAMS: &[(&[u8], Library)] =
    &[(b"llama-server", Library::LlamaCpp), (b"llama-cli", Library::LlamaCpp)];

/// Extensions of model files, without the dot.
const MODELS: &[&[u8]] = &[b"onnx", b"safetensors", b"pt", b"pth", b"gguf", b"engine", b"trt"];

/// What the kernel appends to the path of a removed file.
const DELETED: &[u8] = b" (deleted)";

/// The last component of a path that the kernel has printed.
pub(super) fn file_name(path: &[u8]) -> &[u8] {
    let path = path.strip_suffix(DELETED).unwrap_or(path);
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

/// The library with this file name.
pub(super) fn library(name: &[u8]) -> Option<Library> {
    let program = PROGRAMS.iter().find(|(program, _)| *program == name);
    let found = program.or_else(|| {
        let is_shared = name.windows(3).any(|part| part == b".so");
        LIBRARIES.iter().find(|(start, _)| is_shared && name.starts_with(start))
    });
    found.map(|(_, library)| *library)
}

/// Whether a file of this name contains a model.
pub(super) fn is_model(name: &[u8]) -> bool {
    let Some(dot) = name.iter().rposition(|byte| *byte == b'.') else { return false };
    dot > 0 && MODELS.contains(&&name[dot + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_recognized_by_the_beginning_of_their_file_names() {
        for (path, library_) in [
            (&b"/usr/lib/libonnxruntime.so.1.22.0"[..], Some(Library::OnnxRuntime)),
            (
                b"/app/onnxruntime/capi/onnxruntime_pybind11_state.cpython-312-x86_64-linux-gnu.so",
                Some(Library::OnnxRuntime),
            ),
            (b"/x/libtorch_cpu.so (deleted)", Some(Library::Torch)),
            (b"/x/libtensorflow_framework.so.2", Some(Library::TensorFlow)),
            (b"/x/_pywrap_tensorflow_internal.so", Some(Library::TensorFlow)),
            (b"/x/libnvinfer.so.10", Some(Library::TensorRt)),
            (b"/x/libggml-cuda.so", Some(Library::LlamaCpp)),
            (b"/usr/bin/llama-server", Some(Library::LlamaCpp)),
            (b"/x/libtorrent.so", None),
            (b"/x/libonnxruntime.txt", None),
            (b"/memfd:libonnxruntime.so", None),
            (b"/libonnxruntime.so/other", None),
            (b"", None),
        ] {
            assert_eq!(library(file_name(path)), library_, "{}", String::from_utf8_lossy(path));
        }
    }

    #[test]
    fn models_are_recognized_by_their_extensions() {
        for name in
            [&b"a.onnx"[..], b"model-00001-of-00002.safetensors", b"x.tar.pth", b"\xff.gguf", b"a.trt"]
        {
            assert!(is_model(name), "{}", String::from_utf8_lossy(name));
        }
        for name in [&b"onnx"[..], b".onnx", b"a.onnx.txt", b"a.ONNX", b"a.", b"", b"a.ptx"] {
            assert!(!is_model(name), "{}", String::from_utf8_lossy(name));
        }
    }
}
