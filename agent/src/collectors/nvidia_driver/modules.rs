//! Parses the kernel programs' reports of loads and unloads of the driver's modules.

use glassbox_ebpf::nvidia_driver::ModuleEvent;

/// A load or an unload of one of the driver's modules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Module {
    /// Its name.
    pub(super) name: String,
    /// True if it was loaded. Its init function may still run.
    pub(super) loaded: bool,
    /// The time, in ns of CLOCK_MONOTONIC.
    pub(super) at_ns: u64,
}

const LOADED: usize = 8;
const NAME: usize = 16;

/// Parses a [`ModuleEvent`]; `None` if the bytes are not a valid event.
pub(super) fn parse(bytes: &[u8]) -> Option<Module> {
    let word = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_ne_bytes);
    let name = bytes.get(NAME..size_of::<ModuleEvent>())?;
    let end = name.iter().position(|&byte| byte == 0).filter(|&end| end > 0)?;
    let name = String::from_utf8_lossy(&name[..end]).into_owned();
    Some(Module { name, loaded: word(LOADED)? != 0, at_ns: word(0)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(at_ns: u64, loaded: u64, name: &[u8]) -> Vec<u8> {
        let mut bytes = [at_ns.to_ne_bytes(), loaded.to_ne_bytes()].concat();
        bytes.extend(name);
        bytes.resize(size_of::<ModuleEvent>(), 0);
        bytes
    }

    #[test]
    fn an_event_has_the_name_of_the_module_and_the_time() {
        for loaded in [true, false] {
            let module = Module { name: "nvidia_uvm".into(), loaded, at_ns: 9 };
            assert_eq!(parse(&bytes(9, loaded.into(), b"nvidia_uvm")), Some(module));
        }
    }

    #[test]
    fn malformed_events_are_rejected() {
        assert_eq!(parse(b""), None);
        assert_eq!(parse(&[0; 16]), None);
        assert_eq!(parse(&bytes(9, 1, b"")), None);
        assert_eq!(parse(&bytes(9, 1, &[b'x'; 56])), None, "not terminated");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(any in proptest::collection::vec(0u8.., 0..80), name in proptest::collection::vec(0u8.., 0..56)) {
            let _ = parse(&any);
            if let Some(module) = parse(&bytes(1, 1, &name)) {
                proptest::prop_assert!(!module.name.is_empty() && !module.name.contains('\0'));
            }
        }
    }
}
