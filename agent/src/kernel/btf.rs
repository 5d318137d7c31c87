//! Parses raw BTF and looks up the byte offsets of structure members.
//!
//! Source: /sys/kernel/btf/vmlinux (CONFIG_DEBUG_INFO_BTF, 5.4), some 5 MB and 130,000 types. Parsing takes 5 to 8 ms,
//! so the file is read and parsed once, and then dropped. Format: <https://docs.kernel.org/bpf/btf.html>. The input is
//! untrusted: a damaged blob is an error, never a panic.

use std::collections::HashMap;

/// Why BTF could not be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BtfError {
    /// The blob is not BTF, or has the other byte order.
    #[error("not BTF: it does not begin with the bytes 9f eb")]
    Magic,
    /// A section or a type extends past the end.
    #[error("BTF is truncated at byte {0}")]
    Truncated(usize),
    /// The blob contains an unknown kind of type, so the types after it cannot be found.
    #[error("BTF contains a type of unknown kind {0}")]
    UnknownKind(u32),
}

/// The result of a member lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member {
    /// The member starts at this byte.
    At(u32),
    /// The structure exists but has no such member.
    Absent,
    /// There is no such structure.
    NoStructure,
    /// The member is a bitfield, or structures of the same name have it at different offsets.
    Ambiguous,
}

mod kind {
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    /// typedef, volatile, const, restrict and type tag. Each of them only wraps another type.
    pub(super) const WRAPPERS: [u32; 5] = [8, 9, 10, 11, 18];
}

const TYPE_BYTES: usize = 12;
const MEMBER_BYTES: usize = 12;
/// Maximum nesting depth, and maximum length of a chain of typedefs. No kernel exceeds it; a damaged blob with a loop
/// does.
const MOST_NESTED: usize = 32;

/// A parsed blob, which borrows the bytes.
pub struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Offset of each type in `types`; type 0 is void.
    starts: Vec<u32>,
    /// Type IDs of structures and unions, by name.
    structures: HashMap<&'a [u8], Vec<u32>>,
}

struct Type {
    name: u32,
    kind: u32,
    length: usize,
    /// True if member offsets contain bitfield sizes.
    flag: bool,
    target: u32,
}

fn word(bytes: &[u8], at: usize) -> Result<u32, BtfError> {
    let end = at.checked_add(4).ok_or(BtfError::Truncated(at))?;
    match bytes.get(at..end) {
        Some(&[a, b, c, d]) => Ok(u32::from_le_bytes([a, b, c, d])),
        _ => Err(BtfError::Truncated(at)),
    }
}

fn section(blob: &[u8], header: usize, offset: u32, length: u32) -> Result<&[u8], BtfError> {
    let start = header.saturating_add(offset as usize);
    let end = start.saturating_add(length as usize);
    blob.get(start..end).ok_or(BtfError::Truncated(blob.len()))
}

impl<'a> Btf<'a> {
    /// Parses a little-endian blob.
    ///
    /// # Errors
    /// [`BtfError`] if the bytes are not complete BTF.
    pub fn parse(blob: &'a [u8]) -> Result<Self, BtfError> {
        if blob.get(..2) != Some(&[0x9f, 0xeb]) {
            return Err(BtfError::Magic);
        }
        let header = word(blob, 4)? as usize;
        let types = section(blob, header, word(blob, 8)?, word(blob, 12)?)?;
        let strings = section(blob, header, word(blob, 16)?, word(blob, 20)?)?;
        let mut btf = Self { types, strings, starts: vec![0], structures: HashMap::new() };
        let mut at = 0;
        while at < types.len() {
            let id = btf.starts.len() as u32;
            btf.starts.push(at as u32);
            let this = btf.type_at(at)?;
            if matches!(this.kind, kind::STRUCT | kind::UNION) && this.name != 0 {
                btf.structures.entry(btf.string(this.name)).or_default().push(id);
            }
            at += TYPE_BYTES
                + match this.kind {
                    1 | 14 | 17 => 4,                    // int, variable, declaration tag
                    3 => 12,                             // array
                    4 | 5 | 15 | 19 => this.length * 12, // structure, union, data section, 64-bit enumeration
                    6 | 13 => this.length * 8,           // enumeration, function prototype
                    2 | 7..=12 | 16 | 18 => 0,           // pointer, forward, wrappers, function, float
                    unknown => return Err(BtfError::UnknownKind(unknown)),
                };
            if at > types.len() {
                return Err(BtfError::Truncated(at));
            }
        }
        Ok(btf)
    }

    /// The location of `path` in the structure or union `root`. Dots in a path lead into embedded structures
    /// (`sched_info.run_delay`), never through pointers. Members of anonymous structures and unions count as members of
    /// their parent, as in C.
    #[must_use]
    pub fn member(&self, root: &str, path: &str) -> Member {
        let Some(ids) = self.structures.get(root.as_bytes()) else {
            return Member::NoStructure;
        };
        let mut found = Member::Absent;
        for &id in ids {
            let here = match self.walk(id, path) {
                Some((bits, bitfield)) if bitfield || bits % 8 != 0 => Member::Ambiguous,
                Some((bits, _)) => Member::At(bits / 8),
                None => continue,
            };
            if found != Member::Absent && found != here {
                return Member::Ambiguous;
            }
            found = here;
        }
        found
    }

    /// The offset of a member in bits, and whether the member is a bitfield.
    fn walk(&self, root: u32, path: &str) -> Option<(u32, bool)> {
        let mut id = root;
        let mut bits = 0u32;
        let mut bitfield = false;
        for part in path.split('.') {
            let (offset, is_bitfield, target) = self.find(self.unwrapped(id)?, part.as_bytes(), 0)?;
            bits = bits.checked_add(offset)?;
            bitfield = is_bitfield;
            id = target;
        }
        Some((bits, bitfield))
    }

    fn find(&self, id: u32, name: &[u8], depth: usize) -> Option<(u32, bool, u32)> {
        let start = *self.starts.get(id as usize)? as usize;
        let this = self.type_at(start).ok()?;
        if depth > MOST_NESTED || id == 0 || !matches!(this.kind, kind::STRUCT | kind::UNION) {
            return None;
        }
        for index in 0..this.length {
            let at = start + TYPE_BYTES + index * MEMBER_BYTES;
            let member_name = word(self.types, at).ok()?;
            let target = word(self.types, at + 4).ok()?;
            let raw = word(self.types, at + 8).ok()?;
            let (offset, bitfield) = if this.flag { (raw & 0xff_ffff, raw >> 24 != 0) } else { (raw, false) };
            if member_name == 0 {
                let inner = self.unwrapped(target).and_then(|inner| self.find(inner, name, depth + 1));
                if let Some((within, bitfield, target)) = inner {
                    return Some((offset.checked_add(within)?, bitfield, target));
                }
            } else if self.string(member_name) == name {
                return Some((offset, bitfield, target));
            }
        }
        None
    }

    fn unwrapped(&self, mut id: u32) -> Option<u32> {
        for _ in 0..MOST_NESTED {
            let this = self.type_at(*self.starts.get(id as usize)? as usize).ok()?;
            if id == 0 || !kind::WRAPPERS.contains(&this.kind) {
                return Some(id);
            }
            id = this.target;
        }
        None
    }

    fn type_at(&self, at: usize) -> Result<Type, BtfError> {
        let info = word(self.types, at + 4)?;
        Ok(Type {
            name: word(self.types, at)?,
            kind: info >> 24 & 0x1f,
            length: (info & 0xffff) as usize,
            flag: info >> 31 == 1,
            target: word(self.types, at + 8)?,
        })
    }

    fn string(&self, offset: u32) -> &'a [u8] {
        let rest = self.strings.get(offset as usize..).unwrap_or_default();
        rest.split(|&byte| byte == 0).next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
