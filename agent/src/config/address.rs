//! The listener's address: how it is written.

use std::net::SocketAddr;

/// Reads an address and port.
///
/// # Errors
/// What is wrong, with examples: host names and missing addresses are not accepted, because it would not be clear which
/// interface they mean.
pub fn parse(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!(
            "{text:?} is no socket address: write an IP address and a port, such as \"127.0.0.1:9966\" (this host only), \
             \"0.0.0.0:9966\" or \"[::]:9966\" (every interface)"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_refused_with_an_example() {
        for text in ["localhost:9966", ":9966", "9966", "127.0.0.1", "", "http://127.0.0.1:9966"] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(&format!("{text:?}")) && error.contains("\"127.0.0.1:9966\""), "{error}");
        }
        assert_eq!(parse("[::1]:2").unwrap().port(), 2);
    }
}
