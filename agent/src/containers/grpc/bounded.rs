//! Messages with bounded memory. An empty element of a list takes two bytes on the wire and a hundred times as much in
//! memory, so lists and maps are truncated during decoding.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut};
use prost::{
    DecodeError, Message,
    encoding::{DecodeContext, WireType, message, skip_field, string},
};

/// Maximum number of labels in one message.
pub(crate) const LABELS_MAX: usize = 128;

/// A message with one list, the field `TAG`. The first `MAX` elements are kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct List<M, const TAG: u32, const MAX: usize> {
    pub(crate) items: Vec<M>,
}

// A derived implementation would require `M: Default`.
impl<M, const TAG: u32, const MAX: usize> Default for List<M, TAG, MAX> {
    fn default() -> Self {
        Self { items: Vec::new() }
    }
}

impl<M: Message + Default, const TAG: u32, const MAX: usize> Message for List<M, TAG, MAX> {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        message::encode_repeated(TAG, &self.items, buf);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        if tag == TAG && self.items.len() < MAX {
            message::merge_repeated(wire_type, &mut self.items, buf, context)
        } else {
            skip_field(wire_type, tag, buf, context)
        }
    }

    fn encoded_len(&self) -> usize {
        message::encoded_len_repeated(TAG, &self.items)
    }

    fn clear(&mut self) {
        self.items.clear();
    }
}

/// A map of strings. The first [`LABELS_MAX`] entries are kept. The field is declared as a required message, so that
/// prost merges each entry of the map into this one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Labels {
    pub(crate) entries: BTreeMap<String, String>,
    /// The key of the entry that is being decoded. A value may follow; without one, the value is empty.
    key: Option<String>,
}

impl Labels {
    /// The keys and values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

impl FromIterator<(String, String)> for Labels {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(entries: I) -> Self {
        Self { entries: entries.into_iter().collect(), key: None }
    }
}

impl Message for Labels {
    /// Only used in tests. Encodes one entry with all keys and values, which decodes to the same map.
    fn encode_raw(&self, buf: &mut impl BufMut) {
        for (key, value) in &self.entries {
            string::encode(1, key, buf);
            string::encode(2, value, buf);
        }
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            1 if self.entries.len() < LABELS_MAX => {
                let mut key = String::new();
                string::merge(wire_type, &mut key, buf, context)?;
                self.entries.insert(key.clone(), String::new());
                self.key = Some(key);
                Ok(())
            }
            2 if self.key.is_some() => {
                let mut value = String::new();
                string::merge(wire_type, &mut value, buf, context)?;
                if let Some(key) = self.key.take() {
                    self.entries.insert(key, value);
                }
                Ok(())
            }
            _ => {
                self.key = None;
                skip_field(wire_type, tag, buf, context)
            }
        }
    }

    fn encoded_len(&self) -> usize {
        let length =
            |(key, value): (&String, &String)| string::encoded_len(1, key) + string::encoded_len(2, value);
        self.entries.iter().map(length).sum()
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    /// A message as a runtime sends it.
    #[derive(Clone, PartialEq, prost::Message)]
    struct Theirs {
        #[prost(string, tag = "1")]
        id: String,
        #[prost(map = "string, string", tag = "2")]
        labels: HashMap<String, String>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct AllTheirs {
        #[prost(message, repeated, tag = "7")]
        all: Vec<Theirs>,
        #[prost(string, tag = "3")]
        other: String,
    }

    /// The same message as the agent decodes it.
    #[derive(Clone, PartialEq, prost::Message)]
    struct Ours {
        #[prost(string, tag = "1")]
        id: String,
        #[prost(message, required, tag = "2")]
        labels: Labels,
    }

    type AllOurs = List<Ours, 7, 4>;

    #[test]
    fn a_list_of_empty_elements_is_truncated() {
        let wire = [7 << 3 | 2, 0].repeat(1_000_000);
        assert_eq!(AllOurs::decode(wire.as_slice()).unwrap().items.len(), 4);
    }

    #[test]
    fn too_many_labels_are_truncated() {
        let labels = (0..5000).map(|number| (format!("{number:05}"), "x".to_owned())).collect();
        let wire = Theirs { id: "a".into(), labels }.encode_to_vec();
        let ours = Ours::decode(wire.as_slice()).unwrap();
        assert_eq!(ours.labels.entries.len(), LABELS_MAX);
        assert!(ours.labels.entries.values().filter(|value| *value == "x").count() >= LABELS_MAX - 1);
        // Entries without a key.
        let wire = [2 << 3 | 2, 0].repeat(1_000_000);
        assert!(Ours::decode(wire.as_slice()).unwrap().labels.entries.len() <= 1);
    }

    /// Elements of the list, valid and invalid: empty, with empty labels, with a key, with a value, with neither, and
    /// truncated.
    fn near_wire() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop::sample::select(vec![
            &[0x3A, 0][..],
            &[0x3A, 2, 0x12, 0],
            &[0x3A, 4, 0x12, 2, 0x0A, 0],
            &[0x3A, 4, 0x12, 2, 0x12, 0],
            &[0x3A, 3, 0x12, 1, 0x18],
            &[0x1A, 0],
        ]);
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn messages_of_a_runtime_are_decoded(
            all in prop::collection::vec((".{0,5}", prop::collection::hash_map(".{1,5}", ".{0,5}", 0..9)), 0..4),
            other in ".{0,5}",
        ) {
            let theirs = all.into_iter().map(|(id, labels)| Theirs { id, labels }).collect::<Vec<_>>();
            let wire = AllTheirs { all: theirs.clone(), other }.encode_to_vec();
            let ours = AllOurs::decode(wire.as_slice()).unwrap();
            prop_assert_eq!(ours.items.len(), theirs.len());
            for (ours, theirs) in ours.items.iter().zip(theirs) {
                prop_assert_eq!(&ours.id, &theirs.id);
                let labels: BTreeMap<_, _> = theirs.labels.into_iter().collect();
                prop_assert_eq!(&ours.labels.entries, &labels);
            }
            // Messages that tests encode can be decoded as well.
            prop_assert_eq!(AllOurs::decode(ours.encode_to_vec().as_slice()).unwrap().items.len(), ours.items.len());
        }

        #[test]
        fn no_bytes_cause_a_panic_or_exceed_the_limit(
            bytes in prop::collection::vec(any::<u8>(), 0..300), near in near_wire(),
        ) {
            for bytes in [bytes, near] {
                if let Ok(ours) = AllOurs::decode(bytes.as_slice()) {
                    prop_assert!(ours.items.len() <= 4);
                }
            }
        }
    }
}
