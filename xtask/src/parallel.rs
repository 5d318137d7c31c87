//! Runs jobs in parallel. The output of each job is printed in one piece, with a status line in between.

use std::sync::Mutex;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Instant;

use crate::progress::{LIVE_INTERVAL, Progress};

/// Width of a job's last line in the status line.
const COLUMNS: usize = 40;

/// The work of a job. Its parameter is called with each line of output.
type Work<'a, T> = dyn FnOnce(&dyn Fn(String)) -> T + Send + 'a;

/// A named job.
pub(crate) struct Job<'a, T> {
    pub(crate) name: String,
    pub(crate) work: Box<Work<'a, T>>,
}

enum Event<T> {
    Line(usize, String),
    Done(usize, T),
}

/// A running job.
struct Running {
    job: usize,
    began: Instant,
    lines: Vec<String>,
}

/// Runs all jobs, at most `at_once` at a time. Returns results in the order of the jobs; `None` for a job that panicked.
/// With one worker, lines are printed at once, otherwise when the job is done.
pub(crate) fn run<T: Send>(jobs: Vec<Job<'_, T>>, at_once: usize) -> Vec<Option<T>> {
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
                    // The receiver lives until the last worker has ended.
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
        // The panic was already printed.
        threads.into_iter().for_each(|thread| drop(thread.join()));
    });
    results
}

/// The status line: seconds and last line of each job.
fn newest(names: &[String], running: &[Running]) -> String {
    let of = |running: &Running| {
        let newest: String = running.lines.last().into_iter().flat_map(|line| line.chars()).collect();
        // The end of a test's name is more specific than its beginning.
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
    fn results_keep_their_order_and_the_number_of_concurrent_jobs_is_limited() {
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
    fn a_job_that_panics_does_not_affect_the_other_results() {
        let broken = job("broken", |_| panic!("expected by the test"));
        let results = run(vec![job("first", |_| 1), broken, job("last", |_| 3)], 2);
        assert_eq!(results, [Some(1), None, Some(3)]);
    }

    #[test]
    fn the_status_line_has_the_end_of_each_jobs_last_line() {
        let running = |job, line: &str| Running { job, began: Instant::now(), lines: vec![line.to_owned()] };
        let long = format!("{}end", "x".repeat(100));
        let line = newest(&["6.1".into(), "6.12".into()], &[running(1, &long), running(0, "short")]);
        assert_eq!(line, format!("[6.12] 0 s {}end  [6.1] 0 s short", "x".repeat(37)));
    }
}
