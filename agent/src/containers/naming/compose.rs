//! Recognizes the containers of compose services, and names them.
//!
//! Labels are not sufficient: an image committed from a container may have compose's labels, and `docker compose run`
//! gives a one-off container the labels of its service. The runtime's name decides: compose names a service's own
//! container `<project>-<service>-<number>` (version 1 with `_`), with an ID as prefix while it replaces a container.

use super::known;
use crate::containers::metadata::Metadata;

/// `<service>-<number>`, or only the service if it has no number. `None` for a container that is not a service's own,
/// and for one with a custom `container_name`.
pub(super) fn service_name(names: &Metadata, runtime_name: Option<&str>) -> Option<String> {
    let service = known(&names.compose_service)?;
    if names.compose_one_off {
        return None;
    }
    let (project, number) = (known(&names.compose_project), known(&names.compose_number));
    // Without a runtime's name, nothing contradicts the labels.
    runtime_name.is_none_or(|name| is_own(name, project, service, number)).then(|| match number {
        Some(number) => format!("{service}-{number}"),
        None => service.to_owned(),
    })
}

fn is_own(name: &str, project: Option<&str>, service: &str, number: Option<&str>) -> bool {
    ['-', '_'].into_iter().any(|separator| {
        let numbered = match number {
            Some(number) => name.strip_suffix(number).and_then(|name| name.strip_suffix(separator)),
            None => Some(name.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches(separator)),
        };
        let before = numbered.and_then(|name| name.strip_suffix(service));
        let before = before.and_then(|before| before.strip_suffix(separator));
        before.is_some_and(|before| match project {
            Some(project) => before == project || is_being_replaced(before, project),
            None => !before.is_empty(),
        })
    })
}

/// `<id>_<project>`: the name that compose uses until the predecessor is removed.
fn is_being_replaced(before: &str, project: &str) -> bool {
    let id = before.strip_suffix(project).and_then(|before| before.strip_suffix('_'));
    id.is_some_and(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(service: &str, project: Option<&str>, number: Option<&str>, name: &str) -> Option<String> {
        let own = |text: &str| Some(text.to_owned());
        let names = Metadata {
            compose_service: own(service),
            compose_project: project.and_then(own),
            compose_number: number.and_then(own),
            ..Metadata::default()
        };
        service_name(&names, (!name.is_empty()).then_some(name))
    }

    #[test]
    fn containers_of_a_service_are_recognized_by_their_names() {
        let shop = Some("shop");
        for (name, own) in [
            ("shop-web-1", true),
            ("shop_web_1", true),
            ("0a1b2c3d4e5f_shop_web_1", true),
            ("0a1b2c3d4e5f_shop-web-1", true),
            ("", true),
            ("shop-web-2", false),
            ("shop-web-1-debug", false),
            ("shop-web-run-0a1b2c", false),
            ("other-web-1", false),
            ("facefusion", false),
            ("happy_morse", false),
            ("web-1", false),
        ] {
            assert_eq!(named("web", shop, Some("1"), name).is_some(), own, "{name}");
        }
        assert_eq!(named("web", None, Some("1"), "any-web-1").as_deref(), Some("web-1"));
        assert_eq!(named("web", shop, None, "shop-web-2").as_deref(), Some("web"));
        assert_eq!(named("web", shop, None, "shop_web").as_deref(), Some("web"));
        assert_eq!(named("web", None, None, "-web"), None);
    }

    #[test]
    fn a_one_off_has_no_service_name() {
        let names = Metadata {
            compose_service: Some("web".into()),
            compose_project: Some("shop".into()),
            compose_number: Some("1".into()),
            compose_one_off: true,
            ..Metadata::default()
        };
        assert_eq!(service_name(&names, Some("shop-web-1")), None);
        assert_eq!(service_name(&names, None), None);
    }
}
