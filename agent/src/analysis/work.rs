//! The counters of a container that show progress with its work, and those that show how its time was spent.

use std::time::Duration;

use crate::snapshot::{
    ContainerRow,
    requests::{RequestUsage, duration},
    sockets::{SocketCounters, protocol},
};

/// Bytes of a packet without data: at most the headers of IPv6, and of TCP with all options.
const HEADER_BYTES: u64 = 100;

/// Durations of completed work, summed, in ns.
#[must_use]
pub fn completed_ns(row: &ContainerRow) -> u64 {
    let requests =
        row.requests.as_ref().map_or(0, |requests| requests.measures.durations[duration::RESPONSE].sum_ns);
    let functions = row.jobs.iter().flat_map(|jobs| &jobs.functions);
    functions.map(|function| function.counters.durations.sum_ns).fold(requests, u64::saturating_add)
}

/// Counters that rise only when the container makes progress with its work, other than its CPU time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Responses that have begun or ended, and events of streams.
    pub responses: u64,
    /// Bytes sent by its sockets, with headers.
    pub sent_bytes: u64,
    /// Packets sent by its sockets.
    pub sent_packets: u64,
    /// Bytes read from and written to block devices.
    pub disk_bytes: u64,
    /// Calls to the NVIDIA driver that have ended.
    pub driver_calls: u64,
    /// Time that GPUs ran its work, in ns.
    pub gpu_ns: u64,
    /// Frames of videos that FaceFusion has processed.
    pub frames: u64,
}

impl Progress {
    /// The counters of a row.
    #[must_use]
    pub fn of(row: &ContainerRow) -> Self {
        let devices = &row.cgroup.devices;
        let disk_bytes = devices.iter().flat_map(|device| [device.read_bytes, device.written_bytes]);
        let traffic = row.sockets.as_ref().map(|sockets| &sockets.traffic);
        let sent = |counts: fn(&SocketCounters) -> &[u64; protocol::COUNT]| {
            traffic.map_or(0, |traffic| counts(traffic).iter().sum())
        };
        Self {
            responses: row.requests.as_deref().map_or(0, responses),
            sent_bytes: sent(|traffic| &traffic.transmit_bytes),
            sent_packets: sent(|traffic| &traffic.transmit_packets),
            disk_bytes: disk_bytes.flatten().fold(0, u64::saturating_add),
            driver_calls: row
                .nvidia_driver
                .as_ref()
                .map_or(0, |driver| driver.commands.iter().map(|command| command.durations.count()).sum()),
            gpu_ns: gpu_ns(row),
            frames: row.facefusion.as_ref().map_or(0, |facefusion| facefusion.counters.frames),
        }
    }

    /// Whether there was progress since an earlier reading. Packets without data are no progress: the kernel
    /// acknowledges what a stopped process receives.
    #[must_use]
    pub const fn is_beyond(&self, earlier: &Self) -> bool {
        let sent_bytes = self.sent_bytes.saturating_sub(earlier.sent_bytes);
        let sent_packets = self.sent_packets.saturating_sub(earlier.sent_packets);
        self.responses > earlier.responses
            || sent_bytes > sent_packets.saturating_mul(HEADER_BYTES)
            || self.disk_bytes > earlier.disk_bytes
            || self.driver_calls > earlier.driver_calls
            || self.gpu_ns > earlier.gpu_ns
            || self.frames > earlier.frames
    }
}

/// Time that GPUs ran work of the container, summed, in ns.
#[must_use]
pub fn gpu_ns(row: &ContainerRow) -> u64 {
    let busy = row.gpus.iter().map(|gpu| gpu.busy).fold(Duration::ZERO, Duration::saturating_add);
    u64::try_from(busy.as_nanos()).unwrap_or(u64::MAX)
}

/// CPU time, in ns. `None` if it is unknown.
#[must_use]
pub fn cpu_ns(row: &ContainerRow) -> Option<u64> {
    row.cgroup.cpu.usage_ns.or(row.scheduler.as_ref().map(|usage| usage.oncpu_ns))
}

fn responses(requests: &RequestUsage) -> u64 {
    let begun: u64 = requests.responses.iter().map(|response| response.count).sum();
    let kinds = [duration::RESPONSE, duration::FIRST_EVENT, duration::EVENT_GAP, duration::STREAM];
    begun + kinds.iter().map(|kind| requests.measures.durations[*kind].count()).sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_without_data_are_no_progress() {
        let before = Progress::default();
        let acknowledgments = Progress { sent_bytes: 600, sent_packets: 10, ..before };
        assert!(!acknowledgments.is_beyond(&before));
        assert!(Progress { sent_bytes: 1400, sent_packets: 1, ..before }.is_beyond(&before));
        assert!(Progress { responses: 1, ..before }.is_beyond(&before));
        assert!(Progress { disk_bytes: 1, ..before }.is_beyond(&before));
        assert!(Progress { driver_calls: 1, ..before }.is_beyond(&before));
        assert!(Progress { gpu_ns: 1, ..before }.is_beyond(&before));
        assert!(Progress { frames: 1, ..before }.is_beyond(&before));
    }
}
