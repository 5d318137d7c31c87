//! Images that clients upload.

use glassbox::{
    config::{Config, Requests},
    snapshot::uploads::{Format, Uploads},
};

use super::{super::probe::ALONE, OK, Server, config};

fn png(width: u32, height: u32) -> Vec<u8> {
    let header = [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", &width.to_be_bytes()[..], &height.to_be_bytes()].concat();
    [header, vec![7; 5000]].concat()
}

/// A JPEG with metadata of this length before its dimensions.
fn jpeg(metadata_bytes: u16) -> Vec<u8> {
    let metadata = vec![0; metadata_bytes.into()];
    let segment = [b"\xff\xd8\xff\xe2", &(metadata_bytes + 2).to_be_bytes()[..], &metadata].concat();
    // 3000 rows of 4000 pixels.
    [&segment[..], b"\xff\xc0\x00\x0c\x08\x0b\xb8\x0f\xa0\x03\0\0\0\0", &[7; 4000]].concat()
}

/// Head and body of an upload as browsers and Gradio's client send it.
fn upload(path: &str, file: &[u8]) -> (String, Vec<u8>) {
    let head = "Content-Disposition: form-data; name=\"files\"; filename=\"a\"\r\nContent-Type: application/octet-stream";
    let field = "Content-Disposition: form-data; name=\"id\"\r\n\r\n1";
    let boundary = "----WebKitFormBoundaryabcdefghijklmnop";
    let start = format!("--{boundary}\r\n{field}\r\n--{boundary}\r\n{head}\r\n\r\n");
    let body = [start.as_bytes(), file, format!("\r\n--{boundary}--\r\n").as_bytes()].concat();
    let head = format!(
        "POST {path} HTTP/1.1\r\nContent-Type: multipart/form-data; boundary={boundary}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    (head, body)
}

#[test]
fn images_are_read_wherever_the_body_begins() {
    let _alone = ALONE.lock();
    let mut server = Server::new();
    let mut wire = server.connect();
    let mut expected = Uploads::default();
    let files = [
        (png(640, 480), Some((Format::Png, Some(640 * 480)))),
        (jpeg(1000), Some((Format::Jpeg, Some(12_000_000)))),
        (jpeg(20_000), Some((Format::Jpeg, None))),
        (vec![0x61; 3000], None),
    ];
    for (file, image) in files {
        for path in ["/upload", "/gradio_api/upload?upload_id=1"] {
            let (head, body) = upload(path, &file);
            // In two segments, and in one.
            wire.client(&head).client(&body).server(OK);
            wire.client([head.as_bytes(), &body].concat()).server(OK);
            for _ in 0..2 {
                match image {
                    Some((format, pixels)) => expected.add(format, pixels),
                    None => expected.others += 1,
                }
            }
        }
        assert_eq!(server.usage().uploads, Some(expected), "{image:?}");
        // The kernel programs send a limited number per second.
        std::thread::sleep(std::time::Duration::from_millis(1100));
    }
    let (head, body) = upload("/other", &png(1, 1));
    wire.client(&head).client(&body).server(OK);
    assert_eq!(server.usage().uploads, Some(expected), "another route");
}

#[test]
fn uploads_are_not_read_by_default() {
    let _alone = ALONE.lock();
    let off = Requests { upload_images: false, ..config().requests };
    let mut server = Server::with(Config { requests: off, ..config() });
    let mut wire = server.connect();
    let (head, body) = upload("/upload", &png(640, 480));
    wire.client(&head).client(&body).server(OK);
    let usage = server.usage();
    assert_eq!((usage.uploads, usage.in_flight), (None, 0));
    assert_eq!(server.counts().completed, 1);
}
