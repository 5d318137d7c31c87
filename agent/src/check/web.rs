//! Whether TLS and authentication are in force, and whether the certificate is about to expire.

use std::{net::SocketAddr, time::SystemTime};

use super::{Report, RowState};
use crate::{
    config::Config,
    server::{
        exposure,
        web::{Settings, Web},
    },
};

/// Makes the row `TLS and passwords`. Returns the web configuration if the agent could use it.
pub(super) fn check(report: &mut Report, config: &Config) -> Option<Web> {
    const SUBJECT: &str = "TLS and passwords";
    let web = match Web::open(config.server.web_config()) {
        Ok(web) => web,
        Err(error) => {
            report.row(SUBJECT, RowState::Fatal, format!("{error:#}"));
            return None;
        }
    };
    let settings = web.settings();
    let (state, finding) = judge(&settings, config.listen, SystemTime::now());
    report.row(SUBJECT, state, finding);
    Some(web)
}

fn judge(settings: &Settings, listen: SocketAddr, now: SystemTime) -> (RowState, String) {
    let mut parts = vec![describe(settings)];
    let concerns = settings.concerns(now);
    let is_off = settings.tls.is_none() && !settings.authenticates();
    let state = match (concerns.is_empty(), is_off) {
        (false, _) => RowState::Degraded,
        (true, true) => RowState::Off,
        (true, false) => RowState::Ok,
    };
    parts.extend(concerns);
    parts.extend(exposure::of(listen, settings));
    (state, parts.join("; "))
}

fn describe(settings: &Settings) -> String {
    let tls = match &settings.tls {
        None => "no TLS",
        Some(tls) if tls.requires_client_certificate => "TLS with required client certificates",
        Some(_) => "TLS",
    };
    match settings.users.len() {
        0 => format!("{tls}, no passwords (server.web_config)"),
        1 => format!("{tls}, passwords of 1 user"),
        users => format!("{tls}, passwords of {users} users"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unprotected_listener_is_off_and_its_exposure_is_reported() {
        let judged =
            |listen: &str| judge(&Settings::default(), listen.parse().unwrap(), SystemTime::UNIX_EPOCH);
        let (state, finding) = judged("127.0.0.1:9966");
        assert_eq!((state, finding.as_str()), (RowState::Off, "no TLS, no passwords (server.web_config)"));
        for exposed in ["0.0.0.0:9966", "[::]:9966", "[::ffff:192.0.2.1]:9966"] {
            let (state, finding) = judged(exposed);
            assert_eq!(state, RowState::Off);
            assert!(finding.contains(exposed) && finding.contains("without authentication"), "{finding}");
        }
    }

    #[test]
    fn a_web_configuration_that_cannot_be_used_is_fatal() {
        let mut config = Config::default();
        config.server.web_config = "/nowhere/web.yml".into();
        let mut report = Report::default();
        assert!(check(&mut report, &config).is_none());
        assert_eq!(report.rows()[0].state, RowState::Fatal);
        assert!(report.rows()[0].finding.contains("/nowhere/web.yml"), "{}", report.rows()[0].finding);
    }
}
