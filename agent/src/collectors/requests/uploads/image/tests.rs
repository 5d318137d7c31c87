use proptest::prelude::*;

use super::*;

fn image(format: Format, pixels: u64) -> Option<Image> {
    Some(Image { format, pixels: Some(pixels) })
}

fn png(width: u32, height: u32) -> Vec<u8> {
    [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", &width.to_be_bytes()[..], &height.to_be_bytes()].concat()
}

fn segment(kind: u8, content: &[u8]) -> Vec<u8> {
    [&[0xff, kind][..], &(content.len() as u16 + 2).to_be_bytes(), content].concat()
}

fn jpeg_of(segments: &[Vec<u8>]) -> Vec<u8> {
    [b"\xff\xd8".to_vec(), segments.concat()].concat()
}

/// Start of the frame: precision, height, width, components.
fn frame(kind: u8, width: u16, height: u16) -> Vec<u8> {
    segment(kind, &[&[8][..], &height.to_be_bytes(), &width.to_be_bytes(), &[3; 10]].concat())
}

fn webp_of(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    [b"RIFF\0\0\0\0WEBP", &kind[..], &[0; 4], content].concat()
}

#[test]
fn each_format_has_its_dimensions() {
    assert_eq!(read(&png(1920, 1080)), image(Format::Png, 1920 * 1080));
    assert_eq!(read(b"GIF89a\x40\x01\xf0\x00..."), image(Format::Gif, 320 * 240));
    let header = |size: u32, rest: &[u8]| [b"BM............", &size.to_le_bytes()[..], rest].concat();
    assert_eq!(read(&header(12, &[3, 0, 2, 0])), image(Format::Bmp, 6));
    let top_down = [640_i32.to_le_bytes(), (-480_i32).to_le_bytes()].concat();
    assert_eq!(read(&header(40, &top_down)), image(Format::Bmp, 640 * 480));
    assert_eq!(read(&header(9, &top_down)), None, "no BMP");
    let lossy = webp_of(b"VP8 ", b"\x30\x01\x00\x9d\x01\x2a\x80\x02\xe0\x41");
    assert_eq!(read(&lossy), image(Format::Webp, 640 * 480), "the upper bits are a scale");
    let bits = (640_u32 - 1) | (480 - 1) << 14;
    let lossless = webp_of(b"VP8L", &[&[0x2f][..], &bits.to_le_bytes()].concat());
    assert_eq!(read(&lossless), image(Format::Webp, 640 * 480));
    let extended = webp_of(b"VP8X", b"\x10\0\0\0\x7f\x02\0\xdf\x01\0");
    assert_eq!(read(&extended), image(Format::Webp, 640 * 480));
}

#[test]
fn a_jpeg_is_read_through_its_segments() {
    let thumbnail = frame(0xc0, 160, 120);
    let app0 = segment(0xe0, &[b"JFIF\0", &thumbnail[..]].concat());
    let tables = segment(0xc4, &[1; 40]);
    for kind in [0xc0, 0xc1, 0xc2, 0xcf] {
        let bytes = jpeg_of(&[app0.clone(), vec![0xff], tables.clone(), frame(kind, 4000, 3000)]);
        assert_eq!(read(&bytes), image(Format::Jpeg, 12_000_000), "not the thumbnail");
    }
    let unknown = Some(Image { format: Format::Jpeg, pixels: None });
    let long = jpeg_of(&[segment(0xe2, &[0; 3000]), frame(0xc0, 4000, 3000)]);
    assert_eq!(read(&long[..2048]), unknown, "beyond the bytes");
    assert_eq!(read(&jpeg_of(&[segment(0xda, &[0; 8]), frame(0xc0, 9, 9)])), unknown, "within the data");
    assert_eq!(read(b"\xff\xd8\xff\xe0\x00\x00\x00"), unknown, "a length that is too short");
    assert_eq!(read(&jpeg_of(&[frame(0xc0, 4000, 0)])), unknown, "the height follows the data");
}

#[test]
fn implausible_dimensions_are_unknown_and_other_files_are_no_images() {
    assert_eq!(read(&png(u32::MAX, u32::MAX)), Some(Image { format: Format::Png, pixels: None }));
    assert_eq!(read(&png(0, 5)), Some(Image { format: Format::Png, pixels: None }));
    assert_eq!(read(&png(5, 5)[..20]), Some(Image { format: Format::Png, pixels: None }), "cut");
    for bytes in [&b""[..], b"\x89PN", b"%PDF-1.7", b"BM", b"RIFF\0\0\0\0WAVE", b"\0\0\0\x18ftypheic"] {
        assert_eq!(read(bytes), None, "{bytes:?}");
    }
}

fn starts() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"\x89PNG\r\n\x1a\n".to_vec()),
        Just(b"\xff\xd8\xff".to_vec()),
        Just(b"\xff\xd8\xff\xe1\x00\x80Exif\0\0II*\0\x08\0\0\0".to_vec()),
        Just(b"\xff\xd8\xff\xe1\x00\x80Exif\0\0MM\0*\0\0\0\x08".to_vec()),
        Just(b"RIFF\0\0\0\0WEBPVP8 ".to_vec()),
        Just(b"RIFF\0\0\0\0WEBPVP8L".to_vec()),
        Just(b"RIFF\0\0\0\0WEBPVP8X".to_vec()),
        Just(b"GIF89a".to_vec()),
        Just(b"BM............\x28\0\0\0".to_vec()),
        Just(Vec::new()),
    ]
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic_and_have_plausible_dimensions(
        start in starts(),
        rest in proptest::collection::vec(prop_oneof![Just(0xff_u8), Just(0), Just(0xe1), any::<u8>()], 0..400),
    ) {
        if let Some(Image { pixels: Some(pixels), .. }) = read(&[start, rest].concat()) {
            prop_assert!((1..=PIXELS_MAX).contains(&pixels));
        }
    }

    #[test]
    fn any_dimensions_are_read_back(width in 1_u16.., height in 1_u16..) {
        let pixels = u64::from(width) * u64::from(height);
        let expected = (pixels <= PIXELS_MAX).then_some(pixels);
        let of = |bytes: &[u8]| read(bytes).and_then(|image| image.pixels);
        prop_assert_eq!(of(&png(width.into(), height.into())), expected);
        prop_assert_eq!(of(&jpeg_of(&[frame(0xc2, width, height)])), expected);
    }
}
