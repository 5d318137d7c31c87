//! The routes of requests: prefixes of request targets, and the values of the label `route`.

use std::{collections::HashSet, iter, sync::Arc};

use glassbox_ebpf::requests::route::{ROUTES, Route, Routes};

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

/// The routes for the kernel programs and their labels. The configured ones are tried first. Below a configured prefix, and
/// below a known path that it refines, messages are read as without it: only the label is another one.
pub(super) fn routes(configured: &[String], upload_images: bool) -> (Routes, Names) {
    let flags = |known: &Known| {
        known.flags | if upload_images && known.name == "upload" { Route::UPLOADS } else { 0 }
    };
    let mut all: Vec<(&str, &str, u64)> = Vec::new();
    for prefix in configured {
        let below = KNOWN.iter().filter(|known| known.prefix.starts_with(prefix) && known.prefix != prefix);
        all.extend(below.map(|known| (known.prefix, prefix.as_str(), flags(known))));
        let refined = KNOWN.iter().find(|known| prefix.starts_with(known.prefix));
        all.push((prefix, prefix, refined.map_or(0, flags)));
    }
    all.extend(KNOWN.iter().map(|known| (known.prefix, known.name, flags(known))));
    let mut seen = HashSet::new();
    all.retain(|(prefix, ..)| seen.insert(*prefix));
    let routes = Routes::new(all.iter().map(|(prefix, _, flags)| Route::new(prefix.as_bytes(), *flags)));
    let names = iter::once(OTHER).chain(all.iter().map(|(_, name, _)| *name));
    (routes, Names(names.map(Arc::from).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configured_routes_precede_known_ones_and_every_number_has_a_label() {
        let (routes, names) = routes(&["/queue/special".to_owned()], false);
        assert_eq!(routes.routes[0], Route::new(b"/queue/special", Route::JOBS));
        assert_eq!(&*names.get(0), "other");
        assert_eq!(&*names.get(1), "/queue/special");
        assert_eq!((&*names.get(2), &*names.get(3)), ("queue", "queue"));
        assert_eq!(&*names.get(99), "other");
    }

    #[test]
    fn a_configured_route_changes_the_label_and_not_what_is_read() {
        let flags_of = |configured: &[&str], target: &str| {
            let configured: Vec<_> = configured.iter().map(|&prefix| prefix.to_owned()).collect();
            let (routes, names) = routes(&configured, true);
            let is_prefix = |route: &Route| {
                let words = |bytes: &[u8]| Route::new(bytes, 0).prefix;
                let target = words(target.as_bytes());
                (0..3).all(|word| (target[word] ^ route.prefix[word]) & route.mask[word] == 0)
            };
            let index =
                routes.routes.iter().position(|route| route.mask[0] != 0 && is_prefix(route)).unwrap();
            (routes.routes[index].flags, names.get(index + 1).to_string())
        };
        for target in ["/gradio_api/queue/join", "/queue/join", "/call/predict"] {
            assert_eq!(flags_of(&["/"], target), (Route::JOBS, "/".into()), "{target}");
        }
        assert_eq!(flags_of(&["/upload", "/"], "/upload?id=1"), (Route::UPLOADS, "/upload".into()));
        assert_eq!(flags_of(&["/gradio_api/"], "/gradio_api/info"), (0, "/gradio_api/".into()));
        assert_eq!(flags_of(&["/gradio_api/"], "/queue/data"), (Route::JOBS, "queue".into()));
        let most: Vec<_> = ["/1", "/2", "/3", "/4", "/5", "/"].map(str::to_owned).into();
        let (routes, _) = routes(&most, false);
        assert!(routes.routes.iter().all(|route| route.mask[0] != 0), "all routes are in use");
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
