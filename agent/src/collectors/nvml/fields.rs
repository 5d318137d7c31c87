//! NVML's field values: many numbers from one call. NVML is called directly, because nvml-wrapper cannot pass a scope,
//! which the sums over all NVLinks require.

use nvml_wrapper::{
    Device,
    error::{NvmlError, nvml_sym, nvml_try},
};
use nvml_wrapper_sys::bindings::{
    nvmlFieldValue_t, nvmlValueType_enum_NVML_VALUE_TYPE_DOUBLE as DOUBLE,
    nvmlValueType_enum_NVML_VALUE_TYPE_SIGNED_INT as SIGNED_INT,
    nvmlValueType_enum_NVML_VALUE_TYPE_SIGNED_LONG_LONG as SIGNED,
    nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_INT as UNSIGNED_INT,
    nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_LONG as UNSIGNED_LONG,
    nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_LONG_LONG as UNSIGNED_LONG_LONG,
};

use super::plausible::{Checks, Quantity};

/// Field IDs, as in nvml.h.
pub(super) mod id {
    pub(in super::super) const ECC_CORRECTED: u32 = 3;
    pub(in super::super) const ECC_UNCORRECTED: u32 = 4;
    pub(in super::super) const NVLINK_CRC_FLIT: u32 = 38;
    pub(in super::super) const NVLINK_CRC_DATA: u32 = 45;
    pub(in super::super) const NVLINK_REPLAY: u32 = 52;
    pub(in super::super) const NVLINK_RECOVERY: u32 = 59;
    pub(in super::super) const THROTTLED_POWER: u32 = 74;
    pub(in super::super) const THROTTLED_THERMAL: u32 = 75;
    pub(in super::super) const THROTTLED_SYNC_BOOST: u32 = 76;
    pub(in super::super) const THROTTLED_BOARD_LIMIT: u32 = 77;
    pub(in super::super) const THROTTLED_LOW_UTILIZATION: u32 = 78;
    pub(in super::super) const THROTTLED_RELIABILITY: u32 = 79;
    pub(in super::super) const MEMORY_TEMPERATURE: u32 = 82;
    pub(in super::super) const NVLINK_TRANSMIT_KIB: u32 = 138;
    pub(in super::super) const NVLINK_RECEIVE_KIB: u32 = 139;
    pub(in super::super) const REMAPPED_CORRECTABLE: u32 = 142;
    pub(in super::super) const REMAPPED_UNCORRECTABLE: u32 = 143;
    pub(in super::super) const REMAP_PENDING: u32 = 144;
    pub(in super::super) const REMAP_FAILURE: u32 = 145;
    pub(in super::super) const POWER_INSTANT_MW: u32 = 186;
    pub(in super::super) const PCIE_TRANSMIT_BYTES: u32 = 197;
    pub(in super::super) const PCIE_RECEIVE_BYTES: u32 = 198;
}

/// The scope that selects all links.
const ALL_LINKS: u32 = u32::MAX;

/// A field's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    /// A 32-bit integer. As a counter, it wraps at 2^32.
    Short(u32),
    /// A 64-bit integer.
    Long(u64),
    /// A floating-point number.
    Real(f64),
}

impl Number {
    pub(super) fn count(self) -> Option<u64> {
        match self {
            Self::Short(count) => Some(count.into()),
            Self::Long(count) => Some(count),
            Self::Real(_) => None,
        }
    }

    pub(super) fn real(self) -> f64 {
        match self {
            Self::Short(count) => count.into(),
            #[expect(clippy::cast_precision_loss, reason = "a measured quantity, far below 2^53")]
            Self::Long(count) => count as f64,
            Self::Real(real) => real,
        }
    }
}

/// The values that a GPU returned.
pub(super) struct Fields(Vec<(u32, Number)>);

impl Fields {
    /// Reads the fields `ids`. Fields that the GPU lacks are skipped and do not count as failures, because half of them
    /// exist on some generations only.
    ///
    /// # Errors
    /// If the call as a whole fails.
    pub(super) fn read(device: &Device<'_>, ids: &[u32]) -> Result<Self, NvmlError> {
        let get = nvml_sym(device.nvml().lib().nvmlDeviceGetFieldValues.as_ref())?;
        let mut values: Vec<_> = ids.iter().copied().map(asked).collect();
        let count = i32::try_from(values.len()).unwrap_or(0);
        // SAFETY: the handle comes from this library, which is loaded; `values` has `count` elements.
        nvml_try(unsafe { get(device.handle(), count, values.as_mut_ptr()) })?;
        Ok(Self(values.iter().filter_map(answered).collect()))
    }

    pub(super) fn get(&self, id: u32) -> Option<Number> {
        self.0.iter().find_map(|(other, number)| (*other == id).then_some(*number))
    }

    pub(super) fn count(&self, id: u32) -> Option<u64> {
        self.get(id)?.count()
    }

    /// The known and possible counts, by name.
    pub(super) fn counts(
        &self,
        names: &[(&'static str, u32)],
        quantity: Quantity,
        checks: &mut Checks,
    ) -> Vec<(&'static str, u64)> {
        let count =
            |(name, id): &(&'static str, u32)| Some((*name, checks.count(quantity, self.count(*id)?)?));
        names.iter().filter_map(count).collect()
    }
}

fn asked(id: u32) -> nvmlFieldValue_t {
    let all = matches!(id, id::NVLINK_TRANSMIT_KIB | id::NVLINK_RECEIVE_KIB);
    // SAFETY: the structure consists of plain numbers, for which all zeros are valid.
    let empty: nvmlFieldValue_t = unsafe { std::mem::zeroed() };
    nvmlFieldValue_t { fieldId: id, scopeId: if all { ALL_LINKS } else { 0 }, ..empty }
}

fn answered(value: &nvmlFieldValue_t) -> Option<(u32, Number)> {
    nvml_try(value.nvmlReturn).ok()?;
    // SAFETY: every bit pattern is valid for each of these members.
    let number = unsafe {
        match value.valueType {
            DOUBLE => Number::Real(value.value.dVal),
            UNSIGNED_INT => Number::Short(value.value.uiVal),
            SIGNED_INT => Number::Long(u64::try_from(value.value.siVal).ok()?),
            UNSIGNED_LONG | UNSIGNED_LONG_LONG => Number::Long(value.value.ullVal),
            SIGNED => Number::Long(u64::try_from(value.value.sllVal).ok()?),
            _ => return None,
        }
    };
    Some((value.fieldId, number))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A field as a library may return it, with any type and any bits.
    fn field(code: u32, kind: u32, bits: u64) -> nvmlFieldValue_t {
        let mut value = asked(7);
        value.nvmlReturn = code;
        value.valueType = kind;
        value.value.ullVal = bits;
        value
    }

    proptest! {
        #[test]
        fn each_value_is_read_as_its_own_type(kind in prop_oneof![0_u32..9, any::<u32>()], bits: u64) {
            let expected = match kind {
                DOUBLE => Some(Number::Real(f64::from_bits(bits))),
                UNSIGNED_INT => Some(Number::Short(bits as u32)),
                UNSIGNED_LONG | UNSIGNED_LONG_LONG => Some(Number::Long(bits)),
                SIGNED => i64::from_ne_bytes(bits.to_ne_bytes()).try_into().ok().map(Number::Long),
                SIGNED_INT => (bits as u32).cast_signed().try_into().ok().map(Number::Long),
                _ => None,
            };
            let read = answered(&field(0, kind, bits)).map(|(_, number)| number);
            // Compared as text, because NaN is not equal to itself.
            prop_assert_eq!(format!("{read:?}"), format!("{expected:?}"));
        }

        #[test]
        fn a_field_that_failed_has_no_value_whatever_its_bits(code in 1_u32..=1000, kind in 0_u32..9, bits: u64) {
            prop_assert!(answered(&field(code, kind, bits)).is_none());
        }
    }
}
