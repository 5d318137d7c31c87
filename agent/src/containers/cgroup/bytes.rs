//! Cgroup names as text without loss. The name of a cgroup is any bytes; almost all are UTF-8 and stay as they are. Each byte
//! that is not becomes one character of a range for private use, and the characters of that range become four.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
};

/// The character that stands for the byte 0; that for the byte 255 is the last of Unicode but for two that are not characters.
const FIRST: u32 = 0x10_FE00;
const LAST: u32 = FIRST + 0xFF;

/// The name, or several in a path, as text.
#[must_use]
pub fn text(name: &OsStr) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.as_bytes().utf8_chunks() {
        for character in chunk.valid().chars() {
            if (FIRST..=LAST).contains(&u32::from(character)) {
                text.extend(character.encode_utf8(&mut [0; 4]).bytes().filter_map(stand_in));
            } else {
                text.push(character);
            }
        }
        text.extend(chunk.invalid().iter().copied().filter_map(stand_in));
    }
    text
}

/// The name that [`text`] made the text of.
#[must_use]
pub fn name(text: &str) -> OsString {
    let mut bytes = Vec::with_capacity(text.len());
    for character in text.chars() {
        match u32::from(character).checked_sub(FIRST).and_then(|byte| u8::try_from(byte).ok()) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    OsString::from_vec(bytes)
}

fn stand_in(byte: u8) -> Option<char> {
    char::from_u32(FIRST + u32::from(byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_stays_as_it_is_and_other_bytes_are_kept() {
        assert_eq!(text(OsStr::new(r"/docker\x2dü/a")), r"/docker\x2dü/a");
        let odd = OsStr::from_bytes(b"/a\xFF/b\xC3");
        assert_eq!(text(odd), "/a\u{10FEFF}/b\u{10FEC3}");
        assert_eq!(name(&text(odd)), odd);
        assert_eq!(name(&text(OsStr::new("\u{10FEFF}"))), OsStr::new("\u{10FEFF}"));
    }

    proptest! {
        #[test]
        fn no_two_names_have_one_text(bytes in any::<Vec<u8>>()) {
            let odd = OsString::from_vec(bytes);
            prop_assert_eq!(name(&text(&odd)), odd);
        }

        #[test]
        fn text_without_the_private_range_is_its_own(plain in "[^\u{10FE00}-\u{10FEFF}]*") {
            prop_assert_eq!(text(OsStr::new(&plain)), plain);
        }
    }
}
