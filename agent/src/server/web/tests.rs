use std::{
    fs,
    time::{Duration, Instant, SystemTime},
};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::*;
use crate::exposition::registry::Registry;

const HASH: &str = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG";
const TLS: &str = "tls_server_config: {cert_file: tls.crt, key_file: tls.key}\n";

/// A directory with a web configuration, a certificate that is valid in a year, and its key.
struct Files(tempfile::TempDir);

impl Files {
    fn new(web: &str, year: i32) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.write("web.yml", web);
        files.certify(year);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        // A key must not be readable by everybody, whatever the umask.
        let next = self.path("next");
        fs::write(&next, text).unwrap();
        fs::set_permissions(&next, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        fs::rename(next, self.path(name)).unwrap();
    }

    fn certify(&self, year: i32) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
        params.not_before = date_time_ymd(year, 1, 1);
        params.not_after = date_time_ymd(year + 1, 1, 1);
        self.write("tls.crt", &params.self_signed(&key).unwrap().pem());
        self.write("tls.key", &key.serialize_pem());
    }

    fn open(&self) -> anyhow::Result<Web> {
        Web::open(Some(&self.path("web.yml")))
    }

    fn error(&self) -> String {
        format!("{:#}", self.open().map(|_| ()).unwrap_err())
    }
}

fn of_year(year: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_hours(24 * 365) * u32::try_from(year - 1970).unwrap()
}

fn expiry(web: &Web) -> i64 {
    web.settings().tls.as_ref().unwrap().certificate.expires_at_s
}

#[test]
fn the_certificate_and_its_expiry_are_read_relative_to_the_file() {
    let files = Files::new(TLS, 2030);
    let web = files.open().unwrap();
    // `date -ud 2031-01-01 +%s`
    assert_eq!(expiry(&web), 1_924_992_000);
    assert!(web.settings().concerns(of_year(2030)).is_empty());
    assert!(web.settings().concerns(of_year(2040))[0].contains("expired"));
}

#[test]
fn files_that_do_not_fit_together_or_are_missing_are_errors_with_their_names() {
    let files = Files::new(TLS, 2030);
    files.write("tls.key", &KeyPair::generate().unwrap().serialize_pem());
    let error = files.error();
    assert!(
        error.contains("tls.crt") && error.contains("tls.key") && error.contains("belong together"),
        "{error}"
    );
    fs::remove_file(files.path("tls.key")).unwrap();
    assert!(files.error().contains("key_file") && files.error().contains("tls.key"), "{}", files.error());
    files.certify(2030);
    files.write(
        "web.yml",
        "tls_server_config: {cert_file: tls.crt, key_file: tls.key, client_ca_file: ca.crt, client_auth_type: \
         RequireAndVerifyClientCert}\n",
    );
    assert!(
        files.error().contains("client_ca_file") && files.error().contains("ca.crt"),
        "{}",
        files.error()
    );
    files.write("ca.crt", "no PEM");
    assert!(files.error().contains("ca.crt contains no certificate"), "{}", files.error());
}

#[test]
fn only_a_restart_removes_protection() {
    let loaded = |text: &str| {
        let files = Files::new(text, 2030);
        fs::copy(files.path("tls.crt"), files.path("ca.crt")).unwrap();
        files.open().unwrap().settings()
    };
    let users = format!("basic_auth_users: {{alice: {HASH}}}\n");
    let mutual = TLS.replace('}', ", client_ca_file: ca.crt, client_auth_type: RequireAndVerifyClientCert}");
    for (before, after, removed) in [
        (TLS.to_owned(), String::new(), Some("tls_server_config")),
        (format!("{TLS}{users}"), TLS.to_owned(), Some("basic_auth_users")),
        (mutual.clone(), TLS.to_owned(), Some("client_auth_type")),
        (String::new(), format!("{mutual}{users}"), None),
        (format!("{TLS}{users}"), format!("{TLS}{}", users.replace("alice", "bob")), None),
    ] {
        let found = loaded(&before).removed_by(&loaded(&after));
        assert_eq!(found.is_some(), removed.is_some(), "{before} → {after}");
        assert!(found.unwrap_or_default().contains(removed.unwrap_or_default()), "{found:?}");
    }
    assert!(
        loaded(&mutual).authenticates() && loaded(&users).authenticates() && !loaded(TLS).authenticates()
    );
}

#[tokio::test]
async fn a_changed_file_takes_effect_and_a_broken_one_does_not() {
    // `date -ud 2031-01-01 +%s` and `date -ud 2041-01-01 +%s`
    let (first, second) = (1_924_992_000, 2_240_611_200);
    let files = Files::new(TLS, 2030);
    let web = Arc::new(files.open().unwrap());
    let registry = Arc::new(Registry::new().unwrap());
    let gauge = |name: &str| {
        let families = registry.gather();
        let family = families.iter().find(|family| family.name() == name);
        family.map(|family| family.get_metric()[0].get_gauge().get_value())
    };
    let reach = async |expected: i64, succeeded: f64| {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let found = (
                expiry(&web),
                gauge("glassbox_server_certificate_expiry_timestamp_seconds"),
                gauge("glassbox_server_web_config_last_reload_successful"),
            );
            if found == (expected, Some(expected as f64), Some(succeeded)) {
                return;
            }
            assert!(Instant::now() < deadline, "{found:?} instead of {expected}, {succeeded}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::spawn(reload::watch_every(Duration::from_millis(20), Arc::clone(&web), Arc::clone(&registry)));
    reach(first, 1.0).await;
    files.certify(2040);
    reach(second, 1.0).await;
    files.write("tls.crt", "broken");
    reach(second, 0.0).await;
    // The configuration names a file that appears later.
    files.write("web.yml", &TLS.replace("tls.crt", "new.crt"));
    files.certify(2030);
    reach(second, 0.0).await;
    fs::rename(files.path("tls.crt"), files.path("new.crt")).unwrap();
    reach(first, 1.0).await;
    // A truncated file must not remove protection.
    files.write("web.yml", "");
    reach(first, 0.0).await;
    files.write("web.yml", TLS);
    files.certify(2040);
    reach(second, 1.0).await;
}
