//! Memory that may not be there: read through the kernel, which reports what cannot be read.

const PAGE_BYTES: usize = 4096;
/// No structure of the driver's is larger.
const MAX_BYTES: usize = 16 * 1024;

/// Up to `bytes` from `address`; fewer if the memory ends before.
pub(crate) fn read(address: usize, bytes: usize) -> Vec<u8> {
    let mut read = vec![0; bytes.min(MAX_BYTES)];
    let mut got = 0;
    // Page by page: a read that crosses into a hole fails as a whole.
    while got < read.len() {
        let from = address.wrapping_add(got);
        let length = (PAGE_BYTES - from % PAGE_BYTES).min(read.len() - got);
        let to = libc::iovec { iov_base: read[got..].as_mut_ptr().cast(), iov_len: length };
        let remote = libc::iovec { iov_base: from as *mut _, iov_len: length };
        // SAFETY: `to` lies in our buffer; the kernel checks the other address.
        let moved =
            unsafe { libc::process_vm_readv(libc::getpid(), &raw const to, 1, &raw const remote, 1, 0) };
        match usize::try_from(moved) {
            Ok(moved @ 1..) => got += moved,
            _ => break,
        }
    }
    read.truncate(got);
    read
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn memory_is_read_up_to_a_hole() {
        let bytes = [1u8, 2, 3];
        assert_eq!(read(bytes.as_ptr() as usize, 3), bytes);
        assert!(read(0, 16).is_empty());
        assert!(read(usize::MAX - 2, 16).is_empty());
    }
}
