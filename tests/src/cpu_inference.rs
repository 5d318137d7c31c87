//! A container that runs its model on the CPU: its process maps an inference library, reads a model and computes, in a root of
//! its own that may have the device node of a GPU.

use std::{
    ffi::CString,
    fs::{self, File},
    io,
    os::{fd::AsRawFd, unix::ffi::OsStrExt as _},
    path::{Path, PathBuf},
};

use crate::{
    process_container::ProcessContainer,
    worker::{MODEL_PIECE_BYTES, MODEL_PIECES, TRANSFER_BYTES, Work, Worker},
};

/// A part of the name of the model, which the agent must not publish.
pub const MARKER: &str = "marker-7f3c";
/// Size of the model.
pub const MODEL_BYTES: usize = MODEL_PIECE_BYTES * MODEL_PIECES as usize;

/// The file name of the library.
const LIBRARY: &str = "libonnxruntime.so.1.22.0";
/// With a quota, half of it is enough for the GPU state, however many other tests run.
const CPUS: f64 = 0.3;
/// Major number of the driver's devices.
const NVIDIA_MAJOR: u32 = 195;

/// The container and its files. Both are removed when it is dropped.
pub struct CpuInference {
    /// The container.
    pub container: ProcessContainer,
    files: tempfile::TempDir,
}

impl CpuInference {
    /// Creates the container, with a GPU or without.
    ///
    /// # Errors
    /// The reason to skip the test.
    pub fn new(has_gpu: bool) -> Result<Self, String> {
        let container = ProcessContainer::new()?;
        container.limit_cpu(CPUS)?;
        let files = tempfile::tempdir().map_err(|error| format!("make a directory: {error}"))?;
        let inference = Self { container, files };
        inference.fill(has_gpu).map_err(|error| format!("make the files of a container: {error}"))?;
        Ok(inference)
    }

    /// Starts its process, which ends when the result is dropped. The model is read into memory after five seconds.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn run(&self) -> Worker {
        let opened = self
            .paths()
            .map(|path| File::open(&path).unwrap_or_else(|error| panic!("open {}: {error}", path.display())));
        let [root, library, model] = opened.each_ref().map(AsRawFd::as_raw_fd);
        let worker = self.container.worker(Work::Infer { root, library, model });
        worker.go();
        worker
    }

    /// The paths of the root, the library and the model.
    fn paths(&self) -> [PathBuf; 3] {
        let model = format!("{MARKER}.onnx");
        ["root", LIBRARY, &model].map(|name| self.files.path().join(name))
    }

    fn fill(&self, has_gpu: bool) -> io::Result<()> {
        let [root, library, model] = self.paths();
        fs::create_dir_all(root.join("dev"))?;
        fs::write(library, vec![0; TRANSFER_BYTES])?;
        File::create(model)?.set_len(MODEL_BYTES as u64)?;
        if has_gpu { make_gpu(&root.join("dev/nvidia0")) } else { Ok(()) }
    }
}

/// Makes the device node of the first GPU.
fn make_gpu(path: &Path) -> io::Result<()> {
    let node = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path is a C string.
    let failed =
        unsafe { libc::mknod(node.as_ptr(), libc::S_IFCHR | 0o600, libc::makedev(NVIDIA_MAJOR, 0)) } != 0;
    if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
}
