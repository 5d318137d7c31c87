use std::fs;

use super::{file::FILE_MAX_BYTES, *};

const HASH: &str = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG";

fn refused(text: &str) -> String {
    WebConfig::parse(text).unwrap_err().to_string()
}

#[test]
fn a_complete_file_is_accepted_and_relative_paths_are_relative_to_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("web.yml");
    let text = format!(
        "tls_server_config:\n  cert_file: tls.crt\n  key_file: /etc/tls.key\n  client_auth_type: \
         RequireAndVerifyClientCert\n  client_ca_file: ca/ca.crt\n  min_version: TLS13\n  max_version: TLS13\n\
         http_server_config:\n  http2: false\n  headers:\n    X-Frame-Options: deny\n    X-XSS-Protection: ''\n\
         basic_auth_users:\n  alice: {HASH}\n"
    );
    fs::write(&path, text).unwrap();
    let config = WebConfig::load(&path).unwrap();
    let tls = config.tls.unwrap();
    assert_eq!(tls.cert_file, directory.path().join("tls.crt"));
    assert_eq!(tls.key_file, Path::new("/etc/tls.key"));
    assert_eq!(tls.client_auth, ClientAuth::Required { ca_file: directory.path().join("ca/ca.crt") });
    assert_eq!((tls.min_version, tls.max_version), (TlsVersion::Tls13, TlsVersion::Tls13));
    assert_eq!(config.http.headers.iter().collect::<Vec<_>>(), [("X-Frame-Options", "deny")]);
    assert_eq!(config.users["alice"].as_str(), HASH);
    assert!(!format!("{:?}", config.users).contains("$2y"), "a hash is printed");
}

#[test]
fn a_key_without_a_value_is_the_default_and_an_empty_file_changes_nothing() {
    for text in
        ["", "# only a comment\n", "{}", "tls_server_config:\nbasic_auth_users:\nhttp_server_config:\n"]
    {
        assert_eq!(WebConfig::parse(text).unwrap(), WebConfig::default(), "{text:?}");
    }
}

#[test]
fn an_error_names_the_line_the_key_the_value_and_what_is_allowed() {
    let tls = "tls_server_config:\n  cert_file: a\n  key_file: b\n";
    for (text, parts) in [
        (
            format!("{tls}  min_version: TLS11\n"),
            ["line 4", "tls_server_config.min_version", "TLS11", "use TLS12"],
        ),
        (format!("{tls}  max_version: 1.3\n"), ["line 4", "max_version", "1.3", "use TLS12 or TLS13"]),
        (
            format!("{tls}  client_auth_type: RequireAnyClientCert\n"),
            ["line 4", "client_auth_type", "RequireAnyClientCert", "use RequireAndVerifyClientCert"],
        ),
        (
            format!("{tls}  client_auth_type: Always\n"),
            ["line 4", "client_auth_type", "Always", "NoClientCert"],
        ),
        (
            format!("{tls}  cipher_suites: [x]\n"),
            ["line 4", "tls_server_config", "cipher_suites", "remove the key"],
        ),
        ("http_server_config:\n  http2: true\n".into(), ["line 2", "http2", "true", "HTTP/1.1 only"]),
        (
            "http_server_config:\n  headers:\n    Server: x\n".into(),
            ["line", "headers", "Server", "X-Frame-Options"],
        ),
        (
            "http_server_config:\n  headers:\n    X-Frame-Options: all\n".into(),
            ["line", "headers", "all", "deny or sameorigin"],
        ),
        (
            "basic_auth_user:\n  a: b\n".into(),
            ["line 1", "unknown field", "basic_auth_user", "basic_auth_users"],
        ),
    ] {
        let error = refused(&text);
        for part in parts {
            assert!(error.contains(part), "no {part:?} in: {error}");
        }
    }
}

#[test]
fn tls_needs_consistent_keys() {
    let tls = "tls_server_config:\n  cert_file: a\n  key_file: b\n";
    for (text, part) in [
        ("tls_server_config:\n  cert_file: a\n".into(), "missing field `key_file`"),
        ("tls_server_config:\n  cert_file: a\n  key_file: ''\n".into(), "key_file is empty"),
        (format!("{tls}  client_ca_file: c\n"), "no effect without client_auth_type"),
        (format!("{tls}  client_auth_type: VerifyClientCertIfGiven\n"), "needs client_ca_file"),
        (format!("{tls}  min_version: TLS13\n  max_version: TLS12\n"), "newer than max_version"),
    ] {
        let error = refused(&text);
        assert!(error.contains(part) && error.contains("tls_server_config"), "no {part:?} in: {error}");
    }
}

#[test]
fn a_password_must_be_a_bcrypt_hash_of_moderate_cost_and_is_never_printed() {
    for (hash, part) in [
        ("secret".to_owned(), "not a bcrypt hash"),
        (String::new(), "not a bcrypt hash"),
        ("$apr1$0f0GZbQb$abcdefghijklmnopqrstuv".into(), "not a bcrypt hash"),
        (HASH.replace("$10$", "$31$"), "the cost 31"),
        (HASH.replace("$10$", "$03$"), "the cost 3 "),
    ] {
        let error = refused(&format!("basic_auth_users:\n  bob: '{hash}'\n"));
        for part in ["line 2", "basic_auth_users.bob", part, "htpasswd -nBC 10"] {
            assert!(error.contains(part), "no {part:?} in: {error}");
        }
        assert!(hash.is_empty() || !error.contains(&hash), "{error}");
    }
    // A syntax error is reported without the text of the line.
    let error = refused(&format!("basic_auth_users:\n  bob: {HASH}\n bad: [{HASH}\n"));
    assert!(error.contains("line") && !error.contains("$2y"), "{error}");
}

#[test]
fn hostile_yaml_is_rejected() {
    let bomb: String = (1..9).map(|level| format!("a{level}: &a{level} [{}]\n", "*a0,".repeat(9))).collect();
    let duplicates = format!("basic_auth_users:\n  a: {HASH}\n  a: {HASH}\n");
    for text in [bomb, "[".repeat(100_000), duplicates, "- a\n".into(), "--- {}\n--- {}\n".into()] {
        refused(&text);
    }
}

#[test]
fn only_a_regular_file_of_moderate_size_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let large = directory.path().join("large");
    fs::write(&large, vec![b'#'; usize::try_from(FILE_MAX_BYTES).unwrap() + 1]).unwrap();
    for (path, part) in [
        (large.as_path(), "larger than"),
        (directory.path(), "not a regular file"),
        (Path::new("/dev/zero"), "not a"),
    ] {
        let error = format!("{:#}", anyhow::Error::from(WebConfig::load(path).unwrap_err()));
        assert!(error.contains(part) && error.contains(path.to_str().unwrap()), "{error}");
    }
}
