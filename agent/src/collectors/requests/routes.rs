//! The routes of requests: prefixes of request targets, and the values of the label `route`.

use std::sync::Arc;

use glassbox_ebpf::requests::first_line::{ROUTES, Route, Routes};

use crate::snapshot::requests::RetryCount;

/// The label of requests that match no prefix.
const OTHER: &str = "other";

/// A route that is built in.
struct Known {
    prefix: &'static str,
    /// The value of the label; equal for the same function in several versions.
    name: &'static str,
    flags: u64,
}

const fn known(prefix: &'static str, name: &'static str, flags: u64) -> Known {
    Known { prefix, name, flags }
}

/// The paths of Gradio 5 and 4 whose requests differ in kind, and the usual prefixes of other services.
const KNOWN: [Known; 10] = [
    known("/gradio_api/queue/", "queue", Route::JOBS),
    known("/queue/", "queue", Route::JOBS),
    known("/gradio_api/call/", "call", Route::JOBS),
    known("/call/", "call", Route::JOBS),
    known("/gradio_api/cancel", "cancel", Route::JOBS),
    known("/cancel", "cancel", Route::JOBS),
    known("/gradio_api/upload", "upload", 0),
    known("/upload", "upload", 0),
    known("/gradio_api/", "gradio_api", 0),
    known("/v1/", "/v1/", 0),
];

const _: () = assert!(KNOWN.len() + crate::config::ROUTES_MAX <= ROUTES);

/// The labels of the routes, by number.
pub(super) struct Names(Vec<Arc<str>>);

impl Names {
    /// The label of a route.
    pub(super) fn get(&self, route: usize) -> Arc<str> {
        self.0.get(route).unwrap_or(&self.0[0]).clone()
    }

    /// Retries by label, from those by number.
    pub(super) fn retries(&self, counts: &[u64; ROUTES + 1]) -> Vec<RetryCount> {
        let mut retries: Vec<RetryCount> = Vec::new();
        for (number, count) in counts.iter().copied().enumerate().filter(|(_, count)| *count > 0) {
            let route = self.get(number);
            match retries.iter_mut().find(|known| known.route == route) {
                Some(known) => known.count += count,
                None => retries.push(RetryCount { route, count }),
            }
        }
        retries
    }
}

/// The routes for the kernel programs and their labels. The configured ones are tried first.
pub(super) fn routes(configured: &[String], upload_images: bool) -> (Routes, Names) {
    let mut routes = Routes::default();
    let mut names = vec![Arc::from(OTHER)];
    let configured = configured.iter().map(|prefix| (prefix.as_str(), prefix.as_str(), 0));
    let known = KNOWN.iter().map(|known| {
        let uploads = if upload_images && known.name == "upload" { Route::UPLOADS } else { 0 };
        (known.prefix, known.name, known.flags | uploads)
    });
    for (entry, (prefix, name, flags)) in routes.routes.iter_mut().zip(configured.chain(known)) {
        *entry = Route::new(prefix.as_bytes(), flags);
        names.push(Arc::from(name));
    }
    (routes, Names(names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configured_routes_precede_known_ones_and_every_number_has_a_label() {
        let (routes, names) = routes(&["/queue/special".to_owned()], false);
        assert_eq!(routes.routes[0], Route::new(b"/queue/special", 0));
        assert_eq!(&*names.get(0), "other");
        assert_eq!(&*names.get(1), "/queue/special");
        assert_eq!((&*names.get(2), &*names.get(3)), ("queue", "queue"));
        assert_eq!(&*names.get(99), "other");
    }

    #[test]
    fn bodies_of_uploads_are_sent_only_if_they_are_read() {
        let with = |upload_images| {
            routes(&[], upload_images).0.routes.iter().filter(|route| route.flags == Route::UPLOADS).count()
        };
        assert_eq!((with(false), with(true)), (0, 2));
    }

    #[test]
    fn retries_are_counted_by_label() {
        let names = routes(&[], false).1;
        let mut counts = [0; ROUTES + 1];
        (counts[0], counts[1], counts[2]) = (1, 2, 3);
        let retries = names.retries(&counts);
        let retries: Vec<_> = retries.iter().map(|retry| (&*retry.route, retry.count)).collect();
        assert_eq!(retries, [("other", 1), ("queue", 5)]);
    }
}
