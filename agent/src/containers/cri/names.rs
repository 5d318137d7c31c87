//! Converts what a runtime reports about a pod's sandbox or container to metadata. Pure.

use std::time::{Duration, SystemTime};

use super::messages::{ContainerMetadata, ImageSpec, PodSandboxMetadata};
use crate::containers::{grpc::bounded::Labels, metadata::Metadata, source::Source};

/// Kubernetes' name for the container that only holds a pod's namespaces.
pub(super) const SANDBOX: &str = "POD";

const NAMESPACE: &str = "io.kubernetes.pod.namespace";
const POD: &str = "io.kubernetes.pod.name";
const CONTAINER: &str = "io.kubernetes.container.name";

pub(super) fn sandbox_names(
    source: Source,
    filter: &[String],
    pod: &PodSandboxMetadata,
    labels: &Labels,
    created_at: i64,
) -> Metadata {
    let container = ContainerMetadata { name: SANDBOX.to_owned(), attempt: pod.attempt };
    let mut names = container_names(source, filter, &container, None, Some(pod), labels);
    names.started_at = time_of(created_at);
    names
}

pub(super) fn container_names(
    source: Source,
    filter: &[String],
    container: &ContainerMetadata,
    image: Option<ImageSpec>,
    pod: Option<&PodSandboxMetadata>,
    labels: &Labels,
) -> Metadata {
    let image = image.unwrap_or_default();
    let image = Some(image.user_specified_image).filter(|text| !text.is_empty()).unwrap_or(image.image);
    let none = PodSandboxMetadata::default();
    let pod = pod.unwrap_or(&none);
    // The name format that the kubelet has always used, and that cAdvisor shows.
    let (attempt, pod_name, namespace, uid) = (container.attempt, &pod.name, &pod.namespace, &pod.uid);
    let name = format!("k8s_{}_{pod_name}_{namespace}_{uid}_{attempt}", container.name);
    let known = [(NAMESPACE, &pod.namespace), (POD, &pod.name), (CONTAINER, &container.name)];
    let known = known.into_iter().filter(|(_, value)| !value.is_empty());
    let labels = labels.iter().chain(known.map(|(key, value)| (key, value.as_str())));
    Metadata::new(source, &name, &image, labels, filter)
}

/// `None` for 0, which runtimes use for "not yet".
pub(super) fn time_of(nanoseconds: i64) -> Option<SystemTime> {
    let since_epoch = u64::try_from(nanoseconds).ok().filter(|nanoseconds| *nanoseconds > 0)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(since_epoch))
}
