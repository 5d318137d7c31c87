//! Reading of the operator's files: the configuration, the web configuration, and the certificates and keys that it names.
//! At most [`FILE_MAX_BYTES`] are read, even from a device such as /dev/zero.

use std::{
    fs,
    io::{self, Read as _},
    path::Path,
};

/// Maximum size of each file.
pub const FILE_MAX_BYTES: u64 = 1 << 20;

/// Reads a file or a pipe.
///
/// # Errors
/// It cannot be read or is larger than [`FILE_MAX_BYTES`].
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_MAX_BYTES {
        return Err(io::Error::other(format!("larger than the maximum of {FILE_MAX_BYTES} bytes")));
    }
    Ok(bytes)
}

/// The text of a file.
///
/// # Errors
/// It is not UTF-8.
pub(super) fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|_| io::Error::other("the file is not UTF-8"))
}

/// Reads a regular file: opening a FIFO would wait for its writer.
///
/// # Errors
/// As [`read`], or the file is not a regular file.
pub fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    read(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_an_end_is_refused() {
        let error = read(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(error.to_string(), "larger than the maximum of 1048576 bytes");
        assert_eq!(read_regular(Path::new("/dev/zero")).unwrap_err().to_string(), "not a regular file");
        assert_eq!(read(Path::new("/dev/null")).unwrap(), b"");
    }
}
