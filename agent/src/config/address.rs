//! Parses the address of the HTTP listener.

use std::net::SocketAddr;

/// Parses an IP address and port.
///
/// # Errors
/// Returns the problem, with examples. Host names and missing addresses are rejected because they do not identify an
/// interface.
pub fn parse(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!(
            "{text:?} is not a socket address: use an IP address and a port, such as \"127.0.0.1:9966\" (this host only), \
             \"0.0.0.0:9966\" or \"[::]:9966\" (all interfaces)"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_address_is_rejected_with_an_example() {
        for text in ["localhost:9966", ":9966", "9966", "127.0.0.1", "", "http://127.0.0.1:9966"] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(&format!("{text:?}")) && error.contains("\"127.0.0.1:9966\""), "{error}");
        }
        assert_eq!(parse("[::1]:2").unwrap().port(), 2);
    }
}
