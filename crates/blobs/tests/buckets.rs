//! The behaviour suite on object stores: one in memory, and the real ones of this machine.
//!
//! The crate `s3s` with its file-system back end was looked at (0.14) as a third, for quick runs, and left out: it brings some
//! twenty crates that are not in the tree, a second version of one, and more users of crates that `deny.toml` restricts; and it
//! looks whether an object exists before it writes, in two steps, where this layer relies on conditional writes that are one.
//! What is quick runs in memory.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::time::Duration;

use lazuli_blobs::suite::{Store, content, new_upload, pull, writer};
use lazuli_blobs::{Access, Bucket, BucketOptions, BucketStore, BucketUrl, Opened as OpenBlob};
use lazuli_testkit::object_stores::azurite::Azurite;
use lazuli_testkit::object_stores::rgw::Rgw;
use lazuli_wire::oci::{Algorithm, Digest};
use object_store::memory::InMemory;

struct Opened {
    store: Store,
}

fn in_memory(part_size: usize) -> Opened {
    let options = BucketOptions {
        part_size,
        prefix: "some/folder".to_owned(),
        ..BucketOptions::default()
    };
    let bucket = Bucket::new(Arc::new(InMemory::new()));
    Opened {
        store: Arc::new(BucketStore::new(bucket, options)),
    }
}

mod in_one_part {
    lazuli_blobs::blob_store_suite!(bucket super::in_memory(8 << 20));
}

/// Parts so small that most uploads have several.
mod in_many_parts {
    lazuli_blobs::blob_store_suite!(bucket super::in_memory(64 << 10));
}

/// A bucket of its own for each test.
fn fresh_name() -> String {
    format!("t{}", &new_upload().to_string()[..13])
}

/// Ceph's S3, or `None` on a machine without it, which is said aloud.
fn in_s3() -> Option<Opened> {
    nodes_of_s3().map(|open| open())
}

fn nodes_of_s3() -> Option<impl Fn() -> Opened> {
    let rgw = Rgw::shared()?;
    let name = fresh_name();
    rgw.create_bucket(&name);
    let access = Access {
        endpoint: Some(rgw.endpoint()),
        access_key: Some(rgw.access_key().to_owned()),
        secret_key: Some(rgw.secret_key().to_owned()),
        ..Access::default()
    };
    Some(move || connect(&format!("s3://{name}/some/folder"), &access))
}

/// Microsoft's emulator of Azure Blob Storage.
fn in_azure() -> Option<Opened> {
    nodes_of_azure().map(|open| open())
}

fn nodes_of_azure() -> Option<impl Fn() -> Opened> {
    let azurite = Azurite::shared()?;
    let name = fresh_name();
    azurite.create_container(&name);
    let access = Access {
        endpoint: Some(azurite.endpoint()),
        access_key: Some(lazuli_testkit::object_stores::azurite::ACCOUNT.to_owned()),
        secret_key: Some(azurite.key()),
        ..Access::default()
    };
    Some(move || connect(&format!("az://{name}"), &access))
}

fn connect(url: &str, access: &Access) -> Opened {
    let url = BucketUrl::parse(url).unwrap();
    let bucket = Bucket::connect(&url, access).unwrap();
    let options = BucketOptions {
        prefix: url.prefix,
        part_size: 5 << 20,
        ..BucketOptions::default()
    };
    Opened {
        store: Arc::new(BucketStore::new(bucket, options)),
    }
}

macro_rules! or_not_run {
    ($opened:expr) => {
        match $opened {
            Some(opened) => opened,
            None => return,
        }
    };
}

mod in_ceph {
    lazuli_blobs::blob_store_suite!(bucket or_not_run!(super::in_s3()));
    lazuli_blobs::blob_store_suite!(or_not_run!(super::in_s3()) => records_are_made_once);
}

mod in_azurite {
    lazuli_blobs::blob_store_suite!(bucket or_not_run!(super::in_azure()));
    lazuli_blobs::blob_store_suite!(or_not_run!(super::in_azure()) => records_are_made_once);
}

/// Larger than a part, in three requests that know nothing of each other, each by another node.
async fn a_large_upload_goes_from_node_to_node(open: impl Fn() -> Store) {
    let bytes = content(23_000_000, 9);
    let upload = new_upload();
    for (start, end) in [
        (0, 11_000_000),
        (11_000_000, 11_000_100),
        (11_000_100, 23_000_000),
    ] {
        let node = open();
        let mut writer = writer(&node, upload, &bytes[..start]).await;
        for piece in bytes.slice(start..end).chunks(300_000) {
            writer.write(bytes.slice_ref(piece)).await.unwrap();
        }
        let (length, _) = writer.finish().await.unwrap();
        assert_eq!(length, end as u64);
    }
    let digest = Digest::of(Algorithm::Sha256, &bytes);
    let size = bytes.len() as u64;
    let location = open().finish(upload, "1", &digest, size).await.unwrap();
    assert!(pull(&open(), &location, bytes.len()).await.unwrap() == bytes);
    // Whoever asks again, because the answer was lost, gets the same one.
    assert_eq!(
        open().finish(upload, "1", &digest, size).await.unwrap(),
        location
    );
    assert_eq!(lazuli_blobs::suite::list_uploads(&open()).await, []);
    let listed = lazuli_blobs::suite::list_blobs(&open()).await;
    assert_eq!(
        (listed[0].location.clone(), listed[0].size),
        (location.clone(), size)
    );
    // Another algorithm is asked for at the end of another upload.
    let upload = new_upload();
    let mut again = writer(&open(), upload, &[]).await;
    again.write(bytes.slice(..12_000_000)).await.unwrap();
    again.finish().await.unwrap();
    let hasher = open()
        .rehash(upload, 12_000_000, Algorithm::Sha512)
        .await
        .unwrap();
    let other = hasher.finish();
    assert_eq!(other, Digest::of(Algorithm::Sha512, &bytes[..12_000_000]));
    let second = open()
        .finish(upload, "1", &other, 12_000_000)
        .await
        .unwrap();
    assert!(pull(&open(), &second, 12_000_000).await.unwrap() == bytes[..12_000_000]);
    // A client reads at a signed address, without credentials.
    let OpenBlob::Object(object) = open().open(&location, size).await.unwrap() else {
        panic!("a bucket has objects");
    };
    if let Some(url) = object.signed_url(Duration::from_mins(1)).await.unwrap() {
        let (address, target) = url
            .strip_prefix("http://")
            .unwrap()
            .split_once('/')
            .unwrap();
        let client = lazuli_testkit::http::Client::new(address.parse().unwrap());
        let range = [("Range", "bytes=22999990-")];
        let answer = client.send("GET", &format!("/{target}"), &range, &[]);
        assert_eq!((answer.status, &*answer.body), (206, &bytes[22_999_990..]));
        let altered = target.replace("data", "dato");
        assert_ne!(
            client.send("GET", &format!("/{altered}"), &[], &[]).status,
            200
        );
    }
    open().remove(&location).await.unwrap();
    open().remove(&second).await.unwrap();
    assert_eq!(lazuli_blobs::suite::list_blobs(&open()).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_upload_goes_from_node_to_node_in_memory() {
    let opened = in_memory(5 << 20);
    a_large_upload_goes_from_node_to_node(move || opened.store.clone()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_upload_goes_from_node_to_node_in_ceph() {
    let open = or_not_run!(nodes_of_s3());
    a_large_upload_goes_from_node_to_node(move || open().store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_upload_goes_from_node_to_node_in_azurite() {
    let open = or_not_run!(nodes_of_azure());
    a_large_upload_goes_from_node_to_node(move || open().store).await;
}
