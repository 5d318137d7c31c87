//! The display name of a container: the label `container`. Pure. docs/containers.md describes it for users.
//!
//! The preferred name of a container is the first of these that exists: the result of a user's rename rule for the
//! runtime's name; the name in its Kubernetes pod; compose's `<service>-<number>`; the runtime's name, unless Docker
//! generated it; the image without registry and tag; the runtime's generated name; the first digits of the ID. For
//! example, `docker run facefusion:latest` is always `facefusion`, although Docker calls it `happy_morse` or
//! `zen_tesla`.
//!
//! Within a pod (or outside of all pods) only one running container can have a name. It keeps the name as long as it
//! exists. If several containers start to compete at the same time, the oldest one gets the name. The others use the
//! runtime's name, then the runtime's name with the first digits of the ID, then the ID.

mod compose;
mod generated;

use std::collections::HashSet;

use super::metadata::Metadata;
use crate::config::Rename;

const NAME_BYTES: usize = 128;
/// The number of ID digits that `docker ps` shows.
const SHORT_ID_BYTES: usize = 12;

/// A container that needs a name.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The container ID, unique among live containers.
    pub id: &'a str,
    /// The metadata that a runtime reports.
    pub names: Option<&'a Metadata>,
    /// True if the container competes for its name. An ended container gets its preferred name and does not reserve
    /// that name.
    pub competes: bool,
    /// Grows with the time of creation.
    pub age_rank: u64,
    /// The name assigned so far.
    pub assigned: Option<&'a Assigned>,
}

/// An assigned name and the reason for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// The display name.
    pub name: String,
    /// The name that the container would have without competitors. The name is kept as long as this does not change.
    pub choice: String,
    /// The index of the user's rule that produced `choice`.
    pub rule: Option<usize>,
    /// False if another container has the preferred name.
    pub is_choice: bool,
}

impl<'a> Candidate<'a> {
    /// The runtime's name, unless it repeats the ID, as with containerd.
    fn runtime_name(&self) -> Option<&'a str> {
        let name = self.names?.name.as_str();
        (!name.is_empty() && name != self.id).then_some(name)
    }

    /// The namespace and the pod. Names are unique within a pod.
    fn pod(&self) -> (Option<&'a str>, Option<&'a str>) {
        self.names.map_or((None, None), |names| (names.namespace.as_deref(), names.pod.as_deref()))
    }

    fn short_id(&self) -> &'a str {
        &self.id[..self.id.floor_char_boundary(SHORT_ID_BYTES)]
    }

    /// The preferred name and the rule that produced it.
    fn first_choice(&self, renames: &[Rename]) -> (String, Option<usize>) {
        let Some(names) = self.names else {
            return (self.short_id().to_owned(), None);
        };
        let name = self.runtime_name();
        let apply = |name: &str| {
            let mut renamed = renames.iter().enumerate().map(|(index, rule)| (rule.apply(name), index));
            renamed.find_map(|(renamed, index)| Some((renamed?, Some(index))))
        };
        if let Some(renamed) = name.and_then(apply) {
            return renamed;
        }
        let reported = known(&names.kubernetes_container).map(str::to_owned);
        let reported = reported.or_else(|| compose::service_name(names, name));
        let fallback = || {
            let given = name.filter(|name| !generated::is_generated(name));
            given.or_else(|| basename(&names.image)).or(name).unwrap_or(self.short_id()).to_owned()
        };
        (reported.unwrap_or_else(fallback), None)
    }

    /// The possible names, best first. The iterator is infinite.
    fn options(&self, choice: &str) -> impl Iterator<Item = String> {
        let base = self.runtime_name().unwrap_or(choice).to_owned();
        let short_id = self.short_id();
        let room = base.floor_char_boundary(NAME_BYTES - 1 - short_id.len());
        // If the name is the short ID already, appending the short ID would not make it unique.
        let with_id = (base != short_id).then(|| format!("{}-{short_id}", &base[..room]));
        let id = self.id.to_owned();
        // Even the ID may be taken, by a container that a user gave this name.
        let numbered = (2_u64..).map(move |number| format!("{id}-{number}"));
        let named = [Some(choice.to_owned()), Some(base), with_id, Some(self.id.to_owned())];
        named.into_iter().flatten().chain(numbered).map(cut)
    }
}

fn cut(mut name: String) -> String {
    name.truncate(name.floor_char_boundary(NAME_BYTES));
    name
}

fn known(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

/// The names of all containers, in the order of `containers`. Competing containers in the same pod get different names
/// if their IDs differ. The names do not depend on the order of the containers.
#[must_use]
pub fn assign(containers: &[Candidate<'_>], renames: &[Rename]) -> Vec<Assigned> {
    let ids: HashSet<&str> = containers.iter().filter(|one| one.competes).map(|one| one.id).collect();
    let choices: Vec<_> = containers.iter().map(|one| one.first_choice(renames)).collect();
    let kept = |index: usize| {
        let (one, (choice, _)) = (&containers[index], &choices[index]);
        one.assigned.filter(|assigned| assigned.choice == *choice).map(|assigned| assigned.name.as_str())
    };
    let mut order: Vec<usize> = (0..containers.len()).collect();
    // Containers that keep their name come first, then the others by age.
    order.sort_unstable_by_key(|&index| {
        let one = &containers[index];
        (kept(index).is_none(), one.age_rank, one.id)
    });
    let mut taken: HashSet<(_, String)> = HashSet::new();
    let mut names = vec![String::new(); containers.len()];
    for index in order {
        let (one, (choice, _)) = (&containers[index], &choices[index]);
        let pod = one.pod();
        let mut options = kept(index).map(str::to_owned).into_iter().chain(one.options(choice));
        let is_free = |name: &String| {
            // An ID is reserved for its container.
            let is_others_id = name != one.id && ids.contains(name.as_str());
            !one.competes || (!is_others_id && !taken.contains(&(pod, name.clone())))
        };
        let name = options.find(is_free).unwrap_or_else(|| one.id.to_owned());
        if one.competes {
            taken.insert((pod, name.clone()));
        }
        names[index] = name;
    }
    let assigned = names.into_iter().zip(choices).map(|(name, (choice, rule))| {
        let is_choice = name == cut(choice.clone());
        Assigned { name, choice, rule, is_choice }
    });
    assigned.collect()
}

/// The image without registry, tag and digest. `None` if the image is given by ID.
fn basename(image: &str) -> Option<&str> {
    let image = image.split_once('@').map_or(image, |(image, _digest)| image);
    let last = image.rsplit('/').next()?;
    let base = last.split_once(':').map_or(last, |(base, _tag)| base);
    let is_id = base == "sha256"
        || (base.len() >= SHORT_ID_BYTES && base.bytes().all(|byte| byte.is_ascii_hexdigit()));
    (!base.is_empty() && !is_id).then_some(base)
}

#[cfg(test)]
mod tests;
