//! The dimensions of an image in the metadata that cameras write (EXIF): a list of tags with a pointer to another list,
//! whose tags `PixelXDimension` and `PixelYDimension` have them.

/// Maximum number of tags of a list that are read.
const TAGS_MAX: u32 = 128;
const EXIF_LIST: u32 = 0x8769;
const WIDTH: u32 = 0xa002;
const HEIGHT: u32 = 0xa003;

/// Width and height, from the content of the segment `APP1`.
pub(super) fn dimensions(content: &[u8]) -> Option<(u32, u32)> {
    let bytes = content.strip_prefix(b"Exif\0\0")?;
    let is_big = match bytes.get(..4)? {
        b"II*\0" => false,
        b"MM\0*" => true,
        _ => return None,
    };
    let tiff = Tiff { bytes, is_big };
    let first = tiff.long(4)?;
    let list = tiff.tag(first, EXIF_LIST)?;
    Some((tiff.tag(list, WIDTH)?, tiff.tag(list, HEIGHT)?))
}

struct Tiff<'a> {
    bytes: &'a [u8],
    is_big: bool,
}

impl Tiff<'_> {
    /// The number in a tag of the list at a position.
    fn tag(&self, list: u32, wanted: u32) -> Option<u32> {
        let count = self.short(list)?.min(TAGS_MAX);
        let first = list.checked_add(2)?;
        (0..count).find_map(|index| {
            let entry = first.checked_add(12 * index)?;
            if self.short(entry)? != wanted {
                return None;
            }
            match self.short(entry.checked_add(2)?)? {
                3 => self.short(entry.checked_add(8)?),
                4 => self.long(entry.checked_add(8)?),
                _ => None,
            }
        })
    }

    fn short(&self, at: u32) -> Option<u32> {
        let bytes = *self.bytes.get(at as usize..)?.first_chunk()?;
        Some(u32::from(if self.is_big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }))
    }

    fn long(&self, at: u32) -> Option<u32> {
        let bytes = *self.bytes.get(at as usize..)?.first_chunk()?;
        Some(if self.is_big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Metadata with one other tag before each that matters.
    fn metadata(is_big: bool, width: u32, height: u32) -> Vec<u8> {
        let short = |value: u16| if is_big { value.to_be_bytes() } else { value.to_le_bytes() };
        let long = |value: u32| if is_big { value.to_be_bytes() } else { value.to_le_bytes() };
        let tag = |tag: u16, value: u32| [&short(tag)[..], &short(4), &long(1), &long(value)].concat();
        let mut bytes = b"Exif\0\0".to_vec();
        bytes.extend_from_slice(if is_big { b"MM\0*" } else { b"II*\0" });
        bytes.extend_from_slice(&long(8));
        // The first list has 2 + 2 * 12 bytes, and the pointer to the next image.
        bytes.extend_from_slice(&short(2));
        bytes.extend_from_slice(&tag(0x010f, 7));
        bytes.extend_from_slice(&tag(EXIF_LIST as u16, 38));
        bytes.extend_from_slice(&long(0));
        bytes.extend_from_slice(&short(3));
        bytes.extend_from_slice(&tag(0x9000, 1));
        bytes.extend_from_slice(&tag(WIDTH as u16, width));
        // A short number is at the beginning of its place.
        bytes.extend_from_slice(
            &[&short(HEIGHT as u16)[..], &short(3), &long(1), &short(height as u16), &[0; 2]].concat(),
        );
        bytes
    }

    #[test]
    fn dimensions_are_in_the_second_list_in_both_byte_orders() {
        for is_big in [false, true] {
            let bytes = metadata(is_big, 4032, 3024);
            assert_eq!(dimensions(&bytes), Some((4032, 3024)));
            assert_eq!(dimensions(&bytes[..bytes.len() - 3]), None, "cut");
        }
        assert_eq!(dimensions(b"http://ns.adobe.com/xap/1.0/\0"), None);
    }

    proptest! {
        #[test]
        fn any_metadata_is_read_without_a_panic(
            is_big in any::<bool>(),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = metadata(is_big, 640, 480);
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes.truncate(cut.index(bytes.len() + 1));
            let _ = dimensions(&bytes);
        }
    }
}
