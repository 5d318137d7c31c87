//! The GPUs that a container was given: the device nodes `/dev/nvidiaN` in its root, whoever made them: the NVIDIA
//! container toolkit, CDI, a device plugin or `docker run --device`. A container with the `/dev` of the host has all of
//! its GPUs.

use std::path::Path;

use crate::containers::directory::Directory;

/// GPUs have the minor numbers and names 0 to 31; more than any host has.
const GPUS_MAX: u32 = 32;
/// Major number of the driver's devices.
const MAJOR: u32 = 195;

/// The number of GPUs in the root of a process. `None` if that cannot be read, for example because the process has ended.
pub(super) fn given(proc_root: &Path, process: &str) -> Option<u32> {
    let root = Directory::process_root(proc_root, process).ok()?;
    let is_gpu = |number: &u32| {
        let node = root.character_device(Path::new(&format!("dev/nvidia{number}")));
        node.is_ok_and(|device| device == Some((MAJOR, *number)))
    };
    u32::try_from((0..GPUS_MAX).filter(is_gpu).count()).ok()
}
