//! Counters of jobs by function, for a limited number of functions.

use glassbox_ebpf::histogram;

use crate::{
    config::FunctionName,
    snapshot::{
        jobs::{FUNCTIONS_MAX, JobCounters, Jobs, OTHER_FUNCTIONS, Outcome},
        scheduler::Histogram,
        totals::Accumulate as _,
    },
};

/// What identifies a function in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Function {
    /// Its number in the application.
    Index(u32),
    /// Its API name.
    Api(Box<str>),
    /// The request did not contain it, or it could not be read.
    Unknown,
    /// One of those without counters of their own.
    Other,
}

impl Function {
    /// The name under which it is exported in this container.
    fn name(&self, names: &[FunctionName], container: &str) -> String {
        match self {
            Self::Index(index) => {
                let named = names.iter().find_map(|rule| rule.apply(container, *index));
                named.map_or_else(|| index.to_string(), str::to_owned)
            }
            Self::Api(name) => format!("/{name}"),
            Self::Unknown => "unknown".to_owned(),
            Self::Other => OTHER_FUNCTIONS.to_owned(),
        }
    }
}

/// The functions of one container.
#[derive(Debug, Default)]
pub(super) struct Functions(Vec<(Function, JobCounters)>);

impl Functions {
    /// The position of a function, which is entered if necessary. Positions never change.
    pub(super) fn position(&mut self, function: Function) -> usize {
        let find = |wanted: &Function| self.0.iter().position(|(known, _)| known == wanted);
        if let Some(position) = find(&function) {
            return position;
        }
        let own = self.0.iter().filter(|(known, _)| *known != Function::Other).count();
        let (known, function) =
            if own < FUNCTIONS_MAX { (None, function) } else { (find(&Function::Other), Function::Other) };
        known.unwrap_or_else(|| {
            self.0.push((function, JobCounters::default()));
            self.0.len() - 1
        })
    }

    fn at(&mut self, position: usize, change: impl FnOnce(&mut JobCounters)) {
        if let Some((_, counters)) = self.0.get_mut(position) {
            change(counters);
        }
    }

    /// Counts a start after this wait.
    pub(super) fn started(&mut self, position: usize, wait_ns: u64) {
        self.at(position, |counters| {
            counters.started += 1;
            add(&mut counters.queue_waits, wait_ns);
        });
    }

    /// Counts the first progress of a job.
    pub(super) fn progressed(&mut self, position: usize, after_ns: u64) {
        self.at(position, |counters| add(&mut counters.first_progress, after_ns));
    }

    /// Counts an end. The duration of the run is unknown if the start is.
    pub(super) fn ended(&mut self, position: usize, outcome: Outcome, duration_ns: u64, run_ns: Option<u64>) {
        self.at(position, |counters| {
            counters.ended[outcome as usize] += 1;
            // A cancelled or abandoned function goes on, so the times until then are not those of the function.
            if matches!(outcome, Outcome::Success | Outcome::Error) {
                add(&mut counters.durations, duration_ns);
                if let Some(run_ns) = run_ns {
                    add(&mut counters.runs, run_ns);
                }
            }
        });
    }

    /// The counters under the names of the functions. Functions with the same name are added up.
    pub(super) fn write(&self, jobs: &mut Jobs, names: &[FunctionName], container: &str) {
        for (function, counters) in &self.0 {
            jobs.function(&function.name(names, container)).counters.accumulate(counters);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn add(histogram: &mut Histogram, duration_ns: u64) {
    histogram.sum_ns = histogram.sum_ns.saturating_add(duration_ns);
    histogram.buckets[histogram::bucket(duration_ns)] += 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_beyond_the_limit_share_one_name() {
        let mut functions = Functions::default();
        for index in 0..100 {
            let position = functions.position(Function::Index(index));
            assert_eq!(position, functions.position(Function::Index(index)));
            functions.started(position, 1);
        }
        let mut jobs = Jobs::default();
        functions.write(&mut jobs, &[], "a");
        assert_eq!(jobs.functions.len(), FUNCTIONS_MAX + 1);
        let other = jobs.functions.last().unwrap();
        assert_eq!((&*other.name, other.counters.started), ("other", 68));
    }

    #[test]
    fn functions_are_named_by_the_configuration_of_their_container() {
        let rule = |container: &str, function, name: &str| FunctionName {
            container: container.into(),
            function,
            name: name.into(),
        };
        let names = [rule("face*", 3, "swap"), rule("*", 3, "three"), rule("face*", 4, "swap")];
        let mut functions = Functions::default();
        for function in [3, 4, 5].map(Function::Index).into_iter().chain([Function::Api("x".into())]) {
            let position = functions.position(function);
            functions.started(position, 1);
        }
        let named = |container: &str| {
            let mut jobs = Jobs::default();
            functions.write(&mut jobs, &names, container);
            let names =
                jobs.functions.iter().map(|function| (function.name.to_string(), function.counters.started));
            names.collect::<Vec<_>>()
        };
        let expected =
            |all: &[(&str, u64)]| all.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect::<Vec<_>>();
        assert_eq!(named("facefusion-1"), expected(&[("swap", 2), ("5", 1), ("/x", 1)]));
        assert_eq!(named("other"), expected(&[("three", 1), ("4", 1), ("5", 1), ("/x", 1)]));
    }
}
