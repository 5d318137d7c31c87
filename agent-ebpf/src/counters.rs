//! Counters that the kernel programs keep for each container. The snapshot shows the same types.

/// What the kernel programs keep for one container slot.
pub trait PerSlot: Copy {
    /// As of a slot that was cleared.
    const EMPTY: Self;
}

/// Words that only grow, without padding.
pub trait Counters: PerSlot {
    /// Adds what another CPU, or an earlier run of the container, has counted. Saturates.
    fn add(&mut self, other: &Self);
}

impl PerSlot for u64 {
    const EMPTY: Self = 0;
}

impl Counters for u64 {
    #[inline(always)]
    fn add(&mut self, other: &Self) {
        *self = self.saturating_add(*other);
    }
}

impl<const N: usize> PerSlot for [u64; N] {
    const EMPTY: Self = [0; N];
}

impl<const N: usize> Counters for [u64; N] {
    #[inline(always)]
    fn add(&mut self, other: &Self) {
        self.iter_mut().zip(other).for_each(|(count, more)| count.add(more));
    }
}

/// The key of a map that holds entries of many containers.
pub trait SlotKey {
    /// The container's slot.
    fn slot(&self) -> u32;
}

/// Declares structs of counters. Each field is named once, so a new one cannot be forgotten when counters are added or
/// cleared.
macro_rules! counters {
    ($($(#[$attribute:meta])* pub struct $name:ident {
        $($(#[$field_attribute:meta])* pub $field:ident: $kind:ty,)+
    })+) => { $(
        $(#[$attribute])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_attribute])* pub $field: $kind,)+
        }

        impl $crate::counters::PerSlot for $name {
            const EMPTY: Self = Self { $($field: <$kind as $crate::counters::PerSlot>::EMPTY,)+ };
        }

        impl $crate::counters::Counters for $name {
            #[inline(always)]
            fn add(&mut self, other: &Self) {
                $($crate::counters::Counters::add(&mut self.$field, &other.$field);)+
            }
        }

        impl Default for $name {
            fn default() -> Self {
                <Self as $crate::counters::PerSlot>::EMPTY
            }
        }

        // SAFETY: `repr(C)`, u64 members only, no padding, any bit pattern is valid.
        #[cfg(feature = "user")]
        unsafe impl aya::Pod for $name {}
    )+ };
}
pub(crate) use counters;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::Histogram;

    #[test]
    fn every_field_is_added_and_none_wraps() {
        let mut sum = Histogram { sum_ns: u64::MAX, ..Histogram::default() };
        sum.buckets[3] = 1;
        let mut other = Histogram { sum_ns: 1, ..Histogram::default() };
        other.buckets[3] = 10;
        sum.add(&other);
        assert_eq!((sum.sum_ns, sum.buckets[3], sum.count()), (u64::MAX, 11, 11));
        assert_eq!(Histogram::default(), Histogram::EMPTY);
    }
}
