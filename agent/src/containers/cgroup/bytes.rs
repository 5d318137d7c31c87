//! Lossless conversion of cgroup names to text. A cgroup name can contain any bytes; almost all names are UTF-8 and
//! stay unchanged. Each byte that is not UTF-8 becomes one character of a private-use range, and each character of that
//! range becomes four.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
};

/// The character for byte 0. The character for byte 255 is the last one of Unicode, apart from two noncharacters.
const FIRST: u32 = 0x10_FE00;
const LAST: u32 = FIRST + 0xFF;

/// Converts a name, or a path of names, to text.
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

/// Converts the result of [`text`] back to the name.
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
    fn utf_8_names_stay_unchanged_and_other_bytes_are_kept() {
        assert_eq!(text(OsStr::new(r"/docker\x2dü/a")), r"/docker\x2dü/a");
        let odd = OsStr::from_bytes(b"/a\xFF/b\xC3");
        assert_eq!(text(odd), "/a\u{10FEFF}/b\u{10FEC3}");
        assert_eq!(name(&text(odd)), odd);
        assert_eq!(name(&text(OsStr::new("\u{10FEFF}"))), OsStr::new("\u{10FEFF}"));
    }

    proptest! {
        #[test]
        fn different_names_have_different_texts(bytes in any::<Vec<u8>>()) {
            let odd = OsString::from_vec(bytes);
            prop_assert_eq!(name(&text(&odd)), odd);
        }

        #[test]
        fn text_without_the_private_range_stays_unchanged(plain in "[^\u{10FE00}-\u{10FEFF}]*") {
            prop_assert_eq!(text(OsStr::new(&plain)), plain);
        }
    }
}
