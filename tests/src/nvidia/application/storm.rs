//! Cheap requests from many threads at a constant rate.

use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::{
    super::abi::{Device, class, frontend, request::Request, uvm},
    ledger::Ledger,
    profile::Flags,
    session::{Driver, Session},
};

/// A thread that is further ahead of its schedule sleeps. A thread that is behind sends the missing requests immediately.
const AHEAD: Duration = Duration::from_micros(200);

/// `storm --threads N --rate PER_SECOND --seconds S`: the rate is the total of all threads. A rate of 0 means as fast as
/// possible.
pub(super) fn run(driver: &Driver, flags: &Flags) -> anyhow::Result<Ledger> {
    let mut all = Ledger::default();
    let parts: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..flags.threads).map(|_| scope.spawn(|| one(driver, flags))).collect();
        threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
    });
    for part in parts {
        all.add(part.ok().context("join a thread of the storm")??);
    }
    Ok(all)
}

fn one(driver: &Driver, flags: &Flags) -> anyhow::Result<Ledger> {
    let mut session = Session::open(driver)?;
    session.connect()?;
    // SAFETY: no pointers. Without this, every sleep is 50 µs too long.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
    let mut requests = mixture(&session);
    let (began, run) = (Instant::now(), Duration::from_secs(flags.seconds));
    let per_thread = flags.rate as f64 / flags.threads as f64;
    let mut sent = 0_u64;
    while began.elapsed() < run {
        for request in &mut requests {
            if request.number == frontend::ALLOC {
                transient(&mut session)?;
                sent += 2;
            } else if request.number == frontend::CONTROL && request.about.control == Some(0x2080_0403) {
                session.call_wrapped(request);
                sent += 1;
            } else {
                session.call(request);
                sent += 1;
            }
            if per_thread > 0.0 {
                let due = Duration::from_secs_f64(sent as f64 / per_thread);
                let ahead = due.saturating_sub(began.elapsed());
                if ahead > AHEAD {
                    std::thread::sleep(ahead);
                }
            }
        }
    }
    Ok(session.ledger)
}

/// Creates an event and frees it.
fn transient(session: &mut Session) -> anyhow::Result<()> {
    let new = session.handle();
    let place = [session.client, session.device, new];
    session.must(&mut frontend::alloc(session.release, place, class::EVENT, (0, 0)))?;
    session.must(&mut frontend::free(session.release, session.client, session.device, new))
}

/// Requests of every kind, among them one that this GPU does not support.
fn mixture(session: &Session) -> Vec<Request> {
    let (release, client, device) = (session.release, session.client, session.device);
    let control = |command| frontend::control(release, client, device, command, (0, 0));
    vec![
        control(0x2080_2068),
        control(0x2080_1303),
        control(0x2080_3001),
        control(0x2080_0403),
        frontend::alloc(release, [client, device, 0], class::EVENT, (0, 0)),
        Request::escape(release, Device::Ctl, frontend::SYS_PARAMS),
        frontend::dma(release, frontend::MAP_MEMORY_DMA, [client, device, 0, device]),
        frontend::dma(release, frontend::UNMAP_MEMORY_DMA, [client, device, 0, device]),
        frontend::os_event(release, client, device, 0),
        Request::uvm(release, uvm::PAGEABLE_MEM_ACCESS),
        uvm::range(release, uvm::VALIDATE_VA_RANGE, 0x0002_0000_0000, 4096),
        uvm::channel(release, 0, [client, device], 0x0002_0000_0000, 4096),
        Request::uvm(release, uvm::UNREGISTER_CHANNEL),
    ]
}
