//! Places of blobs: what they are made of, and that they last.

use super::{Store, content, new_upload, pull, push, receive};
use crate::{Error, Location};

/// See the name.
pub async fn prefixes_keep_to_their_alphabet(store: Store) {
    let (upload, bytes) = (new_upload(), content(5, 1));
    let digest = receive(&store, upload, &bytes).await.unwrap();
    for hostile in ["", ".", "..", "../x", "a/b", "a\0", "ä", &"a".repeat(65)] {
        let finished = store.finish(upload, hostile, &digest, 5).await;
        assert!(matches!(finished, Err(Error::Location(_))));
    }
    store.finish(upload, "42", &digest, 5).await.unwrap();
}

/// See the name.
pub async fn a_stored_location_finds_its_blob(store: Store) {
    let bytes = content(5, 1);
    let (_, location) = push(&store, &bytes).await.unwrap();
    let stored = Location::parse(location.as_str()).unwrap();
    assert_eq!(stored, location);
    assert_eq!(pull(&store, &stored, 5).await.unwrap(), bytes);
}
