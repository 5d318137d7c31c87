//! Content negotiation: whether a client accepts gzip.

use axum::http::{HeaderMap, header::ACCEPT_ENCODING};

/// True if `Accept-Encoding` accepts gzip: it contains gzip or `*` with a weight above 0. Invalid values are ignored.
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    let mut any = false;
    for value in headers.get_all(ACCEPT_ENCODING) {
        let Ok(value) = value.to_str() else { continue };
        for item in value.split(',') {
            let mut parts = item.split(';').map(str::trim);
            let coding = parts.next().unwrap_or_default();
            let refused = parts.any(is_weight_zero);
            if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") {
                return !refused;
            }
            any |= coding == "*" && !refused;
        }
    }
    any
}

/// True for `q=0`, `q=0.000` and so on, and for a weight that is not a number.
fn is_weight_zero(parameter: &str) -> bool {
    let Some((name, weight)) = parameter.split_once('=') else { return false };
    name.trim().eq_ignore_ascii_case("q") && !weight.trim().parse::<f32>().is_ok_and(|weight| weight > 0.0)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn takes(values: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(ACCEPT_ENCODING, HeaderValue::from_str(value).unwrap());
        }
        takes_gzip(&headers)
    }

    #[test]
    fn gzip_is_accepted_if_the_header_contains_gzip_or_a_wildcard() {
        for value in ["gzip", "GZIP", "deflate, gzip", "gzip;q=0.5", "*", "br;q=1, *;q=0.1", "x-gzip"] {
            assert!(takes(&[value]), "{value}");
        }
        assert!(takes(&["br", "gzip"]));
    }

    #[test]
    fn gzip_is_not_accepted_if_the_header_rejects_or_omits_it() {
        for value in
            ["", "br", "identity", "gzip;q=0", "gzip; q=0.000, *", "*;q=0", "gzip;q=x", "gzipped", ",;,q=1"]
        {
            assert!(!takes(&[value]), "{value}");
        }
        assert!(!takes(&[]));
    }
}
