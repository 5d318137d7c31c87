//! The routes and their handlers.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, RawQuery, State, rejection::PathRejection},
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, VARY,
            X_CONTENT_TYPE_OPTIONS,
        },
    },
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::sync::watch;

use super::{
    cache::{Cache, Sendable, View},
    container_health, encoding,
    health::Health,
    page::{self, Language},
};
use crate::{
    exposition::{self, DEMO},
    snapshot::Snapshot,
};

const PLAIN: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

/// Security headers of every response: no external resources, no framing, no content sniffing. The page needs inline
/// styles only.
const SECURITY: [(HeaderName, HeaderValue); 3] = [
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'",
        ),
    ),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// State shared by all handlers.
struct Shared {
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    health: Arc<Health>,
    cache: Arc<Cache>,
}

/// True for the paths that need no password: health and readiness of the agent.
pub(super) fn is_public(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz")
}

/// True for the paths of health and readiness, also of containers.
pub(super) fn is_probe(path: &str) -> bool {
    is_public(path) || path.starts_with(container_health::PREFIX)
}

/// The response to a request that is rejected before routing.
pub(super) fn refused((status, reason): (StatusCode, &'static str)) -> Response {
    let content = (CONTENT_TYPE, HeaderValue::from_static(PLAIN));
    (status, SECURITY, [content], reason).into_response()
}

/// Builds the router.
pub(super) fn router(
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    health: Arc<Health>,
    cache: Arc<Cache>,
) -> Router {
    let shared = Arc::new(Shared { snapshots, health, cache });
    let view =
        |view: View| get(move |State(shared): State<Arc<Shared>>, headers| viewed(shared, view, headers));
    Router::new()
        .route("/", get(overview))
        .route(page::ROUTE, get(detail))
        .route("/api/v1/containers", view(View::Containers))
        .route("/metrics", view(View::Metrics))
        .route("/metrics/cadvisor", view(View::Inherited))
        .route(
            "/healthz",
            get(async |State(shared): State<Arc<Shared>>| state(&shared, shared.health.alive())),
        )
        .route(container_health::ROUTE, get(container))
        .route(
            "/readyz",
            get(async |State(shared): State<Arc<Shared>>| state(&shared, shared.health.ready())),
        )
        .fallback(async || (StatusCode::NOT_FOUND, SECURITY, "not found; see /\n"))
        .method_not_allowed_fallback(async || {
            (StatusCode::METHOD_NOT_ALLOWED, SECURITY, "only GET and HEAD are supported\n")
        })
        .with_state(shared)
}

async fn overview(
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let request = page::Request::new(query.as_deref(), &headers);
    viewed(shared, View::Page(request), headers).await
}

/// The page of one container. The name is only compared, and shown escaped if no container has it.
async fn detail(
    State(shared): State<Arc<Shared>>,
    name: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let snapshot = shared.snapshots.borrow().clone();
    let Some(snapshot) = snapshot else {
        return state(&shared, Err("no snapshot yet".into()));
    };
    let request = page::Request::new(query.as_deref(), &headers);
    // A path that is not UTF-8 is rejected.
    let name = name.ok().map(|Path(name)| name);
    if let Some(key) = name.as_deref().and_then(|name| page::find(&snapshot, name)) {
        let request = request.about(page::Subject::Container(key));
        return viewed_of(&shared, &snapshot, &View::Page(request), &headers).await;
    }
    let text = page::missing(&snapshot, name.as_deref(), &request);
    let mut answer = (StatusCode::NOT_FOUND, SECURITY, text).into_response();
    let language = request.language;
    answer.headers_mut().extend(content_headers(HTML, Some(language)));
    answer
}

/// What the response is, and on which headers of the request it depends.
fn content_headers(content: &'static str, language: Option<Language>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if let Some(language) = language {
        headers.insert(VARY, HeaderValue::from_static("accept-encoding, accept-language"));
        headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static(language.tag()));
    }
    headers
}

async fn container(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> Response {
    let snapshot = shared.snapshots.borrow().clone();
    let (status, text) = match (shared.health.ready(), &snapshot) {
        (Ok(()), Some(snapshot)) => container_health::answer(snapshot, &name),
        // An old snapshot says nothing about a container.
        (Err(reason), _) => (StatusCode::OK, format!("unknown: {reason}")),
        (Ok(()), None) => (StatusCode::OK, "unknown: no snapshot yet".into()),
    };
    let content = (CONTENT_TYPE, HeaderValue::from_static(PLAIN));
    let demo = if snapshot.is_some_and(|it| it.agent.demo) { format!("{DEMO}\n") } else { String::new() };
    (status, SECURITY, [content], format!("{text}\n{demo}")).into_response()
}

fn state(shared: &Shared, state: Result<(), String>) -> Response {
    let content = (CONTENT_TYPE, HeaderValue::from_static(PLAIN));
    let demo = shared.snapshots.borrow().as_ref().is_some_and(|snapshot| snapshot.agent.demo);
    match state {
        Ok(()) if demo => (SECURITY, [content], format!("ok\n{DEMO}\n")).into_response(),
        Ok(()) => (SECURITY, [content], "ok\n").into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, SECURITY, [content], reason + "\n").into_response(),
    }
}

async fn viewed(shared: Arc<Shared>, view: View, headers: HeaderMap) -> Response {
    let snapshot = shared.snapshots.borrow().clone();
    let Some(snapshot) = snapshot else {
        return state(&shared, Err("no snapshot yet".into()));
    };
    viewed_of(&shared, &snapshot, &view, &headers).await
}

async fn viewed_of(shared: &Shared, snapshot: &Arc<Snapshot>, view: &View, headers: &HeaderMap) -> Response {
    let gzip = encoding::takes_gzip(headers);
    let made: anyhow::Result<Sendable> =
        if gzip { shared.cache.gzip(snapshot, view).await } else { shared.cache.plain(snapshot, view).await };
    let (bytes, text) = match made {
        Ok(made) => made,
        Err(error) => {
            tracing::error!("cannot make the response {view:?}: {error:#}");
            return (StatusCode::INTERNAL_SERVER_ERROR, SECURITY, "internal error; see the agent's log\n")
                .into_response();
        }
    };
    if *view == View::Metrics {
        snapshot.delivery.mark_scraped();
    }
    let (content, language) = match view {
        View::Page(request) => (HTML, Some(request.language)),
        View::Containers => ("application/json", None),
        View::Metrics | View::Inherited => (exposition::encoding::text::CONTENT_TYPE, None),
    };
    let mut answer = (SECURITY, bytes).into_response();
    answer.headers_mut().extend(content_headers(content, language));
    if let Some(text) = text {
        answer.extensions_mut().insert(text);
    }
    if gzip {
        answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    answer
}
