//! The naming rules one by one, and that no two live containers share a name.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

const ID: &str = "70e4637061cd43873c342a97ef4e85607546d358ac8bb201d6846de850e132cf";
const OTHER_ID: &str = "1f2e3d4c5b6a79881f2e3d4c5b6a79881f2e3d4c5b6a79881f2e3d4c5b6a7988";

fn names(name: &str, image: &str) -> Metadata {
    Metadata { name: name.into(), image: image.into(), ..Metadata::default() }
}

fn candidate<'a>(id: &'a str, names: &'a Metadata) -> Candidate<'a> {
    Candidate { id, names: Some(names), competes: true, age_rank: 0, assigned: None }
}

fn display_names(containers: &[Candidate<'_>], renames: &[Rename]) -> Vec<String> {
    assign(containers, renames).into_iter().map(|assigned| assigned.name).collect()
}

fn name_of(names: &Metadata) -> String {
    display_names(&[candidate(ID, names)], &[]).remove(0)
}

fn rule(name: &str, to: &str) -> Rename {
    Rename { name: name.into(), to: to.into() }
}

#[test]
fn the_first_available_source_gives_the_name() {
    let everything = Metadata {
        kubernetes_container: Some("app".into()),
        compose_service: Some("web".into()),
        compose_number: Some("2".into()),
        ..names("shop-web-2", "registry:5000/shop/web:1.2")
    };
    assert_eq!(name_of(&everything), "app");
    let compose = Metadata { kubernetes_container: None, ..everything };
    assert_eq!(name_of(&compose), "web-2");
    assert_eq!(name_of(&Metadata { compose_number: None, ..compose.clone() }), "web");
    assert_eq!(name_of(&names("facefusion", "other:1")), "facefusion");
    assert_eq!(name_of(&names("happy_morse", "facefusion:latest")), "facefusion");
    assert_eq!(name_of(&names("", "facefusion")), "facefusion");
    assert_eq!(name_of(&names(ID, "")), "70e4637061cd");
    assert_eq!(name_of(&names("", "")), "70e4637061cd");
    let unknown = |id| Candidate { names: None, ..candidate(id, &compose) };
    assert_eq!(display_names(&[unknown(ID), unknown("short")], &[]), ["70e4637061cd", "short"]);
}

#[test]
fn an_image_given_by_id_leaves_the_generated_name() {
    for image in ["", "sha256:314632ce7d91", "314632ce7d91", "sha256:314632ce7d91725f0144e08a2af9dc53"] {
        assert_eq!(name_of(&names("happy_morse", image)), "happy_morse", "{image}");
    }
}

#[test]
fn the_basename_has_no_registry_tag_or_digest() {
    for (image, expected) in [
        ("facefusion", Some("facefusion")),
        ("facefusion:latest", Some("facefusion")),
        ("facefusion/facefusion:3.1-cuda", Some("facefusion")),
        ("registry.example:5000/team/app@sha256:00", Some("app")),
        ("registry.example:5000/team/app:1@sha256:00", Some("app")),
        ("a/", None),
        (":tag", None),
        ("@", None),
    ] {
        assert_eq!(basename(image), expected, "{image}");
    }
}

#[test]
fn a_rename_replaces_the_runtimes_name() {
    let rules = [rule("swap-*", "swapper-*"), rule("happy_morse", "bob"), rule("gone", "")];
    for (name, expected) in [
        ("swap-7", "swapper-7"),
        ("happy_morse", "bob"),
        ("gone", "gone"),
        ("other", "other"),
        ("swap", "swap"),
    ] {
        assert_eq!(display_names(&[candidate(ID, &names(name, ""))], &rules), [expected], "{name}");
    }
    // The user's rules take precedence over compose and Kubernetes.
    let compose = Metadata { compose_service: Some("web".into()), ..names("swap-7", "") };
    assert_eq!(display_names(&[candidate(ID, &compose)], &rules), ["swapper-7"]);
    let kubernetes = Metadata { kubernetes_container: Some("app".into()), ..names("swap-7", "") };
    assert_eq!(assign(&[candidate(ID, &kubernetes)], &rules)[0].rule, Some(0));
}

#[test]
fn a_star_matches_any_text_and_the_first_match_is_inserted() {
    for (pattern, to, name, expected) in [
        ("*", "x-*", "a", Some("x-a")),
        ("*", "x", "", Some("x")),
        ("a*", "*", "abc", Some("bc")),
        ("a*", "*", "a", None),
        ("*c", "*", "abc", Some("ab")),
        ("a*c", "*", "abbc", Some("bb")),
        ("a*a", "*", "a", None),
        ("a*-*", "*", "a1-2-3", Some("1")),
        ("*-*-*", "*", "x-y-z", Some("x")),
        ("*-*-*", "*", "x-y", None),
        ("a**b", "<*>", "axb", Some("<>")),
        ("a*", "*+*", "ab", Some("b+b")),
        ("a", "b", "ab", None),
    ] {
        assert_eq!(rule(pattern, to).apply(name).as_deref(), expected, "{pattern} {to} {name}");
    }
}

#[test]
fn of_containers_with_the_same_choice_the_oldest_gets_the_name() {
    let web = |name| Metadata {
        compose_service: Some("web".into()),
        compose_number: Some("1".into()),
        ..names(name, "")
    };
    let (one, two) = (web("p1-web-1"), web("p2-web-1"));
    let mut both = [Candidate { age_rank: 7, ..candidate(ID, &one) }, candidate(OTHER_ID, &two)];
    assert_eq!(display_names(&both, &[]), ["p1-web-1", "web-1"]);
    both[1].age_rank = 8;
    assert_eq!(display_names(&both, &[]), ["web-1", "p2-web-1"]);
    let (one, two) = (names("happy_morse", "app:1"), names("zen_tesla", "app:2"));
    let both = [candidate(ID, &one), candidate(OTHER_ID, &two)];
    assert_eq!(display_names(&both, &[]), ["happy_morse", "app"], "of the same age, by ID");
}

#[test]
fn a_container_keeps_its_name_when_another_starts_or_ends() {
    let (older, newer) = (names("happy_morse", "bb:1"), names("zen_tesla", "bb:1"));
    let held = assign(&[candidate(ID, &newer)], &[]).remove(0);
    assert_eq!(held.name, "bb");
    let old = Candidate { age_rank: 1, ..candidate(OTHER_ID, &older) };
    let new = Candidate { age_rank: 2, assigned: Some(&held), ..candidate(ID, &newer) };
    let both = assign(&[old, new], &[]);
    assert_eq!((both[0].name.as_str(), both[1].name.as_str()), ("happy_morse", "bb"));
    let fallback = Candidate { assigned: Some(&both[0]), ..old };
    assert_eq!(display_names(&[fallback], &[]), ["happy_morse"], "the other one has ended");
    let renamed = names("web", "bb:1");
    let renamed = Candidate { names: Some(&renamed), ..new };
    assert_eq!(display_names(&[old, renamed], &[]), ["bb", "web"], "its own name has changed");
}

#[test]
fn one_off_containers_and_images_with_composes_labels_get_no_service_name() {
    let service = |name: &str, one_off| Metadata {
        compose_project: Some("shop".into()),
        compose_service: Some("db".into()),
        compose_number: Some("1".into()),
        compose_one_off: one_off,
        ..names(name, "postgres:16")
    };
    let (own, one_off) = (service("shop-db-1", false), service("shop-db-run-0a1b2c", true));
    let (foreign, nameless) = (service("mine", false), service("happy_morse", false));
    let all = [&own, &one_off, &foreign, &nameless].map(|names| candidate(ID, names));
    let ids = ["d", "a", "b", "c"];
    let all: Vec<_> = all.into_iter().zip(ids).map(|(one, id)| Candidate { id, ..one }).collect();
    assert_eq!(display_names(&all, &[]), ["db-1", "shop-db-run-0a1b2c", "mine", "postgres"]);
}

#[test]
fn an_ended_container_blocks_no_name() {
    let web = names("web", "");
    let ended = Candidate { competes: false, ..candidate(ID, &web) };
    assert_eq!(display_names(&[ended, candidate(OTHER_ID, &web)], &[]), ["web", "web"]);
}

#[test]
fn further_collisions_are_resolved_with_the_id() {
    let same = names("same", "");
    let both = [candidate(ID, &same), candidate(OTHER_ID, &same)];
    assert_eq!(display_names(&both, &[]), ["same-70e4637061cd", "same"]);
    // A third container has the name that the first one would fall back to.
    let hostile = names("same-70e4637061cd", "");
    let all = display_names(&[both[0], both[1], candidate("x", &hostile)], &[]);
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), 3, "{all:?}");
}

#[test]
fn an_id_is_reserved_for_its_container() {
    let (impostor, nameless) = (names(OTHER_ID, ""), names("", ""));
    let short = &ID[..12];
    // Even if that container does not need the ID as its name.
    for names in [&nameless, &impostor] {
        let both = [candidate(ID, &impostor), candidate(OTHER_ID, names)];
        assert_eq!(display_names(&both, &[])[0], format!("{OTHER_ID}-{short}"));
    }
    assert_eq!(display_names(&[candidate(ID, &impostor)], &[]), [OTHER_ID]);
}

#[test]
fn pods_do_not_collide_with_each_other() {
    let pod = |pod: &str| Metadata {
        namespace: Some("prod".into()),
        pod: Some(pod.into()),
        kubernetes_container: Some("app".into()),
        ..names("", "")
    };
    let (zero, one) = (pod("app-0"), pod("app-1"));
    assert_eq!(display_names(&[candidate(ID, &zero), candidate(OTHER_ID, &one)], &[]), ["app", "app"]);
    assert_eq!(
        display_names(&[candidate(ID, &zero), candidate(OTHER_ID, &zero)], &[]),
        ["app-70e4637061cd", "app"]
    );
}

proptest! {
    // Few letters, so that collisions are frequent, and names that are other containers' IDs.
    #[test]
    fn no_two_live_containers_of_a_pod_share_a_name(
        rows in prop::collection::vec(
            ("[a-c]{0,2}", "[ab]{0,1}", prop::option::of("[ab]"), prop::option::of("[ab]"), prop::option::of("é{0,70}")),
            0..12,
        ),
    ) {
        let ids: Vec<String> = (0..rows.len()).map(|number| format!("{number:064x}")).collect();
        let all: Vec<Metadata> = rows.iter().enumerate().map(|(number, row)| Metadata {
            name: match number % 3 {
                0 => row.0.clone(),
                1 => format!("{}-{}", row.0, &ids[number - 1][..12]),
                _ => ids[number - 2].clone(),
            },
            image: row.1.clone(),
            pod: row.2.clone(),
            kubernetes_container: row.3.clone(),
            compose_service: row.4.clone(),
            ..Metadata::default()
        }).collect();
        let mut candidates: Vec<_> = ids.iter().zip(&all).map(|(id, names)| candidate(id, names)).collect();
        let displayed = display_names(&candidates, &[]);
        let assigned = assign(&candidates, &[]);
        for (candidate, assigned) in candidates.iter_mut().zip(&assigned) {
            candidate.assigned = Some(assigned);
        }
        prop_assert_eq!(&display_names(&candidates, &[]), &displayed, "names are kept");
        let unique: HashSet<_> = all.iter().zip(&displayed).map(|(names, name)| (&names.pod, name)).collect();
        prop_assert_eq!(unique.len(), rows.len());
        prop_assert!(displayed.iter().all(|name| name.len() <= 128 && !name.is_empty()));

        candidates.reverse();
        let mut again = display_names(&candidates, &[]);
        again.reverse();
        prop_assert_eq!(again, displayed);
    }

    #[test]
    fn no_pattern_causes_a_panic(pattern in "[ab*é]{0,8}", to in "[a*]{0,3}", name in "[abé]{0,8}") {
        let _ = rule(&pattern, &to).apply(&name);
    }
}
