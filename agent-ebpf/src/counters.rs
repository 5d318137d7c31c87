//! Counters that the kernel programs maintain for each container. The snapshot uses the same types.

/// Data that the kernel programs maintain for one container slot.
pub trait PerSlot: Copy {
    /// The value of a cleared slot.
    const EMPTY: Self;
}

/// Counters: words that only grow, without padding.
pub trait Counters: PerSlot {
    /// Adds the counts of another CPU, or of an earlier run of the container. Saturates.
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

impl<T: PerSlot, const N: usize> PerSlot for [T; N] {
    const EMPTY: Self = [T::EMPTY; N];
}

impl<T: Counters, const N: usize> Counters for [T; N] {
    #[inline(always)]
    fn add(&mut self, other: &Self) {
        self.iter_mut().zip(other).for_each(|(count, more)| count.add(more));
    }
}

/// The key of a map that contains entries of many containers.
pub trait SlotKey {
    /// The container's slot.
    fn slot(&self) -> u32;
}

/// Declares structs of counters. The macro derives addition and clearing from the list of fields, so a new field cannot
/// be forgotten there.
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
    fn all_fields_are_added_and_saturate() {
        let mut sum = Histogram { sum_ns: u64::MAX, ..Histogram::default() };
        sum.buckets[3] = 1;
        let mut other = Histogram { sum_ns: 1, ..Histogram::default() };
        other.buckets[3] = 10;
        sum.add(&other);
        assert_eq!((sum.sum_ns, sum.buckets[3], sum.count()), (u64::MAX, 11, 11));
        assert_eq!(Histogram::default(), Histogram::EMPTY);
    }
}
