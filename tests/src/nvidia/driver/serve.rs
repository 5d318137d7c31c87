//! Threads that read the kernel's requests and answer them as the driver.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    super::abi::{
        Device,
        bytes::{u32_at, u64_at},
    },
    Options,
    caller::Caller,
    fuse::{self, Connection, Incoming},
    state::State,
};

/// An errno, as `ioctl` returns it.
pub(super) type Errno = i32;

/// One ioctl of a client.
pub(super) struct Call<'a> {
    pub(super) device: Device,
    /// The open file.
    pub(super) file: u64,
    pub(super) word: u32,
    /// Its third argument.
    pub(super) argument: u64,
    pub(super) caller: Caller,
    /// The struct that the word describes; empty if it describes none.
    pub(super) bytes: &'a mut [u8],
}

pub(super) struct Server {
    connection: Connection,
    pub(super) options: Options,
    state: Mutex<State>,
    /// Requests that are not answered until their caller is interrupted.
    hanging: Mutex<HashSet<u64>>,
}

impl Server {
    pub(super) fn new(connection: Connection, options: Options) -> Self {
        let state = Mutex::new(State::new(options.memory_mib << 20));
        Self { connection, options, state, hanging: Mutex::default() }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hung(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.hanging.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn hanging(&self) -> usize {
        self.hung().len()
    }

    pub(super) fn serve(&self) {
        let mut buffer = vec![0; fuse::BUFFER_BYTES];
        while let Some(request) = self.connection.next(&mut buffer) {
            if request.opcode == fuse::IOCTL {
                self.ioctl(&request);
            } else {
                self.file_system(&request);
            }
        }
    }

    fn file_system(&self, request: &Incoming<'_>) {
        let answer = |out: &[u8]| self.connection.answer(request.unique, 0, [out, &[]]);
        match request.opcode {
            fuse::INIT => answer(&fuse::init_out()),
            fuse::GETATTR => answer(&fuse::attr_out(request.node)),
            fuse::LOOKUP => {
                let name = request.body.strip_suffix(b"\0").unwrap_or(request.body);
                match (2_u64..).zip(fuse::FILES).find(|(_, file)| file.as_bytes() == name) {
                    Some((node, _)) => answer(&fuse::entry_out(node)),
                    None => self.connection.fail(request.unique, libc::ENOENT),
                }
            }
            fuse::OPEN => answer(&fuse::open_out(self.state().open())),
            fuse::RELEASE => {
                self.state().close(u64_at(request.body, 0));
                answer(&[]);
            }
            fuse::OPENDIR => answer(&fuse::open_out(0)),
            fuse::READDIR => answer(&fuse::entries(u64_at(request.body, 8))),
            // An event without data is always ready.
            fuse::POLL => answer(&(u64::from(libc::POLLIN.cast_unsigned())).to_le_bytes()),
            fuse::RELEASEDIR | fuse::DESTROY => answer(&[]),
            fuse::FORGET | fuse::BATCH_FORGET => {}
            fuse::INTERRUPT => self.interrupt(request.unique, u64_at(request.body, 0)),
            _ => self.connection.fail(request.unique, libc::ENOSYS),
        }
    }

    /// Ends a hanging request. If that request does not hang yet, the kernel sends the interrupt again.
    fn interrupt(&self, unique: u64, interrupted: u64) {
        if self.hung().remove(&interrupted) {
            self.connection.fail(interrupted, libc::EINTR);
        } else if self.options.hang.is_some() {
            std::thread::sleep(Duration::from_millis(1));
            self.connection.fail(unique, libc::EAGAIN);
        }
    }

    /// `fuse_ioctl_in`: file, flags, word, argument, sizes in and out, then the struct.
    fn ioctl(&self, request: &Incoming<'_>) {
        let (word, in_bytes) = (u32_at(request.body, 12), u32_at(request.body, 24) as usize);
        let out_bytes = u32_at(request.body, 28) as usize;
        let device = match request.node {
            2 => Device::Ctl,
            3 => Device::Uvm,
            _ => Device::Gpu,
        };
        let number = if device == Device::Uvm { word } else { word & 0xff };
        if self.options.hang.is_some_and(|hang| hang.uvm == (device == Device::Uvm) && hang.number == number)
        {
            self.hung().insert(request.unique);
            return;
        }
        let mut bytes = request.body.get(32..32 + in_bytes).unwrap_or_default().to_vec();
        let mut call = Call {
            device,
            file: u64_at(request.body, 0),
            word,
            argument: u64_at(request.body, 16),
            caller: Caller { thread: request.thread },
            bytes: &mut bytes,
        };
        if self.options.latency_us > 0 {
            std::thread::sleep(Duration::from_micros(self.options.latency_us));
        }
        let result = if device == Device::Uvm { self.uvm(&mut call) } else { self.frontend(&mut call) };
        let answer = match result {
            Ok(status) => status.map(i64::from),
            Err(errno) => Some(-i64::from(errno)),
        };
        // Counted before it is answered, so that a client that has its answer finds it in the account.
        self.state().count(device, word, answer);
        match result {
            Ok(_) => {
                let out = bytes.get(..out_bytes.min(bytes.len())).unwrap_or_default();
                self.connection.answer_ioctl(request.unique, 0, out);
            }
            Err(errno) => self.connection.answer_ioctl(request.unique, -errno, &[]),
        }
    }
}
