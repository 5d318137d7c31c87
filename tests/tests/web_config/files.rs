//! Web configurations, certificates and curl.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use glassbox_tests::agent::Agent;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};

/// The hash of `secret`, made with `htpasswd -nbBC 10 alice secret`.
pub(super) const SECRET_HASH: &str = "$2y$10$DPbGSznoNVKvv29kc9qoEO4XtBIE4b.Ai01kfQWPKfEemjJL0j12O";
/// The hash of `other`, made with `htpasswd -nbBC 10 alice other`.
pub(super) const OTHER_HASH: &str = "$2y$10$3ekzSyUC0rr4kYeqpvqru.J5ZlCWzx7mP/fRuJ2dfgQMasnrnuE8G";

/// TLS with the certificate `server`.
pub(super) const TLS: &str = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";
/// The same, and clients need a certificate of the CA.
pub(super) const MUTUAL_TLS: &str = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n  \
                                     client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n";

/// A user `alice` with the password `secret`.
pub(super) fn alice() -> String {
    format!("basic_auth_users:\n  alice: {SECRET_HASH}\n")
}

/// These tests measure CPU time and open thousands of connections, so only one runs at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// A directory with `web.yml`, the CA `ca.crt`, and the certificates `server` and `client` with their keys.
pub(super) struct Files {
    directory: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Files {
    pub(super) fn new(web_config: &str) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let files = Self { directory: tempfile::tempdir().unwrap(), _alone: alone };
        files.write("web.yml", web_config);
        files.certify(2020, 2120);
        files
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Replaces a file.
    pub(super) fn write(&self, name: &str, text: &str) {
        replace(&self.path(name), text);
    }

    /// Makes a new CA, and certificates for a server and a client that are valid from January of one year to that of another.
    pub(super) fn certify(&self, first_year: i32, last_year: i32) {
        certify(self.directory.path(), first_year, last_year);
    }

    /// The same with certificates that are valid for this time from now on.
    pub(super) fn certify_for(&self, time: Duration) {
        #[expect(clippy::disallowed_methods, reason = "not an age: a date in a certificate")]
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let end = date_time_ymd(1970, 1, 1) + since_1970 + time;
        certify_with(self.directory.path(), |params| {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = end;
        });
    }

    /// Starts an agent with this web configuration.
    pub(super) fn agent(&self) -> Agent {
        let path = self.path("web.yml");
        Agent::start_with_tls(&modest(), |command| {
            command.arg("--web-config").arg(path);
        })
    }

    /// Runs curl on an URL that starts with the scheme, with the CA.
    pub(super) fn curl(&self, agent: &Agent, path: &str, arguments: &[&str]) -> Response {
        let url = format!("https://localhost:{}{path}", agent.address.port());
        let ca = self.path("ca.crt");
        let mut all = vec!["--cacert", ca.to_str().unwrap()];
        all.extend(arguments);
        curl(&url, &all)
    }
}

/// The arguments of curl for the certificate of this name in a directory.
pub(super) fn certificate(directory: &Path, name: &str) -> [String; 4] {
    let path = |ending| directory.join(format!("{name}.{ending}")).to_str().unwrap().to_owned();
    ["--cert".into(), path("crt"), "--key".into(), path("key")]
}

fn replace(path: &Path, text: &str) {
    let next = path.with_extension("next");
    fs::write(&next, text).unwrap();
    fs::set_permissions(&next, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(next, path).unwrap();
}

/// As [`Files::certify`].
pub(super) fn certify(directory: &Path, first_year: i32, last_year: i32) {
    certify_with(directory, |params| {
        params.not_before = date_time_ymd(first_year, 1, 1);
        params.not_after = date_time_ymd(last_year, 1, 1);
    });
}

/// The same with certificates whose validity `limit` sets.
fn certify_with(directory: &Path, limit: impl Fn(&mut CertificateParams)) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "test CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = params.self_signed(&key).unwrap();
    replace(&directory.join("ca.crt"), &ca.pem());
    let issuer = Issuer::new(params, key);
    for (name, usage) in
        [("server", ExtendedKeyUsagePurpose::ServerAuth), ("client", ExtendedKeyUsagePurpose::ClientAuth)]
    {
        let key = KeyPair::generate().unwrap();
        let names = vec!["localhost".into(), "127.0.0.1".into()];
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages.push(usage);
        limit(&mut params);
        let signed = params.signed_by(&key, &issuer).unwrap();
        replace(&directory.join(format!("{name}.crt")), &signed.pem());
        replace(&directory.join(format!("{name}.key")), &key.serialize_pem());
    }
}

/// What curl has received.
#[derive(Debug)]
pub(super) struct Response {
    /// curl's exit status; 0 after a complete response, whatever its HTTP status.
    pub(super) exit: i32,
    /// The HTTP status; 0 if there is none.
    pub(super) status: u16,
    /// Headers and body.
    pub(super) text: String,
    /// What went wrong.
    pub(super) error: String,
}

/// Runs curl.
pub(super) fn curl(url: &str, arguments: &[&str]) -> Response {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--include", "--max-time", "20", "--noproxy", "*"])
        .args(["--write-out", "\n%{http_code}"])
        .args(arguments)
        .arg(url)
        .stdin(Stdio::null())
        .output()
        .expect("start curl (README.md lists it)");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (text, status) = text.rsplit_once('\n').unwrap();
    Response {
        exit: output.status.code().unwrap(),
        status: status.parse().unwrap(),
        text: text.to_owned(),
        error: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A minimal configuration that needs nothing the host may lack.
pub(super) fn modest() -> String {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/cgroup/v2");
    format!(
        "[paths]\ncgroup = {fixture:?}\n[kernel]\nenabled = false\n[docker]\nenabled = false\n[podman]\nsockets = []\n\
         [containerd]\nsockets = []\n[cri]\nsockets = []\n[collectors]\nnetwork = false\nhost_network = false\n\
         nvml = false\nnvidia_driver = false\ndisk = false\n[server]\nheader_timeout_ms = 1000\n"
    )
}

/// The value of a series in a text of metrics.
pub(super) fn value(metrics: &str, series: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in {metrics}")).trim().parse().unwrap()
}
