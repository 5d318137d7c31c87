//! Which GPUs a container was given, and which inference libraries and models its processes have loaded.

use std::time::Duration;

/// A library that runs models. The list is closed: nothing else of a path leaves the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// ONNX Runtime.
    OnnxRuntime,
    /// PyTorch.
    Torch,
    /// TensorFlow.
    TensorFlow,
    /// NVIDIA TensorRT.
    TensorRt,
    /// llama.cpp, or another program with ggml.
    LlamaCpp,
}

impl Library {
    /// All libraries, in the order of the output.
    pub const ALL: [Self; 5] =
        [Self::OnnxRuntime, Self::Torch, Self::TensorFlow, Self::TensorRt, Self::LlamaCpp];

    /// The value of the label `library`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OnnxRuntime => "onnxruntime",
            Self::Torch => "torch",
            Self::TensorFlow => "tensorflow",
            Self::TensorRt => "tensorrt",
            Self::LlamaCpp => "llama_cpp",
        }
    }
}

/// A set of libraries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Libraries(u8);

impl Libraries {
    /// Adds a library.
    pub const fn add(&mut self, library: Library) {
        self.0 |= 1 << library as u8;
    }

    /// The libraries, in the order of [`Library::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Library> {
        Library::ALL.into_iter().filter(move |library| self.0 & (1 << *library as u8) != 0)
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Library> for Libraries {
    fn from_iter<T: IntoIterator<Item = Library>>(libraries: T) -> Self {
        let mut set = Self::default();
        libraries.into_iter().for_each(|library| set.add(library));
        set
    }
}

/// One container that was given GPUs or has loaded models.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inference {
    /// Number of GPUs, by device nodes `/dev/nvidiaN` in its root.
    pub gpus_given: u32,
    /// Libraries that its largest processes had mapped at the last look. Empty without GPUs.
    pub libraries: Libraries,
    /// Whether a process has had a model file mapped or read since the agent first saw the container. Without GPUs, mapped files
    /// are not looked for.
    pub has_model_file: bool,
    /// The last load of models, or the one in progress; `None` if none was seen.
    pub load: Option<ModelLoad>,
}

/// A load of models: from the first time a model file was found open until the last time one was read, without breaks of
/// more than five seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModelLoad {
    /// Its duration.
    pub duration: Duration,
    /// How far the files were read. Files that are mapped instead of read do not count.
    pub read_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_each_library_once_in_the_order_of_the_output() {
        assert!(Libraries::default().is_empty());
        let set: Libraries =
            [Library::LlamaCpp, Library::OnnxRuntime, Library::LlamaCpp].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [Library::OnnxRuntime, Library::LlamaCpp]);
        assert_eq!(Library::ALL.into_iter().collect::<Libraries>().iter().count(), Library::ALL.len());
    }
}
