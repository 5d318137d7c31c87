//! Single calls to NVML. Failures are counted, and calls that a GPU does not support are skipped for a while.

use std::collections::{BTreeMap, HashMap};

use nvml_wrapper::error::NvmlError;
use nvml_wrapper_sys::bindings as sys;

use super::plausible::Checks;

/// An unsupported call is retried once in this many rounds. A retry has a cost, but is needed because a GPU supports
/// different calls after MIG mode was enabled or disabled.
const REST_ROUNDS: u32 = 60;

/// Failed calls by function and error.
#[derive(Debug, Default)]
pub(super) struct Failures(BTreeMap<(&'static str, &'static str), u64>);

impl Failures {
    pub(super) fn count(&mut self, call: &'static str, error: &NvmlError) {
        *self.0.entry((call, code(error))).or_default() += 1;
    }

    /// The result of a call that is not about a GPU. Counts a failure.
    pub(super) fn ok<T>(&mut self, call: &'static str, result: Result<T, NvmlError>) -> Option<T> {
        result.inspect_err(|error| self.count(call, error)).ok()
    }

    pub(super) fn all(&self) -> Vec<(&'static str, &'static str, u64)> {
        self.0.iter().map(|((call, code), count)| (*call, *code, *count)).collect()
    }
}

/// Calls that one GPU does not support, by function, with the number of rounds for which they are skipped.
pub(super) type SkippedCalls = HashMap<&'static str, u32>;

/// The calls of one round about one GPU.
pub(super) struct Calls<'a> {
    pub(super) failures: &'a mut Failures,
    pub(super) checks: &'a mut Checks,
    pub(super) resting: &'a mut SkippedCalls,
    /// The GPU is lost, or the library has lost its state: no more calls are made in this round.
    pub(super) lost: bool,
}

impl Calls<'_> {
    /// The result of the call, or `None` if the call fails or is skipped.
    pub(super) fn ask<T>(
        &mut self,
        call: &'static str,
        ask: impl FnOnce() -> Result<T, NvmlError>,
    ) -> Option<T> {
        if self.lost || self.is_skipped(call) {
            return None;
        }
        match ask() {
            Ok(value) => Some(value),
            Err(error) => {
                self.failed(call, &error);
                None
            }
        }
    }

    /// The result of a call that returns "not found" if there is nothing new; the default in that case.
    pub(super) fn call_or_empty<T: Default>(
        &mut self,
        call: &'static str,
        ask: impl FnOnce() -> Result<T, NvmlError>,
    ) -> Option<T> {
        self.ask(call, || match ask() {
            Err(NvmlError::NotFound) => Ok(T::default()),
            other => other,
        })
    }

    /// True while the call is skipped.
    fn is_skipped(&mut self, call: &'static str) -> bool {
        match self.resting.get_mut(call) {
            Some(0) | None => false,
            Some(rounds) => {
                *rounds -= 1;
                true
            }
        }
    }

    fn failed(&mut self, call: &'static str, error: &NvmlError) {
        self.failures.count(call, error);
        match error {
            NvmlError::NotSupported | NvmlError::FunctionNotFound | NvmlError::FailedToLoadSymbol(_) => {
                self.resting.insert(call, REST_ROUNDS);
            }
            error => self.lost |= is_loss(error),
        }
    }
}

/// True for errors after which this GPU and its handle are unusable.
pub(super) fn is_loss(error: &NvmlError) -> bool {
    matches!(
        error,
        NvmlError::GpuLost
            | NvmlError::ResetRequired
            | NvmlError::Uninitialized
            | NvmlError::DriverNotLoaded
            | NvmlError::LibRmVersionMismatch
    )
}

/// NVML's name of the error, for the label `code`.
pub(super) fn code(error: &NvmlError) -> &'static str {
    #[expect(deprecated, reason = "old libraries still return it")]
    match error {
        NvmlError::Uninitialized => "uninitialized",
        NvmlError::InvalidArg => "invalid_argument",
        NvmlError::NotSupported => "not_supported",
        NvmlError::NoPermission => "no_permission",
        NvmlError::AlreadyInitialized => "already_initialized",
        NvmlError::NotFound => "not_found",
        NvmlError::InsufficientSize(_) => "insufficient_size",
        NvmlError::InsufficientPower => "insufficient_power",
        NvmlError::DriverNotLoaded => "driver_not_loaded",
        NvmlError::Timeout => "timeout",
        NvmlError::IrqIssue => "irq_issue",
        NvmlError::LibraryNotFound | NvmlError::LibloadingError(_) => "library_not_found",
        NvmlError::FunctionNotFound | NvmlError::FailedToLoadSymbol(_) => "function_not_found",
        NvmlError::CorruptedInfoROM => "corrupted_inforom",
        NvmlError::GpuLost => "gpu_is_lost",
        NvmlError::ResetRequired => "reset_required",
        NvmlError::OperatingSystem => "operating_system",
        NvmlError::LibRmVersionMismatch => "lib_rm_version_mismatch",
        NvmlError::InUse => "in_use",
        NvmlError::InsufficientMemory => "memory",
        NvmlError::NoData => "no_data",
        NvmlError::VgpuEccNotSupported => "vgpu_ecc_not_supported",
        NvmlError::Unknown => "unknown",
        NvmlError::Utf8Error(_) => "not_utf8",
        NvmlError::UnexpectedVariant(code) => newer_code(*code).map_or("other", |(name, _)| name),
        // Errors of calls that this collector does not make.
        _ => "other",
    }
}

/// A description of the error for people.
pub(super) fn describe(error: &NvmlError) -> String {
    match error {
        NvmlError::UnexpectedVariant(code) => match newer_code(*code) {
            Some((name, words)) => format!("{words} ({name})"),
            None => format!("unknown NVML error {code}"),
        },
        error => error.to_string(),
    }
}

/// Return codes that nvml-wrapper lacks: the label `code`, and a description.
fn newer_code(code: u32) -> Option<(&'static str, &'static str)> {
    Some(match code {
        sys::nvmlReturn_enum_NVML_ERROR_INSUFFICIENT_RESOURCES => {
            ("insufficient_resources", "the GPU lacks resources other than memory")
        }
        sys::nvmlReturn_enum_NVML_ERROR_FREQ_NOT_SUPPORTED => {
            ("freq_not_supported", "the GPU does not support this frequency")
        }
        sys::nvmlReturn_enum_NVML_ERROR_ARGUMENT_VERSION_MISMATCH => {
            ("argument_version_mismatch", "the library does not support this version of a structure")
        }
        sys::nvmlReturn_enum_NVML_ERROR_DEPRECATED => ("deprecated", "the function is deprecated"),
        sys::nvmlReturn_enum_NVML_ERROR_NOT_READY => ("not_ready", "the system is not ready for the request"),
        sys::nvmlReturn_enum_NVML_ERROR_GPU_NOT_FOUND => (
            "gpu_not_found",
            "the driver is loaded but has no working GPU; the kernel log (dmesg, NVRM lines) has the reason",
        ),
        sys::nvmlReturn_enum_NVML_ERROR_INVALID_STATE => {
            ("invalid_state", "the resource is not in the state that the call requires")
        }
        sys::nvmlReturn_enum_NVML_ERROR_RESET_TYPE_NOT_SUPPORTED => {
            ("reset_type_not_supported", "the GPU does not support this type of reset")
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls<'a>(
        failures: &'a mut Failures,
        checks: &'a mut Checks,
        resting: &'a mut SkippedCalls,
    ) -> Calls<'a> {
        Calls { failures, checks, resting, lost: false }
    }

    #[test]
    fn codes_that_the_bindings_lack_have_names() {
        let name = |number| code(&NvmlError::UnexpectedVariant(number));
        let names = [28, 29, 30, 31].map(name);
        assert_eq!(names, ["gpu_not_found", "invalid_state", "reset_type_not_supported", "other"]);
        assert!((23..=30).all(|number| name(number) != "other"));
        let words = describe(&NvmlError::UnexpectedVariant(28));
        assert!(words.contains("no working GPU") && words.contains("gpu_not_found"), "{words}");
        assert_eq!(describe(&NvmlError::UnexpectedVariant(77)), "unknown NVML error 77");
    }

    #[test]
    fn an_unsupported_call_is_skipped_and_retried() {
        let (mut failures, mut checks, mut resting) = <(Failures, Checks, SkippedCalls)>::default();
        let mut asked = 0;
        for _ in 0..=REST_ROUNDS + 1 {
            let mut calls = calls(&mut failures, &mut checks, &mut resting);
            let answer: Option<u32> = calls.ask("f", || {
                asked += 1;
                Err(NvmlError::NotSupported)
            });
            assert_eq!((answer, calls.lost), (None, false));
        }
        assert_eq!(asked, 2);
        assert_eq!(failures.all(), [("f", "not_supported", 2)]);
    }

    #[test]
    fn after_a_lost_gpu_no_more_calls_are_made() {
        let (mut failures, mut checks, mut resting) = <(Failures, Checks, SkippedCalls)>::default();
        let mut calls = calls(&mut failures, &mut checks, &mut resting);
        assert_eq!(calls.ask::<u32>("f", || Err(NvmlError::GpuLost)), None);
        assert_eq!(calls.ask("g", || Ok(1)), None);
        assert!(calls.lost);
    }

    #[test]
    fn not_found_is_not_a_failure() {
        let (mut failures, mut checks, mut resting) = <(Failures, Checks, SkippedCalls)>::default();
        let mut calls = calls(&mut failures, &mut checks, &mut resting);
        assert_eq!(calls.call_or_empty::<Vec<u32>>("f", || Err(NvmlError::NotFound)), Some(Vec::new()));
        assert!(failures.all().is_empty());
    }
}
