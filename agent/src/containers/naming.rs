//! The name by which people know a container: the label `container`. Pure.
//!
//! The first of these that there is: the name in its Kubernetes pod; compose's `<service>-<number>`; what a
//! configured rename makes of the runtime's name; the runtime's name, unless Docker invented it; the image
//! without registry and tag; the runtime's name after all; the first digits of the id. So `docker run
//! facefusion:latest`, which Docker calls `happy_morse` today and `zen_tesla` tomorrow, is `facefusion` on
//! both days.
//!
//! Where two living containers would bear one name in one pod (or both in none), all of these use the
//! runtime's name instead; where they still would, the first digits of the id are appended.

mod generated;

use std::collections::HashMap;

use super::directory::Names;
use crate::config::Rename;

const NAME_BYTES: usize = 128;
/// As many digits of an id as `docker ps` shows.
const SHORT_ID_BYTES: usize = 12;

/// A container in want of a name.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The runtime's id, unique among the living.
    pub id: &'a str,
    /// What a runtime tells of it.
    pub names: Option<&'a Names>,
    /// Whether it runs. One that has ended gets its first choice and is in nobody's way.
    pub living: bool,
}

impl<'a> Candidate<'a> {
    /// The runtime's name, unless it is but the id again, as with containerd.
    fn runtime_name(&self) -> Option<&'a str> {
        let name = self.names?.name.as_str();
        (!name.is_empty() && name != self.id).then_some(name)
    }

    /// Its namespace and pod, within which its name is unique.
    fn pod(&self) -> (Option<&'a str>, Option<&'a str>) {
        self.names.map_or((None, None), |names| (names.namespace.as_deref(), names.pod.as_deref()))
    }

    fn short_id(&self) -> &'a str {
        &self.id[..self.id.floor_char_boundary(SHORT_ID_BYTES)]
    }

    fn first_choice(&self, renames: &[Rename]) -> String {
        let Some(names) = self.names else {
            return self.short_id().to_owned();
        };
        if let Some(name) = known(&names.kubernetes_container) {
            return name.to_owned();
        }
        if let Some(service) = known(&names.compose_service) {
            return match known(&names.compose_number) {
                Some(number) => format!("{service}-{number}"),
                None => service.to_owned(),
            };
        }
        let name = self.runtime_name();
        if let Some(renamed) = name.and_then(|name| renames.iter().find_map(|rule| renamed(rule, name))) {
            return renamed;
        }
        let given = name.filter(|name| !generated::is_generated(name));
        given.or_else(|| basename(&names.image)).or(name).unwrap_or(self.short_id()).to_owned()
    }

    /// The name after `collisions`: the first choice, the runtime's name, that with the id's first digits,
    /// the id.
    fn at(&self, collisions: u8, renames: &[Rename]) -> String {
        let runtime_name = || self.runtime_name().map(str::to_owned);
        let name = match collisions {
            0 => self.first_choice(renames),
            1 => runtime_name().unwrap_or_else(|| self.first_choice(renames)),
            2 => {
                let name = runtime_name().unwrap_or_else(|| self.first_choice(renames));
                let short_id = self.short_id();
                let room = name.floor_char_boundary(NAME_BYTES - 1 - short_id.len());
                format!("{}-{short_id}", &name[..room])
            }
            _ => self.id.to_owned(),
        };
        name[..name.floor_char_boundary(NAME_BYTES)].to_owned()
    }
}

fn known(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

/// How many collisions it takes until only the id is left.
const LAST_RESORT: u8 = 3;

/// The names of all containers, in their order. Two living ones within one namespace and pod never get the
/// same, whatever they are called, as long as their ids differ. A name does not depend on the order of the
/// containers.
#[must_use]
pub fn display_names(containers: &[Candidate<'_>], renames: &[Rename]) -> Vec<String> {
    let mut collisions = vec![0u8; containers.len()];
    let mut names: Vec<String> = containers.iter().map(|container| container.at(0, renames)).collect();
    loop {
        let raised: Vec<usize> = {
            let mut bearers: HashMap<_, Vec<usize>> = HashMap::new();
            for (index, container) in containers.iter().enumerate().filter(|(_, container)| container.living)
            {
                bearers.entry((container.pod(), &names[index])).or_default().push(index);
            }
            let colliding = bearers.into_values().filter(|bearers| bearers.len() > 1).flatten();
            colliding.filter(|index| collisions[*index] < LAST_RESORT).collect()
        };
        if raised.is_empty() {
            return names;
        }
        for index in raised {
            collisions[index] += 1;
            names[index] = containers[index].at(collisions[index], renames);
        }
    }
}

/// The image without registry, tag and digest. `None` where it is given by its id.
fn basename(image: &str) -> Option<&str> {
    let image = image.split_once('@').map_or(image, |(image, _digest)| image);
    let last = image.rsplit('/').next()?;
    let base = last.split_once(':').map_or(last, |(base, _tag)| base);
    let is_id = base == "sha256"
        || (base.len() >= SHORT_ID_BYTES && base.bytes().all(|byte| byte.is_ascii_hexdigit()));
    (!base.is_empty() && !is_id).then_some(base)
}

/// What a rule makes of a name; `None` where it does not apply or leaves nothing.
fn renamed(rule: &Rename, name: &str) -> Option<String> {
    let Some((start, rest)) = rule.name.split_once('*') else {
        return (rule.name == name && !rule.to.is_empty()).then(|| rule.to.clone());
    };
    let after_start = name.strip_prefix(start)?;
    let (middle, end) = rest.rsplit_once('*').map_or((None, rest), |(middle, end)| (Some(middle), end));
    let open = after_start.strip_suffix(end)?;
    let mut first = open;
    if let Some(middle) = middle {
        // Each part where it first occurs: if the name can be matched at all, it can be matched so.
        let mut left = open;
        for (number, part) in middle.split('*').enumerate() {
            let at = left.find(part)?;
            if number == 0 {
                first = &left[..at];
            }
            left = &left[at + part.len()..];
        }
    }
    let to = rule.to.replacen('*', first, usize::MAX);
    (!to.is_empty()).then_some(to)
}

#[cfg(test)]
mod tests;
