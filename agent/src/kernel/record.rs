//! The record of a tracepoint that is not an ABI. The tracepoint's file `format` in tracefs lists the offsets of the
//! fields, which may differ between drivers. The file has a few lines and is read when programs are attached.

use anyhow::{Context as _, ensure};

use super::tracefs;

/// Maximum size of a `format` file.
const FORMAT_MAX_BYTES: usize = 64 << 10;

/// The contents of the file `format` of a tracepoint.
#[derive(Debug)]
pub struct Record {
    fields: Vec<Field>,
}

#[derive(Debug, PartialEq, Eq)]
struct Field {
    name: String,
    offset_bytes: u32,
    size_bytes: u32,
    /// True if the field is a word with the offset and length of a text in the record.
    is_text: bool,
}

impl Record {
    /// Reads the format of a tracepoint. Tracefs must be mounted.
    ///
    /// # Errors
    /// If the kernel has no such tracepoint.
    pub fn read(category: &str, name: &str) -> anyhow::Result<Self> {
        let root = tracefs::root().context("find tracefs")?;
        let path = root.join("events").join(category).join(name).join("format");
        let format = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        Self::parse(&format).with_context(|| format!("parse {}", path.display()))
    }

    fn parse(format: &str) -> anyhow::Result<Self> {
        ensure!(format.len() <= FORMAT_MAX_BYTES, "the file has {} bytes", format.len());
        let fields = format.lines().filter_map(|line| Field::parse(line.trim())).collect();
        Ok(Self { fields })
    }

    /// The offset of a field of one 32-bit word: a number, or the location of a text.
    ///
    /// # Errors
    /// If the record has no such field.
    pub fn word(&self, name: &str) -> anyhow::Result<u32> {
        let field = self.fields.iter().find(|field| field.name == name);
        let field = field.with_context(|| format!("the record has no field {name}"))?;
        ensure!(field.size_bytes == 4, "the record's field {name} has {} bytes, not 4", field.size_bytes);
        Ok(field.offset_bytes)
    }

    /// The offset of the word with the location of a text.
    ///
    /// # Errors
    /// If the record has no such text.
    pub fn text(&self, name: &str) -> anyhow::Result<u32> {
        let is_text = self.fields.iter().any(|field| field.name == name && field.is_text);
        ensure!(is_text, "the record has no text {name}");
        self.word(name)
    }
}

impl Field {
    /// Parses `field:__data_loc char[] dev; offset:8; size:4; signed:0;`, with tabs between the parts.
    fn parse(line: &str) -> Option<Self> {
        let declaration = line.strip_prefix("field:")?;
        let mut parts = declaration.split(';').map(str::trim);
        let declaration = parts.next()?;
        let (mut offset_bytes, mut size_bytes) = (None, None);
        for part in parts {
            match part.split_once(':') {
                Some(("offset", bytes)) => offset_bytes = bytes.parse().ok(),
                Some(("size", bytes)) => size_bytes = bytes.parse().ok(),
                _ => {}
            }
        }
        let name = declaration.rsplit(' ').next()?;
        Some(Self {
            name: name.split('[').next()?.to_owned(),
            offset_bytes: offset_bytes?,
            size_bytes: size_bytes?,
            is_text: declaration.starts_with("__data_loc "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The format as the kernel writes it.
    const XID: &str = "name: nvidia_dev_xid\nID: 1893\nformat:\n\
        \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\
        \tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\
        \tfield:__data_loc char[] dev;\toffset:8;\tsize:4;\tsigned:0;\n\
        \tfield:u32 error_code;\toffset:12;\tsize:4;\tsigned:0;\n\
        \tfield:__data_loc char[] msg;\toffset:16;\tsize:4;\tsigned:0;\n\n\
        print fmt: \"Xid (PCI:%s): %u, %s\", __get_str(dev), REC->error_code, __get_str(msg)\n";

    #[test]
    fn fields_have_the_offsets_in_the_format() {
        let record = Record::parse(XID).unwrap();
        assert_eq!((record.text("dev").unwrap(), record.word("error_code").unwrap()), (8, 12));
        let moved = XID.replace("offset:12", "offset:40");
        assert_eq!(Record::parse(&moved).unwrap().word("error_code").unwrap(), 40);
    }

    #[test]
    fn a_missing_field_or_one_of_another_size_is_named_in_the_error() {
        let refusal =
            |format: &str, name| format!("{:#}", Record::parse(format).unwrap().word(name).unwrap_err());
        assert_eq!(refusal(XID, "severity"), "the record has no field severity");
        assert_eq!(refusal(XID, "common_type"), "the record's field common_type has 2 bytes, not 4");
        for damaged in ["", "field:", "field:;;;", "field:u32 error_code;\toffset:-1;\tsize:4;", "\u{0}"] {
            assert_eq!(refusal(damaged, "error_code"), "the record has no field error_code", "{damaged:?}");
        }
        let record = Record::parse(XID).unwrap();
        assert_eq!(
            format!("{:#}", record.text("error_code").unwrap_err()),
            "the record has no text error_code"
        );
        let shorter = XID.replace("size:4;\tsigned:0;\n\tfield:u32", "size:8;\tsigned:0;\n\tfield:u32");
        assert!(Record::parse(&shorter).unwrap().text("dev").is_err());
        assert!(Record::parse(&" ".repeat(FORMAT_MAX_BYTES + 1)).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_format_panics(
            text in "\\PC{0,60}",
            near in "(\tfield:(__data_loc )?[a-z0-9\\[\\] ]{0,12};\t?(offset:[0-9-]{0,12};)?\t?(size:[0-9]{0,3};)?\n){0,5}",
        ) {
            for text in [text, near] {
                let record = Record::parse(&text).unwrap();
                for field in &record.fields {
                    let word = record.word(&field.name).is_ok();
                    proptest::prop_assert!(word || record.text(&field.name).is_err(), "a text is also a word");
                }
            }
        }
    }
}
