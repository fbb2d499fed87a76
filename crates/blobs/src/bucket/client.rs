//! The object store's calls, with its errors as this crate's.

use std::sync::Arc;

use bytes::Bytes;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutPayload};

use crate::Error;

/// A bucket or container, as far as the store needs it.
#[derive(Clone)]
pub struct Bucket {
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) multipart: Arc<dyn MultipartStore>,
    pub(super) signer: Option<Arc<dyn Signer>>,
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bucket({})", self.objects)
    }
}

impl Bucket {
    /// An object store that can do everything that is needed.
    pub fn new<S: ObjectStore + MultipartStore>(store: Arc<S>) -> Self {
        Self {
            objects: store.clone(),
            multipart: store,
            signer: None,
        }
    }

    /// One that also makes signed URLs.
    pub fn signing<S: ObjectStore + MultipartStore + Signer>(store: Arc<S>) -> Self {
        Self {
            signer: Some(store.clone()),
            ..Self::new(store)
        }
    }

    pub(super) async fn put(&self, path: &Path, pieces: Vec<Bytes>) -> Result<(), Error> {
        let put = self.objects.put(path, PutPayload::from_iter(pieces)).await;
        put.map(drop).map_err(|error| missing("put object", &error))
    }

    /// Makes an object that must not be there. Whether it was not.
    pub(super) async fn create(&self, path: &Path, text: Bytes) -> Result<bool, Error> {
        let payload = PutPayload::from_bytes(text);
        let put = self
            .objects
            .put_opts(path, payload, PutMode::Create.into())
            .await;
        match put {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(missing("make object", &error)),
        }
    }

    pub(super) async fn get(&self, path: &Path) -> Result<Bytes, Error> {
        let got = async { self.objects.get(path).await?.bytes().await };
        got.await.map_err(|error| failed("get object", &error))
    }

    /// Length in bytes. Errors: [`Error::NotFound`].
    pub(super) async fn size(&self, path: &Path) -> Result<u64, Error> {
        let head = self.objects.head(path).await;
        head.map(|meta| meta.size)
            .map_err(|error| failed("look up object", &error))
    }

    /// Fine when there is none.
    pub(super) async fn delete(&self, path: &Path) -> Result<(), Error> {
        match self.objects.delete(path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed("delete object", &error)),
        }
    }

    pub(super) async fn create_multipart(&self, path: &Path) -> Result<String, Error> {
        let created = self.multipart.create_multipart(path).await;
        created.map_err(|error| missing("begin multipart upload", &error))
    }

    pub(super) async fn put_part(
        &self,
        path: &Path,
        multipart: &str,
        index: usize,
        pieces: Vec<Bytes>,
    ) -> Result<String, Error> {
        let payload = PutPayload::from_iter(pieces);
        let id = multipart.to_owned();
        let put = self.multipart.put_part(path, &id, index, payload).await;
        put.map(|part| part.content_id)
            .map_err(|error| failed("put part", &error))
    }

    pub(super) async fn complete(
        &self,
        path: &Path,
        multipart: &str,
        parts: impl Iterator<Item = String>,
    ) -> Result<(), Error> {
        let parts = parts.map(|content_id| PartId { content_id }).collect();
        let completed = self
            .multipart
            .complete_multipart(path, &multipart.to_owned(), parts)
            .await;
        completed
            .map(drop)
            .map_err(|error| failed("complete multipart upload", &error))
    }

    /// Fine when there is none.
    pub(super) async fn abort(&self, path: &Path, multipart: &str) -> Result<(), Error> {
        let multipart = multipart.to_owned();
        match self.multipart.abort_multipart(path, &multipart).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed("abort multipart upload", &error)),
        }
    }
}

/// Sorts an object store's error.
pub(super) fn failed(what: &'static str, source: &object_store::Error) -> Error {
    use object_store::Error as Source;
    if let Source::NotFound { .. } = source {
        return Error::NotFound;
    }
    let is_refused = matches!(
        source,
        Source::PermissionDenied { .. } | Source::Unauthenticated { .. }
    );
    // The library's text has the store's answer, and neither key nor signature.
    object_store_error(what, is_refused, source)
}

/// The same for what needs no object to be there: then it is the bucket that is missing.
pub(super) fn missing(what: &'static str, source: &object_store::Error) -> Error {
    match failed(what, source) {
        Error::NotFound => object_store_error(what, true, source),
        other => other,
    }
}

fn object_store_error(what: &'static str, is_refused: bool, source: &object_store::Error) -> Error {
    Error::ObjectStore {
        what,
        is_refused,
        message: source.to_string(),
    }
}
