//! Tests with hand-made blobs, one rule per blob, and with this kernel's own BTF.

use super::*;

const INT: u32 = 1;
const POINTER: u32 = 2;
const TYPEDEF: u32 = 8;
const CONST: u32 = 10;
const TYPE_TAG: u32 = 18;

/// Builds a blob type by type. IDs count from 1, in the order of the calls.
struct Blob {
    types: Vec<u8>,
    strings: Vec<u8>,
    count: u32,
}

impl Blob {
    fn new() -> Self {
        Self { types: Vec::new(), strings: vec![0], count: 0 }
    }

    fn string(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let at = self.strings.len() as u32;
        self.strings.extend_from_slice(text.as_bytes());
        self.strings.push(0);
        at
    }

    fn words(&mut self, words: &[u32]) {
        for word in words {
            self.types.extend_from_slice(&word.to_le_bytes());
        }
    }

    fn plain(&mut self, kind: u32, name: &str, target: u32) -> u32 {
        let name = self.string(name);
        self.words(&[name, kind << 24, target]);
        if kind == INT {
            self.words(&[32]);
        }
        self.count += 1;
        self.count
    }

    /// Members are (name, type, offset word).
    fn composite(&mut self, kind: u32, name: &str, flag: bool, members: &[(&str, u32, u32)]) -> u32 {
        let name = self.string(name);
        let info = kind << 24 | u32::from(flag) << 31 | members.len() as u32;
        let members: Vec<_> = members.iter().map(|&(n, t, o)| [self.string(n), t, o]).collect();
        self.words(&[name, info, 64]);
        for member in members {
            self.words(&member);
        }
        self.count += 1;
        self.count
    }

    fn finish(self) -> Vec<u8> {
        let mut blob = vec![0x9f, 0xeb, 1, 0];
        for word in [24, 0, self.types.len() as u32, self.types.len() as u32, self.strings.len() as u32] {
            blob.extend_from_slice(&word.to_le_bytes());
        }
        blob.extend(self.types);
        blob.extend(self.strings);
        blob
    }
}

fn structure(members: &[(&str, u32, u32)]) -> Vec<u8> {
    let mut blob = Blob::new();
    blob.plain(INT, "int", 4);
    blob.composite(kind::STRUCT, "task", false, members);
    blob.finish()
}

#[test]
fn a_member_is_found_at_its_byte_offset() {
    let blob = structure(&[("pid", 1, 0), ("tgid", 1, 32)]);
    let btf = Btf::parse(&blob).unwrap();
    assert_eq!(btf.member("task", "pid"), Member::At(0));
    assert_eq!(btf.member("task", "tgid"), Member::At(4));
}

#[test]
fn an_absent_member_differs_from_an_absent_structure() {
    let blob = structure(&[("pid", 1, 0)]);
    let btf = Btf::parse(&blob).unwrap();
    assert_eq!(btf.member("task", "state"), Member::Absent);
    assert_eq!(btf.member("nothing", "state"), Member::NoStructure);
}

#[test]
fn members_of_anonymous_unions_and_structures_count_as_members_of_the_parent() {
    let mut blob = Blob::new();
    blob.plain(INT, "int", 4);
    let inner = blob.composite(kind::STRUCT, "", false, &[("a", 1, 0), ("b", 1, 32)]);
    let union = blob.composite(kind::UNION, "", false, &[("", inner, 0), ("c", 1, 0)]);
    blob.composite(kind::STRUCT, "outer", false, &[("head", 1, 0), ("", union, 64)]);
    let blob = blob.finish();
    let btf = Btf::parse(&blob).unwrap();
    assert_eq!(btf.member("outer", "b"), Member::At(12));
    assert_eq!(btf.member("outer", "c"), Member::At(8));
}

#[test]
fn paths_lead_through_wrapper_types_but_never_through_pointers() {
    let mut blob = Blob::new();
    blob.plain(INT, "int", 4);
    let info = blob.composite(kind::STRUCT, "info", false, &[("delay", 1, 32)]);
    let typedef = blob.plain(TYPEDEF, "info_t", info);
    let constant = blob.plain(CONST, "", typedef);
    let tagged = blob.plain(TYPE_TAG, "rcu", constant);
    let pointer = blob.plain(POINTER, "", info);
    blob.composite(kind::STRUCT, "task", false, &[("near", tagged, 64), ("far", pointer, 128)]);
    let blob = blob.finish();
    let btf = Btf::parse(&blob).unwrap();
    assert_eq!(btf.member("task", "near.delay"), Member::At(12));
    assert_eq!(btf.member("task", "far"), Member::At(16));
    assert_eq!(btf.member("task", "far.delay"), Member::Absent);
}

#[test]
fn bitfields_have_no_byte_offset_but_members_beside_them_do() {
    let mut blob = Blob::new();
    blob.plain(INT, "int", 4);
    blob.composite(
        kind::STRUCT,
        "flags",
        true,
        &[("one", 1, 1 << 24), ("three", 1, 3 << 24 | 1), ("whole", 1, 64)],
    );
    let blob = blob.finish();
    let btf = Btf::parse(&blob).unwrap();
    assert_eq!(btf.member("flags", "one"), Member::Ambiguous);
    assert_eq!(btf.member("flags", "three"), Member::Ambiguous);
    assert_eq!(btf.member("flags", "whole"), Member::At(8));
}

#[test]
fn structures_of_the_same_name_must_agree_on_an_offset() {
    let mut blob = Blob::new();
    blob.plain(INT, "int", 4);
    blob.composite(kind::STRUCT, "twin", false, &[("same", 1, 0), ("other", 1, 32)]);
    blob.composite(kind::STRUCT, "twin", false, &[("same", 1, 0), ("other", 1, 64)]);
    blob.composite(kind::STRUCT, "twin", false, &[("lone", 1, 96)]);
    let blob = blob.finish();
    let btf = Btf::parse(&blob).unwrap();
    assert_eq!(btf.member("twin", "same"), Member::At(0));
    assert_eq!(btf.member("twin", "other"), Member::Ambiguous);
    assert_eq!(btf.member("twin", "lone"), Member::At(12));
}

#[test]
fn a_look_up_in_a_structure_that_contains_itself_ends() {
    let mut blob = Blob::new();
    blob.composite(kind::STRUCT, "loop", false, &[("", 1, 0)]);
    blob.plain(TYPEDEF, "turn", 2);
    let blob = blob.finish();
    let btf = Btf::parse(&blob).unwrap();
    assert_eq!(btf.member("loop", "x"), Member::Absent);
    assert_eq!(btf.unwrapped(2), None);
}

#[test]
fn damaged_blobs_are_errors() {
    assert_eq!(Btf::parse(b"").err(), Some(BtfError::Magic));
    assert_eq!(Btf::parse(b"\x7fELF").err(), Some(BtfError::Magic));
    let mut blob = Blob::new();
    blob.plain(30, "", 0);
    assert_eq!(Btf::parse(&blob.finish()).err(), Some(BtfError::UnknownKind(30)));
    let whole = structure(&[("pid", 1, 0)]);
    for length in 2..whole.len() {
        assert!(matches!(Btf::parse(&whole[..length]), Err(BtfError::Truncated(_))), "{length}");
    }
}

proptest::proptest! {
    #[test]
    fn damaged_bytes_never_cause_a_panic(mut bytes in proptest::collection::vec(0u8.., 0..400), root in 0usize..400) {
        let _ = Btf::parse(&bytes);
        let mut blob = structure(&[("pid", 1, 0), ("", 2, 32)]);
        bytes.truncate(blob.len() - 24);
        let at = 24 + root % (blob.len() - 24);
        for (place, byte) in blob[at..].iter_mut().zip(bytes) { *place = byte; }
        if let Ok(btf) = Btf::parse(&blob) {
            let _ = btf.member("task", "pid.x");
        }
    }
}

#[test]
fn members_are_found_in_the_btf_of_this_kernel() {
    let Ok(blob) = std::fs::read("/sys/kernel/btf/vmlinux") else {
        eprintln!("SKIP members_are_found_in_the_btf_of_this_kernel: this kernel has no BTF");
        return;
    };
    let btf = Btf::parse(&blob).unwrap();
    assert!(matches!(btf.member("task_struct", "pid"), Member::At(1..)));
    assert!(matches!(btf.member("css_set", "dfl_cgrp"), Member::At(1..)));
    assert_eq!(btf.member("task_struct", "no_such_member"), Member::Absent);
}
