//! Jobs of FaceFusion, from its job files and from the programs that it starts. FaceFusion itself is not touched.
//!
//! FaceFusion (3.0 and later) keeps each job in a file, and moves it when the job is submitted, ends or is retried. inotify
//! reports the changes; see `facefusion/jobs.rs`. While a job is running, the arguments and the bytes of ffmpeg and of other
//! programs show its phase and its frames; see `facefusion/phases.rs`. The file names, paths, arguments and the rest of the
//! files' content are not kept.
//!
//! A separate thread does this, because a file system of a container may hang. A job whose file was there before the agent
//! saw FaceFusion is present, but its start is unknown. Containers that share a directory of jobs have the same jobs.
//!
//! Cost: at most every 10 to 15 s (5 s with FaceFusion), if the container has used 100 ms of CPU time since the last look, a list
//! of its processes and up to 64 command lines. Young containers are looked at more often. In addition: 20 to 30 µs per change of
//! a job file, and while a job is running, 10 µs per process ten times a second. The files of a container take at most 2 MiB and
//! some 20 ms of an update; changes beyond that are counted and not read. After an update, the thread rests nine times as long, up
//! to 15 s: at most 10 % of a core. It is reported as hanging if it has published no reading for 30 s. Linux 5.6 (`openat2`).

mod budget;
mod children;
mod command;
mod failures;
mod file;
mod find;
mod frames;
mod jobs;
mod page;
mod phases;
mod reading;
mod sampled;
mod store;
mod subject;
mod thread;
mod watched;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use self::{
    reading::{Reading, Shared},
    subject::{Signs, Subject},
    thread::Host,
};
use super::{Collector, Context, Spec, examination, thread::Thread};
use crate::{
    containers::{process, tracker::Container},
    kernel::{Kernel, privileges},
    snapshot::{ContainerRow, identity::Identity},
};

/// The entry of this collector in the registry.
pub const SPEC: Spec = Spec {
    name: "facefusion",
    summary: "FaceFusion's jobs, from its job files and the programs that it starts",
    capabilities: &[&privileges::SYS_PTRACE],
    needs: &[],
    start: |context| Ok(Box::new(FaceFusionJobs::new(context)?)),
    examine: examination::of_start,
};

/// What is wrong if the thread hangs.
const HANGS: &str =
    "a file system of a container does not respond; counters of FaceFusion keep their last values";

struct FaceFusionJobs {
    shared: Shared,
    reading: Option<Arc<Reading>>,
    subjects: HashMap<u64, Arc<Subject>>,
    limitation: Option<String>,
    thread: Thread,
}

impl FaceFusionJobs {
    fn new(context: &Context<'_>) -> anyhow::Result<Self> {
        let (layout, proc_root) = (context.layout.clone(), context.config.paths.proc.clone());
        let host = Host { layout, proc_root, since: Instant::now() };
        process::same_namespace(&host.proc_root)?;
        let limitation = process::limitation(&host.layout, &host.proc_root);
        let shared = Shared::default();
        let lost = "the metrics of FaceFusion keep their values";
        let of_thread = shared.clone();
        let thread =
            Thread::start("glassbox-facefusion", lost, move |stop| thread::run(&host, &of_thread, stop))?;
        Ok(Self { shared, reading: None, subjects: HashMap::new(), limitation, thread })
    }

    /// The container, which the thread looks at from now on.
    fn subject(&mut self, container: &Container, is_new: bool) -> &Subject {
        self.subjects.entry(container.key).or_insert_with(|| {
            let Identity { id, cgroup_path, .. } = &*container.identity;
            let subject = Subject::new(id.clone(), cgroup_path.clone(), is_new);
            let subject = self.shared.add(container.key, subject);
            self.thread.wake();
            subject
        })
    }
}

impl Collector for FaceFusionJobs {
    fn refresh(&mut self, _kernel: Option<&mut Kernel>) {
        self.reading = self.shared.latest();
    }

    fn limitation(&self) -> Option<&str> {
        let reading = self.reading.as_deref();
        let hangs = reading.is_some_and(Reading::hangs).then_some(HANGS);
        let of_reading = reading.and_then(|reading| reading.limitation.as_deref());
        self.limitation.as_deref().or(hangs).or(of_reading)
    }

    fn on_start(&mut self, container: &Container, is_new: bool, _: &mut Kernel) {
        self.subject(container, is_new);
    }

    fn collect(&mut self, container: &Container, row: &mut ContainerRow) -> anyhow::Result<()> {
        // Without kernel programs, nothing reports the start of a container.
        let cpu_time = row.cgroup.cpu.usage_ns.map(Duration::from_nanos);
        self.subject(container, false).note(Signs::of(row), cpu_time);
        row.facefusion = self.reading.as_ref().and_then(|reading| reading.of(container.key)).map(Box::new);
        Ok(())
    }

    fn end(&mut self, container: &Container, row: &mut ContainerRow) {
        // The thread may have published a reading since the tick began.
        let ended = self.shared.latest().and_then(|reading| reading.at_end(container.key, Signs::of(row)));
        if let Some(ended) = ended {
            row.facefusion = Some(Box::new(ended));
        }
    }

    fn forget(&mut self, container: &Container) {
        self.subjects.remove(&container.key);
        self.shared.remove(container.key);
    }
}
