//! Metadata from the file names of Kubernetes' logs: `containers/<pod>_<namespace>_<container>-<id>.log`, else
//! `pods/<namespace>_<pod>_<uid>`, found by the pod's UID in the cgroup path. The log files are not opened.

use std::path::Path;

use super::entries;
use crate::containers::{
    metadata::{Metadata, Unresolved},
    source::Source,
};

/// The directory of links with the container ID in their names.
pub(super) const CONTAINERS: &str = "containers";
const PODS: &str = "pods";
/// Maximum length of a link's name in bytes. The kubelet truncates longer names before `.log`, which drops ID digits.
const NAME_BYTES_MAX: usize = 255;
/// Minimum number of ID digits: fewer could be those of another container, or the end of a name.
const DIGITS_MIN: usize = 12;
/// The number of digits in a pod's UID, without dashes.
const UID_DIGITS: usize = 32;

pub(super) fn names(root: &Path, unresolved: &Unresolved, filter: &[String]) -> Option<Metadata> {
    let by_id = entries(&root.join(CONTAINERS)).find_map(|name| {
        let [pod, namespace, container] = three(without_id(&name, &unresolved.id)?)?;
        Some((namespace, pod, Some(container)))
    });
    let (namespace, pod, container) = by_id.or_else(|| {
        let uid = pod_uid(&unresolved.cgroup_path)?;
        entries(&root.join(PODS)).find_map(|name| {
            let [namespace, pod, theirs] = three(&name)?;
            (digits(&theirs) == uid).then_some((namespace, pod, None))
        })
    })?;
    let labels = [
        ("io.kubernetes.pod.namespace", Some(&namespace)),
        ("io.kubernetes.pod.name", Some(&pod)),
        ("io.kubernetes.container.name", container.as_ref()),
    ];
    let labels = labels.into_iter().filter_map(|(key, value)| Some((key, value?.as_str())));
    Some(Metadata::new(Source::files(unresolved.runtime), "", "", labels, filter))
}

/// The name of a link without the container ID, complete or truncated, and the dash before it.
fn without_id<'a>(name: &'a str, id: &str) -> Option<&'a str> {
    let stem = name.strip_suffix(".log")?;
    let (names, digits) = stem.rsplit_once('-')?;
    let is_cut = name.len() == NAME_BYTES_MAX && digits.len() >= DIGITS_MIN && id.starts_with(digits);
    (digits == id || is_cut).then_some(names)
}

/// Splits a name into three parts. Kubernetes' own names contain no underscores.
fn three(text: &str) -> Option<[String; 3]> {
    let mut parts = text.split('_').map(str::to_owned);
    let three = [parts.next()?, parts.next()?, parts.next()?];
    (parts.next().is_none() && three.iter().all(|part| !part.is_empty())).then_some(three)
}

/// The digits of the UID of the pod that a cgroup is in: `/kubepods/pod<uid>/…`, or `…-pod<uid with _>.slice/…`. The
/// UIDs of static pods have no dashes at all.
pub(super) fn pod_uid(cgroup_path: &str) -> Option<String> {
    cgroup_path.rsplit('/').skip(1).find_map(|part| {
        let stem = part.strip_suffix(".slice").unwrap_or(part);
        let (before, uid) = stem.rsplit_once("pod")?;
        let uid = digits(uid);
        let is_uid = uid.len() == UID_DIGITS && uid.bytes().all(|byte| byte.is_ascii_hexdigit());
        (is_uid && (before.is_empty() || before.ends_with('-'))).then_some(uid)
    })
}

fn digits(uid: &str) -> String {
    uid.chars().filter(|c| !matches!(c, '-' | '_')).collect()
}
