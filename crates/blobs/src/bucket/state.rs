//! What is known of an upload between two requests: written to the bucket, so that any node continues.

use bytes::{BufMut as _, Bytes, BytesMut};
use lazuli_wire::oci::Digest;
use serde::{Deserialize, Serialize};

/// Longest first line of a stored state, in bytes: ten thousand parts with long names.
const MAX_HEAD: usize = 4 << 20;

/// An unfinished upload: parts that the object store has, and bytes that are no part yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Unfinished {
    /// The multipart upload, once there is one.
    pub(super) multipart: Option<String>,
    /// The parts, in order.
    pub(super) parts: Vec<Part>,
    /// The bytes after them.
    pub(super) tail: Bytes,
    /// Lengths at which states of this upload are in the bucket.
    pub(super) kept: Vec<u64>,
    /// The digest of all the bytes, as computed while they were sent. `None`: of an upload that has just begun.
    pub(super) content: Option<Digest>,
}

/// A part the object store has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    /// The store's name for it.
    pub(super) id: String,
    /// Its length, in bytes.
    pub(super) size: u64,
}

/// The first line of a stored state; the tail follows it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    version: u8,
    multipart: Option<String>,
    parts: Vec<Part>,
    kept: Vec<u64>,
    content: Option<String>,
    tail: u64,
}

/// The text is no state of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unreadable;

impl Unfinished {
    /// The length of the parts together, in bytes.
    pub(super) fn base(&self) -> u64 {
        self.parts.iter().map(|part| part.size).sum()
    }

    /// How long the upload is, in bytes.
    pub(super) fn size(&self) -> u64 {
        self.base() + self.tail.len() as u64
    }

    /// As it is stored.
    pub(super) fn write(&self) -> Bytes {
        let head = Head {
            version: 1,
            multipart: self.multipart.clone(),
            parts: self.parts.clone(),
            kept: self.kept.clone(),
            content: self.content.map(|digest| digest.to_string()),
            tail: self.tail.len() as u64,
        };
        // Strings and numbers always have a JSON form.
        let head = serde_json::to_vec(&head).unwrap_or_default();
        let mut text = BytesMut::with_capacity(head.len() + 1 + self.tail.len());
        text.put_slice(&head);
        text.put_u8(b'\n');
        text.put_slice(&self.tail);
        text.freeze()
    }

    /// Reads what [`Self::write`] wrote.
    pub(super) fn read(text: &Bytes) -> Result<Self, Unreadable> {
        let line = text.iter().take(MAX_HEAD).position(|byte| *byte == b'\n');
        let line = line.ok_or(Unreadable)?;
        let head: Head = serde_json::from_slice(&text[..line]).map_err(|_| Unreadable)?;
        let tail = text.slice(line + 1..);
        let sizes = head.parts.iter().map(|part| part.size);
        let is_sound = sizes
            .chain([head.tail])
            .try_fold(0_u64, u64::checked_add)
            .is_some();
        let content = match head.content {
            Some(text) => Some(Digest::parse(&text).map_err(|_| Unreadable)?),
            None => None,
        };
        let has_upload = head.multipart.is_some() || head.parts.is_empty();
        if head.version != 1 || head.tail != tail.len() as u64 || !is_sound || !has_upload {
            return Err(Unreadable);
        }
        Ok(Self {
            multipart: head.multipart,
            parts: head.parts,
            tail,
            kept: head.kept,
            content,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use lazuli_wire::oci::Algorithm;
    use proptest::prelude::*;

    use super::*;

    fn unfinished() -> impl Strategy<Value = Unfinished> {
        let part = ("[ -~]{0,40}", 0_u64..1 << 40).prop_map(|(id, size)| Part { id, size });
        let parts = proptest::collection::vec(part, 0..20);
        let tail = proptest::collection::vec(any::<u8>(), 0..200);
        let kept = proptest::collection::vec(any::<u64>(), 0..4);
        let content = any::<Option<[u8; 3]>>();
        (any::<Option<String>>(), parts, tail, kept, content).prop_map(
            |(multipart, parts, tail, kept, content)| Unfinished {
                multipart: multipart.or_else(|| (!parts.is_empty()).then(String::new)),
                parts,
                tail: tail.into(),
                kept,
                content: content.map(|bytes| Digest::of(Algorithm::Sha512, &bytes)),
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(state in unfinished()) {
            prop_assert_eq!(Unfinished::read(&state.write()), Ok(state));
        }

        #[test]
        fn a_cut_state_is_not_read(state in unfinished(), cut in any::<prop::sample::Index>()) {
            let text = state.write();
            let cut = cut.index(text.len());
            prop_assert_eq!(Unfinished::read(&text.slice(..cut)), Err(Unreadable));
        }

        #[test]
        fn anything_else_is_refused_or_whole(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(state) = Unfinished::read(&text.into()) {
                prop_assert_eq!(Unfinished::read(&state.write()), Ok(state));
            }
        }
    }

    #[test]
    fn lengths_that_overflow_are_refused() {
        let text = format!(
            "{{\"version\":1,\"multipart\":\"m\",\"parts\":[{{\"id\":\"a\",\"size\":{0}}},{{\"id\":\"b\",\"size\":{0}}}],\"kept\":[],\"tail\":0}}\n",
            u64::MAX
        );
        assert_eq!(Unfinished::read(&text.into()), Err(Unreadable));
    }
}
