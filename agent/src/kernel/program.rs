//! One kernel program: where it is attached, and what the kernel says when it is loaded.

use aya::programs::ProgramError;

/// One program and where it goes.
#[derive(Debug)]
pub struct Program {
    /// Its name in the object.
    pub name: &'static str,
    /// What it is attached to.
    pub hook: Hook,
}

/// A place in the kernel.
#[derive(Clone, Copy, Debug)]
pub enum Hook {
    /// A tracepoint, with typed arguments.
    BtfTracepoint(&'static str),
    /// A tracepoint by category and name, with its ABI's record.
    Tracepoint(&'static str, &'static str),
    /// A tracepoint by category and name, whose record is no ABI and must have these fields, each a 32-bit word. As long
    /// as it is attached, the module that the tracepoint is in cannot be unloaded.
    Record(&'static str, &'static str, &'static [&'static str]),
    /// A function of a module, by the module's name and its own: at its entry or its return as the program says.
    Function(&'static str, &'static str),
}

impl std::fmt::Display for Hook {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BtfTracepoint(name) | Self::Function(_, name) => formatter.write_str(name),
            Self::Tracepoint(category, name) | Self::Record(category, name, _) => {
                write!(formatter, "{category}:{name}")
            }
        }
    }
}

/// Reads the result of loading a program into the kernel.
pub(super) fn loaded(program: &str, result: Result<(), ProgramError>) -> anyhow::Result<()> {
    match result {
        // A program with several hooks is loaded once.
        Ok(()) | Err(ProgramError::AlreadyLoaded) => Ok(()),
        Err(error) => Err(super::explain(shortened(error)).context(format!("load {program}"))),
    }
}

/// The verifier explains itself in thousands of lines, of which the last tell why; the rest goes to the debug log.
pub(super) fn shortened(error: ProgramError) -> anyhow::Error {
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            let log = verifier_log.to_string();
            tracing::debug!("{log}");
            let statistics = ["processed ", "verification time", "stack depth"];
            let tells =
                |line: &&str| !statistics.iter().any(|start| line.starts_with(start)) && !line.is_empty();
            let last: Vec<_> = log.lines().filter(tells).collect();
            let last = last[last.len().saturating_sub(2)..].join(" / ");
            let error = anyhow::Error::new(io_error);
            if last.is_empty() { error } else { error.context(format!("the verifier says: {last}")) }
        }
        other => other.into(),
    }
}
