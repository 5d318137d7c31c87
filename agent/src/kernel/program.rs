//! Kernel programs, their hooks, and the errors from loading them.

use aya::programs::ProgramError;

/// A program and its hook.
#[derive(Debug)]
pub struct Program {
    /// Name of the program in the object.
    pub name: &'static str,
    /// What the program is attached to.
    pub hook: Hook,
}

/// A place in the kernel to which programs can be attached.
#[derive(Clone, Copy, Debug)]
pub enum Hook {
    /// A tracepoint with typed arguments, by name.
    BtfTracepoint(&'static str),
    /// A tracepoint by name, for a program that reads its arguments without their types, because they differ between
    /// kernels. No perf event is needed. Linux 4.17.
    RawTracepoint(&'static str),
    /// A tracepoint with a record that is an ABI, by category and name.
    Tracepoint(&'static str, &'static str),
    /// A tracepoint with a record that is not an ABI, by category and name. The record must have these fields, each a
    /// 32-bit word. While a program is attached, the module that contains the tracepoint cannot be unloaded.
    Record(&'static str, &'static str, &'static [&'static str]),
    /// A function of a module, by the names of the module and the function. The type of the program determines whether
    /// it is attached to the entry or the return.
    Function(&'static str, &'static str),
}

impl std::fmt::Display for Hook {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BtfTracepoint(name) | Self::RawTracepoint(name) | Self::Function(_, name) => {
                formatter.write_str(name)
            }
            Self::Tracepoint(category, name) | Self::Record(category, name, _) => {
                write!(formatter, "{category}:{name}")
            }
        }
    }
}

/// Converts the result of loading a program into the kernel.
pub(super) fn loaded(program: &str, result: Result<(), ProgramError>) -> anyhow::Result<()> {
    match result {
        // A program with several hooks is loaded once.
        Ok(()) | Err(ProgramError::AlreadyLoaded) => Ok(()),
        Err(error) => Err(super::refusal::explain(shortened(error)).context(format!("load {program}"))),
    }
}

/// Shortens the verifier's log in an error to its last two lines, which contain the reason. The whole log may have
/// thousands of lines and is logged at level debug.
pub(super) fn shortened(error: ProgramError) -> anyhow::Error {
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            let log = verifier_log.to_string();
            tracing::debug!("{log}");
            let statistics = ["processed ", "verification time", "stack depth"];
            let is_reason =
                |line: &&str| !statistics.iter().any(|start| line.starts_with(start)) && !line.is_empty();
            let last: Vec<_> = log.lines().filter(is_reason).collect();
            let last = last[last.len().saturating_sub(2)..].join(" / ");
            let error = anyhow::Error::new(io_error);
            if last.is_empty() { error } else { error.context(format!("the verifier reports: {last}")) }
        }
        other => other.into(),
    }
}
