//! The driver's count of its answers.

use std::collections::BTreeMap;

use super::super::abi::Device;

/// A kind of request, and how often it was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The device.
    pub device: Device,
    /// The request's word.
    pub word: u32,
    /// The answer: the status, or the negative error number, or `None` for success without a status.
    pub answer: Option<i64>,
    /// The number of times.
    pub count: u64,
}

/// Maximum number of different answers that are counted. A hostile client can cause more.
const KINDS_MAX: usize = 4096;

#[derive(Default)]
pub(super) struct Account(BTreeMap<(Device, u32, Option<i64>), u64>);

impl Account {
    pub(super) fn count(&mut self, device: Device, word: u32, answer: Option<i64>) {
        let key = (device, word, answer);
        if self.0.len() < KINDS_MAX || self.0.contains_key(&key) {
            *self.0.entry(key).or_default() += 1;
        }
    }

    pub(super) fn all(&self) -> Vec<Answered> {
        let of = |(&(device, word, answer), &count)| Answered { device, word, answer, count };
        self.0.iter().map(of).collect()
    }
}
