//! The PCI address of a GPU. NVML and the kernel format it differently.

/// Domain, bus, device, function. NVML writes the domain with eight digits, the kernel with four.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PciAddress([u32; 4]);

impl PciAddress {
    /// Parses `0000:01:00.0`; `None` if the text is not a complete address.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = |part: &str| u32::from_str_radix(part, 16).ok().filter(|_| is_number(part));
        let mut parts = text.split([':', '.']).map(number);
        let address = [parts.next()??, parts.next()??, parts.next()??, parts.next()??];
        parts.next().is_none().then_some(Self(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn no_text_panics_and_both_formats_of_an_address_are_equal(
            text in "\\PC{0,20}", near in "([+ -]?[0-9a-fg]{0,3}[:.]){3}[+ -]?[0-9a-fg]{0,3}", parts in (0..=0xFFFF_u32, 0..=0xFF_u32, 0..=0x1F_u32, 0..8_u32),
        ) {
            let (domain, bus, device, function) = parts;
            let kernel = PciAddress::parse(&format!("{domain:04x}:{bus:02x}:{device:02x}.{function}"));
            let nvml = PciAddress::parse(&format!("{domain:08X}:{bus:02X}:{device:02X}.{function}"));
            proptest::prop_assert_eq!(kernel, Some(PciAddress([domain, bus, device, function])));
            proptest::prop_assert_eq!(kernel, nvml);
            for text in [text, near] {
                let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_hexdigit());
                if PciAddress::parse(&text).is_some() {
                    proptest::prop_assert!(text.split([':', '.']).all(plain), "{}", text);
                }
            }
        }
    }
}
