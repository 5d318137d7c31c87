//! Format and dimensions of an image, from its first bytes: PNG, JPEG, WebP, GIF and BMP.
//!
//! A JPEG has its dimensions behind its metadata, often beyond the bytes that are there. A camera writes them into the
//! metadata, too ([`exif`](super::exif)).

use super::exif;
use crate::snapshot::uploads::Format;

/// Images with more pixels are implausible: anyone can write any numbers.
const PIXELS_MAX: u64 = 1 << 30;

/// An image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) format: Format,
    /// Width times height; `None` if the bytes do not contain them.
    pub(super) pixels: Option<u64>,
}

/// Reads an image. `None` if it has none of the formats.
pub(super) fn read(bytes: &[u8]) -> Option<Image> {
    let is = |at: usize, text: &[u8]| bytes.get(at..).is_some_and(|rest| rest.starts_with(text));
    let (format, size) = if is(0, b"\x89PNG\r\n\x1a\n") {
        (Format::Png, if is(12, b"IHDR") { pair(be32(bytes, 16), be32(bytes, 20)) } else { None })
    } else if is(0, b"\xff\xd8\xff") {
        (Format::Jpeg, jpeg(bytes))
    } else if is(0, b"RIFF") && is(8, b"WEBP") {
        (Format::Webp, webp(bytes))
    } else if is(0, b"GIF87a") || is(0, b"GIF89a") {
        (Format::Gif, pair(le16(bytes, 6), le16(bytes, 8)))
    } else if is(0, b"BM") {
        (Format::Bmp, bmp(bytes)?)
    } else {
        return None;
    };
    let pixels = size.map(|(width, height)| u64::from(width) * u64::from(height));
    Some(Image { format, pixels: pixels.filter(|pixels| (1..=PIXELS_MAX).contains(pixels)) })
}

/// Width and height.
type Size = Option<(u32, u32)>;

fn pair(width: Option<u32>, height: Option<u32>) -> Size {
    width.zip(height)
}

/// Goes from segment to segment.
fn jpeg(bytes: &[u8]) -> Size {
    let (mut at, mut of_camera) = (2, None);
    while let Some(&[mark, kind]) = bytes.get(at..at + 2) {
        if mark != 0xff {
            return of_camera;
        }
        match kind {
            // Padding, and segments without a length.
            0xff => at += 1,
            0x01 | 0xd0..=0xd8 => at += 2,
            0xc0..=0xcf if !matches!(kind, 0xc4 | 0xc8 | 0xcc) => {
                return pair(be16(bytes, at + 7), be16(bytes, at + 5)).or(of_camera);
            }
            // Data or the end, without dimensions before.
            0xd9 | 0xda => return of_camera,
            _ => {
                let Some(length) = be16(bytes, at + 2) else { return of_camera };
                if kind == 0xe1 {
                    let content = &bytes[(at + 4).min(bytes.len())..];
                    of_camera = of_camera.or(exif::dimensions(content));
                }
                // A length includes its own two bytes.
                at += 2 + (length as usize).max(2);
            }
        }
    }
    of_camera
}

fn webp(bytes: &[u8]) -> Size {
    match bytes.get(12..16)? {
        b"VP8 " if bytes.get(23..26)? == b"\x9d\x01\x2a" => {
            pair(Some(le16(bytes, 26)? & 0x3fff), Some(le16(bytes, 28)? & 0x3fff))
        }
        b"VP8L" if *bytes.get(20)? == 0x2f => {
            let bits = le32(bytes, 21)?;
            Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
        }
        b"VP8X" => Some(((le32(bytes, 24)? & 0xff_ffff) + 1, (le32(bytes, 26)? >> 8) + 1)),
        _ => None,
    }
}

/// `None` if it is no BMP: two letters are little evidence.
fn bmp(bytes: &[u8]) -> Option<Size> {
    let header_bytes = le32(bytes, 14)?;
    match header_bytes {
        12 => Some(pair(le16(bytes, 18), le16(bytes, 20))),
        // The height is negative if the first row is the top one.
        40..=124 => {
            Some(pair(le32(bytes, 18), le32(bytes, 22).map(|height| height.cast_signed().unsigned_abs())))
        }
        _ => None,
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn le16(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(|bytes| u16::from_le_bytes(bytes).into())
}

fn be16(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(|bytes| u16::from_be_bytes(bytes).into())
}

fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_be_bytes)
}

#[cfg(test)]
mod tests;
