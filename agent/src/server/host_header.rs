//! Checks the `Host` header, as a protection against DNS rebinding: a web page can make a browser on this host send
//! requests to a loopback address under the page's own host name, and then read the responses. The `Host` header of
//! such a request contains the foreign name, so requests with foreign names are rejected. An IP address cannot be
//! rebound and is always accepted. Pure.

use std::net::{IpAddr, SocketAddr};

use hyper::{Request, StatusCode, Version, header::HOST};

/// The accepted host names.
#[derive(Clone, Debug)]
pub(super) struct HostPolicy {
    /// False if every name is accepted: the listener is not on a loopback address and no names are configured.
    enforced: bool,
    /// Lower-case names, without a port or a trailing dot.
    allowed: Vec<String>,
}

impl HostPolicy {
    /// The policy of a listener. Names in `allowed` are accepted in addition to `localhost` and IP addresses.
    pub(super) fn new(listener: Option<SocketAddr>, allowed: &[String]) -> Self {
        let loopback = listener.is_some_and(|listener| listener.ip().is_loopback());
        let allowed: Vec<_> = allowed.iter().map(|name| normalized(name)).collect();
        Self { enforced: loopback || !allowed.is_empty(), allowed }
    }

    /// The status and message of the response if the request is rejected; `None` if it is accepted.
    pub(super) fn refusal<B>(&self, request: &Request<B>) -> Option<(StatusCode, &'static str)> {
        if !self.enforced {
            return None;
        }
        let named = request.uri().authority().map(|authority| authority.as_str().as_bytes());
        let headers = request.headers().get_all(HOST);
        let mut names =
            named.into_iter().chain(headers.iter().map(hyper::http::HeaderValue::as_bytes)).peekable();
        if names.peek().is_none() && request.version() >= Version::HTTP_11 {
            return Some((StatusCode::BAD_REQUEST, "an HTTP/1.1 request needs a Host header\n"));
        }
        let refused = !names.all(|name| std::str::from_utf8(name).is_ok_and(|name| self.allows(name)));
        refused.then_some((
            StatusCode::MISDIRECTED_REQUEST,
            "this host name is not served: use localhost or an IP address, or add the name to server.allowed_hosts\n",
        ))
    }

    /// True for `localhost`, an IP address or a configured name, with or without a port.
    fn allows(&self, host: &str) -> bool {
        let Some(name) = without_port(host) else { return false };
        let literal = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        if let Some(literal) = literal {
            return literal.parse().is_ok_and(|address: IpAddr| address.is_ipv6());
        }
        if name.parse().is_ok_and(|address: IpAddr| address.is_ipv4()) {
            return true;
        }
        let name = normalized(name);
        name == "localhost" || self.allowed.contains(&name)
    }
}

/// Host names are case-insensitive, and may end in a dot if they are fully qualified.
fn normalized(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// The host without its port; `None` if the part after the last colon is not a port.
fn without_port(host: &str) -> Option<&str> {
    let end_of_literal = host.rfind(']').map_or(0, |at| at + 1);
    let (name, port) = match host[end_of_literal..].rfind(':') {
        None => return Some(host),
        Some(at) => (&host[..end_of_literal + at], &host[end_of_literal + at + 1..]),
    };
    let plain = port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
    plain.then_some(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LOOPBACK: &str = "127.0.0.1:9966";

    fn policy(listener: &str, allowed: &[&str]) -> HostPolicy {
        let allowed: Vec<_> = allowed.iter().map(|name| (*name).to_owned()).collect();
        HostPolicy::new(Some(listener.parse().unwrap()), &allowed)
    }

    fn request(uri: &str, hosts: &[&str]) -> Request<()> {
        let mut request = Request::builder().uri(uri);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        request.body(()).unwrap()
    }

    fn status(policy: &HostPolicy, uri: &str, hosts: &[&str]) -> Option<u16> {
        policy.refusal(&request(uri, hosts)).map(|(status, _)| status.as_u16())
    }

    #[test]
    fn a_loopback_listener_serves_localhost_addresses_and_configured_names() {
        let policy = policy(LOOPBACK, &["Metrics.Example."]);
        for host in [
            "localhost",
            "LOCALHOST:9966",
            "localhost.",
            "127.0.0.1",
            "127.0.0.1:9966",
            "127.8.9.1:1",
            "[::1]",
            "[::1]:9966",
            "10.1.2.3:9966",
            "metrics.example",
            "METRICS.example:9966",
        ] {
            assert_eq!(status(&policy, "/metrics", &[host]), None, "{host}");
        }
        for host in [
            "evil",
            "evil:9966",
            "",
            "localhost.evil",
            "evil.localhost.com",
            "127.0.0.1.evil",
            "127.0.0.1:x",
            "127.0.0.1:",
            "localhost:9966:1",
            "[::1",
            "[127.0.0.1]",
            "::1",
            "localhost evil",
            "[::1]evil",
            "user@localhost",
        ] {
            // The grammar of URIs allows an empty port.
            let expected = if host == "127.0.0.1:" { None } else { Some(421) };
            assert_eq!(status(&policy, "/metrics", &[host]), expected, "{host:?}");
        }
    }

    #[test]
    fn every_host_name_in_a_request_is_checked() {
        let policy = policy(LOOPBACK, &[]);
        assert_eq!(status(&policy, "http://evil/metrics", &["localhost"]), Some(421));
        assert_eq!(status(&policy, "http://localhost/metrics", &["evil"]), Some(421));
        assert_eq!(status(&policy, "/metrics", &["localhost", "evil"]), Some(421));
        assert_eq!(status(&policy, "http://localhost:9966/metrics", &["127.0.0.1"]), None);
    }

    #[test]
    fn only_http_1_0_requests_may_omit_the_host() {
        let policy = policy(LOOPBACK, &[]);
        let mut request = request("/metrics", &[]);
        assert_eq!(policy.refusal(&request).unwrap().0, StatusCode::BAD_REQUEST);
        *request.version_mut() = Version::HTTP_10;
        assert_eq!(policy.refusal(&request), None);
    }

    #[test]
    fn other_listeners_serve_any_name_unless_names_are_configured() {
        assert_eq!(status(&policy("0.0.0.0:9966", &[]), "/metrics", &["node-7"]), None);
        let strict = policy("0.0.0.0:9966", &["node-7"]);
        assert_eq!(status(&strict, "/metrics", &["node-7:9966"]), None);
        assert_eq!(status(&strict, "/metrics", &["evil"]), Some(421));
    }

    proptest! {
        #[test]
        fn no_host_panics_and_only_our_names_are_served(host in "\\PC{0,40}", junk in "[a-z0-9.:\\[\\]-]{0,30}") {
            let policy = policy(LOOPBACK, &[]);
            for host in [host.as_str(), junk.as_str()] {
                if policy.allows(host) {
                    let name = without_port(host).unwrap().trim_matches(['[', ']']).to_ascii_lowercase();
                    let ours = name.parse::<IpAddr>().is_ok() || ["localhost", "localhost."].contains(&&*name);
                    prop_assert!(ours, "{host:?}");
                }
            }
        }

        #[test]
        fn every_ip_address_is_served(address: IpAddr, port: Option<u16>) {
            let policy = policy(LOOPBACK, &[]);
            let host = match address { IpAddr::V4(_) => address.to_string(), IpAddr::V6(_) => format!("[{address}]") };
            let host = port.map_or(host.clone(), |port| format!("{host}:{port}"));
            prop_assert!(policy.allows(&host), "{}", host);
        }
    }
}
