//! The calls of the CUDA driver API that `cargo xtask gpu-check` needs. They use the library that is installed with the
//! NVIDIA driver, without the CUDA toolkit. The signatures are those of cuda.h.

mod work;

use std::{
    ffi::{CStr, c_char, c_int, c_uint, c_void},
    path::Path,
    ptr,
};

use anyhow::Context as _;
use libloading::{Library, Symbol};

pub use work::main;

/// `CUDA_ERROR_OUT_OF_MEMORY`.
pub const OUT_OF_MEMORY: c_int = 2;
/// `CU_CTX_SCHED_SPIN` and `CU_CTX_SCHED_BLOCKING_SYNC`: how a thread waits for the GPU.
const SCHEDULE_SPIN: c_uint = 1;
const SCHEDULE_BLOCKING: c_uint = 4;

/// A kernel that keeps a GPU busy for a number of cycles. The driver compiles the PTX for its GPU.
const KERNEL: &CStr = c"
.version 6.0
.target sm_50
.address_size 64
.visible .entry spin(.param .u64 cycles) {
    .reg .pred more;
    .reg .u64 limit, begun, now, spent;
    ld.param.u64 limit, [cycles];
    mov.u64 begun, %clock64;
again:
    mov.u64 now, %clock64;
    sub.u64 spent, now, begun;
    setp.lt.u64 more, spent, limit;
    @more bra again;
    ret;
}
";

/// The error code of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("CUDA error {0}")]
pub struct Refusal(pub c_int);

/// How a thread waits for the GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// By polling.
    Spin,
    /// By sleeping.
    Block,
}

/// The initialized library with a context on the first GPU.
pub struct Cuda {
    library: Library,
    context: *mut c_void,
    function: *mut c_void,
}

impl Cuda {
    /// Loads the library and creates a context.
    ///
    /// # Errors
    /// If there is no library or no GPU.
    pub fn new(path: &Path, wait: Wait) -> anyhow::Result<Self> {
        // SAFETY: its initializers are NVIDIA's, and run in every CUDA program.
        let library = unsafe { Library::new(path) };
        let library = library.with_context(|| format!("load {}", path.display()))?;
        let mut cuda = Self { library, context: ptr::null_mut(), function: ptr::null_mut() };
        let flags = match wait {
            Wait::Spin => SCHEDULE_SPIN,
            Wait::Block => SCHEDULE_BLOCKING,
        };
        let mut device = 0;
        // SAFETY: the signatures are those of cuda.h, and the pointers are to live values of these types.
        unsafe {
            checked(cuda.symbol::<extern "C" fn(c_uint) -> c_int>(b"cuInit\0")?(0)).context("cuInit")?;
            let get = cuda.symbol::<extern "C" fn(*mut c_int, c_int) -> c_int>(b"cuDeviceGet\0")?;
            checked(get(&raw mut device, 0)).context("cuDeviceGet")?;
            let create =
                cuda.symbol::<extern "C" fn(*mut *mut c_void, c_uint, c_int) -> c_int>(b"cuCtxCreate_v2\0")?;
            let mut context = ptr::null_mut();
            checked(create(&raw mut context, flags, device)).context("cuCtxCreate")?;
            cuda.context = context;
        }
        Ok(cuda)
    }

    /// # Safety
    /// `T` must be the function's signature.
    unsafe fn symbol<T>(&self, name: &[u8]) -> anyhow::Result<Symbol<'_, T>> {
        // SAFETY: the caller guarantees the signature.
        let found = unsafe { self.library.get(name) };
        found.with_context(|| format!("find {}", String::from_utf8_lossy(name)))
    }

    /// Allocates device memory.
    ///
    /// # Errors
    /// [`Refusal`] in the inner result if CUDA refuses; an error if the library lacks the function.
    pub fn allocate(&self, bytes: u64) -> anyhow::Result<Result<u64, Refusal>> {
        let mut address = 0;
        // SAFETY: as in `new`.
        let result = unsafe {
            let allocate = self.symbol::<extern "C" fn(*mut u64, usize) -> c_int>(b"cuMemAlloc_v2\0")?;
            allocate(&raw mut address, usize::try_from(bytes).context("allocate")?)
        };
        Ok(checked(result).map(|()| address))
    }

    /// Frees device memory.
    ///
    /// # Errors
    /// If CUDA refuses.
    pub fn free(&self, address: u64) -> anyhow::Result<()> {
        // SAFETY: as in `new`; CUDA refuses an invalid address.
        let result = unsafe { self.symbol::<extern "C" fn(u64) -> c_int>(b"cuMemFree_v2\0")?(address) };
        checked(result).context("cuMemFree")
    }

    /// Runs a kernel for a number of cycles of the GPU's clock and waits for its end.
    ///
    /// # Errors
    /// If CUDA refuses.
    pub fn launch(&mut self, cycles: u64) -> anyhow::Result<()> {
        if self.function.is_null() {
            self.function = self.compile()?;
        }
        let mut cycles = cycles;
        let mut parameters = [(&raw mut cycles).cast::<c_void>()];
        // SAFETY: as in `new`; the parameters are those that the kernel declares, and the call copies them.
        unsafe {
            type Launch = extern "C" fn(
                *mut c_void,
                c_uint,
                c_uint,
                c_uint,
                c_uint,
                c_uint,
                c_uint,
                c_uint,
                *mut c_void,
                *mut *mut c_void,
                *mut *mut c_void,
            ) -> c_int;
            let launch = self.symbol::<Launch>(b"cuLaunchKernel\0")?;
            let (none, more) = (ptr::null_mut(), ptr::null_mut());
            checked(launch(self.function, 1, 1, 1, 1, 1, 1, 0, none, parameters.as_mut_ptr(), more))
                .context("cuLaunchKernel")?;
            checked(self.symbol::<extern "C" fn() -> c_int>(b"cuCtxSynchronize\0")?())
                .context("cuCtxSynchronize")
        }
    }

    fn compile(&self) -> anyhow::Result<*mut c_void> {
        let (mut module, mut function) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: as in `new`; both strings are terminated and outlive the calls.
        unsafe {
            let load = self
                .symbol::<extern "C" fn(*mut *mut c_void, *const c_void) -> c_int>(b"cuModuleLoadData\0")?;
            checked(load(&raw mut module, KERNEL.as_ptr().cast())).context("cuModuleLoadData")?;
            type Find = extern "C" fn(*mut *mut c_void, *mut c_void, *const c_char) -> c_int;
            let find = self.symbol::<Find>(b"cuModuleGetFunction\0")?;
            checked(find(&raw mut function, module, c"spin".as_ptr())).context("cuModuleGetFunction")?;
        }
        Ok(function)
    }
}

impl Drop for Cuda {
    fn drop(&mut self) {
        // SAFETY: as in `new`; the context is ours and not used again. A failure at the end of the process is harmless.
        unsafe {
            if !self.context.is_null()
                && let Ok(destroy) = self.symbol::<extern "C" fn(*mut c_void) -> c_int>(b"cuCtxDestroy_v2\0")
            {
                destroy(self.context);
            }
        }
    }
}

fn checked(result: c_int) -> Result<(), Refusal> {
    if result == 0 { Ok(()) } else { Err(Refusal(result)) }
}
