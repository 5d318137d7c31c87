//! Certificates, users and broken files, without a restart.

use std::time::Duration;

use glassbox_tests::docker::eventually;

use super::files::{Files, OTHER_HASH, TLS, alice};

/// Time within which a change takes effect.
const TIMEOUT: Duration = Duration::from_secs(20);

#[test]
fn a_new_certificate_and_new_users_take_effect_without_a_restart() {
    let files = Files::new(&format!("{TLS}{}", alice()));
    let agent = files.agent();
    let status = |user: &str| files.curl(&agent, "/metrics", &["--user", user]).status;
    assert_eq!(status("alice:secret"), 200);
    // A new CA: curl verifies the server with it, so only the new certificate is accepted.
    files.certify(2020, 2121);
    assert_eq!(status("alice:secret"), 0, "the new certificate was in force at once");
    eventually("the new certificate", TIMEOUT, || (status("alice:secret") == 200).then_some(()));
    files.write("web.yml", &format!("{TLS}basic_auth_users:\n  alice: {OTHER_HASH}\n"));
    eventually("the new password", TIMEOUT, || (status("alice:other") == 200).then_some(()));
    assert_eq!(status("alice:secret"), 401);
}

#[test]
fn broken_files_keep_the_previous_certificate_and_are_reported_once() {
    let files = Files::new(&format!("{TLS}{}", alice()));
    let agent = files.agent();
    let warnings = || agent.log().matches("cannot use the changed web configuration").count();
    let works = || assert_eq!(files.curl(&agent, "/metrics", &["--user", "alice:secret"]).status, 200);
    files.write("server.key", "broken");
    eventually("the first warning", TIMEOUT, || (warnings() == 1).then_some(()));
    works();
    // Several looks at the same broken file.
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(warnings(), 1, "{}", agent.log());
    assert!(agent.log().contains("server.key as PEM"), "{}", agent.log());
    files.write("web.yml", "");
    eventually("the second warning", TIMEOUT, || (warnings() == 2).then_some(()));
    assert!(agent.log().contains("removes TLS (tls_server_config)"), "{}", agent.log());
    works();
}

#[test]
fn a_key_that_everybody_can_read_is_reported_once() {
    use std::os::unix::fs::PermissionsExt as _;

    let files = Files::new(TLS);
    std::fs::set_permissions(files.path("server.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let agent = files.agent();
    assert_eq!(agent.log().matches("is readable by every user").count(), 1, "{}", agent.log());
}
