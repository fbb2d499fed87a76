//! What a store that keeps records has to do.

use bytes::Bytes;

use super::{Store, content, list_blobs, list_uploads};
use crate::Error;

/// A record is made once, is read as it was written, is listed in its folder, and can be made again after it was removed.
pub async fn records_are_made_once(store: Store) {
    let records = store.records().expect("the store keeps records");
    let name = |name: &str| name.to_owned();
    let (one, other) = (content(70_000, 1), content(10, 2));
    let made = |name: String, text: &Bytes| records.create(name, text.clone());
    assert!(made(name("0001/a.json"), &one).await.unwrap());
    assert!(!made(name("0001/a.json"), &other).await.unwrap());
    assert!(made(name("0001/b.json"), &other).await.unwrap());
    assert!(made(name("00010/c.json"), &other).await.unwrap());
    assert_eq!(records.read(name("0001/a.json")).await.unwrap(), one);
    let all = ["0001/a.json", "0001/b.json", "00010/c.json"];
    assert_eq!(records.list(String::new()).await.unwrap(), all);
    for folder in ["0001", "0001/"] {
        assert_eq!(records.list(name(folder)).await.unwrap(), all[..2]);
    }
    // They are neither blobs nor uploads.
    assert_eq!(list_blobs(&store).await, []);
    assert_eq!(list_uploads(&store).await, []);
    for _ in 0..2 {
        records.remove(name("0001/a.json")).await.unwrap();
        let gone = records.read(name("0001/a.json")).await;
        assert!(matches!(gone, Err(Error::NotFound)), "{gone:?}");
    }
    assert_eq!(records.list(String::new()).await.unwrap(), all[1..]);
    assert!(made(name("0001/a.json"), &other).await.unwrap());
    assert_eq!(records.read(name("0001/a.json")).await.unwrap(), other);
}
