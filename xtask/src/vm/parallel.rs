//! Jobs by turns: so many at a time, each heard in one piece, with signs of life between.

use std::sync::Mutex;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Instant;

use crate::progress::{LIVE_INTERVAL, Progress};

/// Columns of that which a job's newest line may take.
const COLUMNS: usize = 40;

/// What a job does, given a function that takes its lines.
type Work<'a, T> = dyn FnOnce(&dyn Fn(String)) -> T + Send + 'a;

/// A job with a name.
pub(super) struct Job<'a, T> {
    pub(super) name: String,
    pub(super) work: Box<Work<'a, T>>,
}

enum Event<T> {
    Line(usize, String),
    Done(usize, T),
}

/// One that is being worked on.
struct Running {
    job: usize,
    began: Instant,
    lines: Vec<String>,
}

/// Works on all jobs, `at_once` at a time; what they came to, in their order, and `None` for one that panicked. A job
/// that is alone is heard as it speaks, others when they are done.
pub(super) fn run<T: Send>(jobs: Vec<Job<'_, T>>, at_once: usize) -> Vec<Option<T>> {
    let names: Vec<String> = jobs.iter().map(|job| job.name.clone()).collect();
    let mut results: Vec<Option<T>> = jobs.iter().map(|_| None).collect();
    let workers = at_once.min(jobs.len());
    let queue = Mutex::new(jobs.into_iter().enumerate());
    let (sender, events) = channel();
    std::thread::scope(|scope| {
        let threads = (0..workers).map(|_| {
            let (sender, queue) = (sender.clone(), &queue);
            scope.spawn(move || {
                let next = || queue.lock().ok()?.next();
                while let Some((index, job)) = next() {
                    // Whoever listens does so until the last worker has gone.
                    let emit = |line| drop(sender.send(Event::Line(index, line)));
                    let result = (job.work)(&emit);
                    drop(sender.send(Event::Done(index, result)));
                }
            })
        });
        let threads: Vec<_> = threads.collect();
        drop(sender);
        let (mut progress, mut running) = (Progress::new(), Vec::<Running>::new());
        loop {
            match events.recv_timeout(LIVE_INTERVAL) {
                Ok(Event::Line(job, line)) if workers == 1 => println!("[{}] {line}", names[job]),
                Ok(Event::Line(job, line)) => match running.iter_mut().find(|known| known.job == job) {
                    Some(known) => known.lines.push(line),
                    None => running.push(Running { job, began: Instant::now(), lines: vec![line] }),
                },
                Ok(Event::Done(job, result)) => {
                    if let Some(at) = running.iter().position(|known| known.job == job) {
                        progress.clear();
                        let Running { lines, .. } = running.remove(at);
                        lines.iter().for_each(|line| println!("[{}] {line}", names[job]));
                    }
                    results[job] = Some(result);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if !running.is_empty() {
                progress.show(|| newest(&names, &running));
            }
        }
        progress.clear();
        // A panic has been printed, and its job has no result.
        threads.into_iter().for_each(|thread| drop(thread.join()));
    });
    results
}

/// The seconds and the newest line of each.
fn newest(names: &[String], running: &[Running]) -> String {
    let of = |running: &Running| {
        let newest: String = running.lines.last().into_iter().flat_map(|line| line.chars()).collect();
        // The end of a test's name tells more than its beginning.
        let skipped = newest.chars().count().saturating_sub(COLUMNS);
        let newest: String = newest.chars().skip(skipped).collect();
        format!("[{}] {} s {newest}", names[running.job], running.began.elapsed().as_secs())
    };
    running.iter().map(of).collect::<Vec<_>>().join("  ")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    fn job<'a, T>(name: &str, work: impl FnOnce(&dyn Fn(String)) -> T + Send + 'a) -> Job<'a, T> {
        Job { name: name.to_owned(), work: Box::new(work) }
    }

    #[test]
    fn results_keep_their_order_and_no_more_than_allowed_work_at_once() {
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let jobs = (0..5_u64).map(|number| {
            let (now, most) = (&now, &most);
            job(&number.to_string(), move |emit| {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                emit("working".to_owned());
                std::thread::sleep(Duration::from_millis(60 - 10 * number));
                now.fetch_sub(1, Ordering::SeqCst);
                number
            })
        });
        let results = run(jobs.collect(), 2);
        assert_eq!(results, (0..5).map(Some).collect::<Vec<_>>());
        assert_eq!(most.into_inner(), 2);
    }

    #[test]
    fn a_job_that_panics_has_no_result_and_the_others_keep_theirs() {
        let broken = job("broken", |_| panic!("as it should"));
        let results = run(vec![job("first", |_| 1), broken, job("last", |_| 3)], 2);
        assert_eq!(results, [Some(1), None, Some(3)]);
    }

    #[test]
    fn progress_tells_the_newest_line_of_each_by_its_end() {
        let running = |job, line: &str| Running { job, began: Instant::now(), lines: vec![line.to_owned()] };
        let long = format!("{}end", "x".repeat(100));
        let line = newest(&["6.1".into(), "6.12".into()], &[running(1, &long), running(0, "short")]);
        assert_eq!(line, format!("[6.12] 0 s {}end  [6.1] 0 s short", "x".repeat(37)));
    }
}
