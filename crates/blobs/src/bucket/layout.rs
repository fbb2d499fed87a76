//! Names of objects. Laid out so that a person finds a blob by its digest, and so that nothing is ever copied.
//!
//! ```text
//! blobs/1/sha256/6c/6c3c…-0123456789ab      a blob: its bytes (up to one part)
//! blobs/1/sha256/6c/6c3c…-<upload id>       a larger blob: a few bytes of JSON that name its bytes
//! data/0f/<upload id>                       bytes of a larger blob, written before anybody knew the digest
//! data/0f/<upload id>.json                  which blob they are: made before they are whole, and never changed
//! uploads/<upload id>/<length>              an upload that is so long: its parts and what is no part yet
//! journal/…                                 what a database can be rebuilt from: see the registry's journal
//! ```

use lazuli_wire::oci::UploadId;
use object_store::path::Path;

use crate::Location;

/// Names below a prefix of a bucket.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// Empty, or ends with a slash.
    root: String,
}

impl Layout {
    /// `prefix`: the folder of the bucket that is ours; may be empty.
    pub(super) fn new(prefix: &str) -> Self {
        let trimmed = prefix.trim_matches('/');
        Self {
            root: if trimmed.is_empty() {
                String::new()
            } else {
                format!("{trimmed}/")
            },
        }
    }

    fn path(&self, rest: &str) -> Path {
        Path::from(format!("{}{rest}", self.root))
    }

    /// Where all blobs are.
    pub(super) fn blobs(&self) -> Path {
        self.path("blobs")
    }

    /// Where a blob is, or what names its bytes.
    pub(super) fn blob(&self, location: &Location) -> Path {
        self.path(&format!("blobs/{location}"))
    }

    /// The bytes of a larger blob.
    pub(super) fn data(&self, upload: UploadId) -> Path {
        let id = hex(upload);
        self.path(&format!("data/{}/{id}", &id[..2]))
    }

    /// What becomes of them. The second one where the first leaves it open.
    pub(super) fn fate(&self, upload: UploadId, is_second: bool) -> Path {
        let id = hex(upload);
        let name = if is_second { "second.json" } else { "json" };
        self.path(&format!("data/{}/{id}.{name}", &id[..2]))
    }

    /// The bytes behind a location.
    pub(super) fn bytes(&self, location: &Location) -> Path {
        match location.upload() {
            Some(upload) => self.data(upload),
            None => self.blob(location),
        }
    }

    /// Where all uploads are.
    pub(super) fn uploads(&self) -> Path {
        self.path("uploads")
    }

    /// Where the states of an upload are.
    pub(super) fn upload(&self, upload: UploadId) -> Path {
        self.path(&format!("uploads/{}", hex(upload)))
    }

    /// The state of an upload when it had `length` bytes.
    pub(super) fn state(&self, upload: UploadId, length: u64) -> Path {
        self.path(&format!("uploads/{}/{length}", hex(upload)))
    }

    /// A record, or (empty) where all of them are.
    pub(super) fn record(&self, name: &str) -> Path {
        self.path(&format!("journal/{name}"))
    }

    /// The part of a name after the root.
    pub(super) fn below<'a>(&self, path: &'a Path) -> &'a str {
        let text = path.as_ref();
        text.strip_prefix(&*self.root).unwrap_or(text)
    }

    /// What a name below `uploads` says: which upload, and its length.
    pub(super) fn read_state(&self, path: &Path) -> Option<(UploadId, u64)> {
        let rest = self.below(path).strip_prefix("uploads/")?;
        let (id, length) = rest.split_once('/')?;
        Some((read_hex(id)?, length.parse().ok()?))
    }
}

/// Thirty-two digits of an upload's identifier.
fn hex(upload: UploadId) -> String {
    crate::location::hex(upload.as_bytes())
}

fn read_hex(text: &str) -> Option<UploadId> {
    crate::location::read_upload(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use lazuli_wire::oci::{Algorithm, Digest};

    use super::*;

    #[test]
    fn names_are_below_the_prefix_and_can_be_read_back() {
        let upload = UploadId::from_bytes([0xab; 16]);
        let id = "ab".repeat(16);
        for (prefix, root) in [("", ""), ("/", ""), ("a/b", "a/b/"), ("/a/", "a/")] {
            let layout = Layout::new(prefix);
            assert_eq!(layout.data(upload).as_ref(), format!("{root}data/ab/{id}"));
            let fate = layout.fate(upload, false);
            assert_eq!(fate.as_ref(), format!("{root}data/ab/{id}.json"));
            let state = layout.state(upload, 70);
            assert_eq!(state.as_ref(), format!("{root}uploads/{id}/70"));
            assert_eq!(layout.read_state(&state), Some((upload, 70)));
            assert_eq!(layout.read_state(&layout.data(upload)), None);
            let digest = Digest::of(Algorithm::Sha256, b"x");
            let small = Location::new("1", &digest, upload).unwrap();
            let large = Location::pointing("1", &digest, upload).unwrap();
            assert_eq!(layout.bytes(&small), layout.blob(&small));
            assert_eq!(layout.bytes(&large), layout.data(upload));
            assert_eq!(layout.below(&layout.blob(&large)), format!("blobs/{large}"));
            let other = UploadId::from_bytes([0xac; 16]);
            assert!(small.is_of(upload) && large.is_of(upload));
            assert!(!small.is_of(other) && !large.is_of(other));
        }
    }
}
