//! Bytes by digest: uploads whose hash can be resumed, and blobs at places that are never used twice.
//!
//! The store knows nothing of repositories, sizes on record or who may do what: those are rows in the database. It owns
//! two things, the bytes and their durability, and promises:
//!
//! - what [`BlobStore::finish`] returned a [`Location`] for is whole and survives a power failure;
//! - nothing is found at a location before it is complete;
//! - a location is made for one upload and never reused, so that removing it cannot hit a newer copy;
//! - after a failed sync of an upload nothing of it is ever called durable (the kernel may have dropped the bytes).
//!
//! Deliberately absent: reading blobs into responses (the caller gets an open file), caching, quotas and garbage
//! collection.

mod bucket;
mod disk;
mod disk_store;
mod error;
#[cfg(any(test, feature = "testing"))]
pub mod faulty;
mod gather;
mod hasher;
mod location;
mod memory;
mod records;
mod store;
#[cfg(any(test, feature = "testing"))]
pub mod suite;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use bucket::{
    Access, BlobObject, Bucket, BucketOptions, BucketStore, BucketUrl, ConnectError, Patience,
    Provider,
};
pub use disk::{Disk, DiskFile, FileStat, Names, RealDisk};
pub use disk_store::{DiskOptions, DiskStore};
pub use error::{Error, Operation};
pub use hasher::{Hasher, StateError};
pub use location::{Location, LocationError};
pub use memory::MemoryStore;
pub use records::{RECORD_MAX, Records};
pub use store::{
    BlobEntry, BlobFile, BlobLister, BlobStore, BoxFuture, Held, Listed, ListedUpload, Opened,
    UploadLister, UploadWriter,
};
