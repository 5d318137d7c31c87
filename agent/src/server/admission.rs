//! Decides whether a request is served: by its host name, the load, and its password. `/healthz` and `/readyz` need no
//! password: they reveal only whether the agent works, and load balancers and kubelets often cannot send one.
//! `/healthz/container/NAME` needs one, because it reveals which containers exist and whether they are stuck.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::response::Response;
use hyper::{
    Request, StatusCode,
    header::{HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE},
};

use super::{
    authentication::{Authenticator, Denial},
    host_header::HostPolicy,
    routes,
    web::Web,
};
use crate::exposition::registry::Registry;

/// The challenge of a refused request.
const CHALLENGE: &str = "Basic realm=\"glassbox\"";

/// Decides about requests.
pub(super) struct Admission {
    pub(super) hosts: Mutex<Arc<HostPolicy>>,
    pub(super) web: Arc<Web>,
    pub(super) authenticator: Authenticator,
    pub(super) registry: Arc<Registry>,
}

impl Admission {
    /// The response to a request that is not served; `None` if it is served. `probes_only` is true if the connection may
    /// only request health and readiness.
    pub(super) async fn refusal(
        &self,
        request: &Request<()>,
        probes_only: bool,
        client: Option<IpAddr>,
    ) -> Option<Response> {
        if let Some(refusal) = self.hosts().refusal(request) {
            self.registry.refused_host.inc();
            return Some(routes::refused(refusal));
        }
        let path = request.uri().path();
        if probes_only && !routes::is_probe(path) {
            self.registry.refused_load.inc();
            return Some(routes::refused((
                StatusCode::SERVICE_UNAVAILABLE,
                "too many connections: only health checks are served\n",
            )));
        }
        let settings = self.web.settings();
        if settings.users.is_empty() || routes::is_public(path) {
            return None;
        }
        match self.authenticator.check(request.headers(), &settings.users, client).await {
            Ok(()) => None,
            Err(denial) => Some(self.denied(denial)),
        }
    }

    /// Changes the accepted host names.
    pub(super) fn set_hosts(&self, hosts: HostPolicy) {
        *self.hosts.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(hosts);
    }

    fn hosts(&self) -> Arc<HostPolicy> {
        Arc::clone(&self.hosts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn denied(&self, denial: Denial) -> Response {
        let challenge = (WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
        let (count, status, text, header): (_, _, _, (HeaderName, HeaderValue)) = match denial {
            Denial::Missing => (
                &self.registry.refused_no_password,
                StatusCode::UNAUTHORIZED,
                "a user and a password are required\n",
                challenge,
            ),
            Denial::Wrong => (
                &self.registry.refused_wrong_password,
                StatusCode::UNAUTHORIZED,
                "the user is unknown or the password is wrong\n",
                challenge,
            ),
            Denial::Busy => (
                &self.registry.refused_load,
                StatusCode::SERVICE_UNAVAILABLE,
                "too many passwords are being checked; try again\n",
                (RETRY_AFTER, HeaderValue::from_static("1")),
            ),
        };
        count.inc();
        let mut response = routes::refused((status, text));
        response.headers_mut().insert(header.0, header.1);
        response
    }
}
