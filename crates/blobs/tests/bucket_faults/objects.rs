//! An object store in memory that keeps to S3's rules for parts, counts its calls and fails the one it is told to.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt as _};
use lazuli_blobs::BoxFuture;
use object_store::memory::InMemory;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result,
};

/// When a call fails that is to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// Nothing was done.
    Before,
    /// It was done; of something that is read, half comes.
    After,
}

#[derive(Debug, Default)]
pub(crate) struct Objects {
    inner: Arc<InMemory>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    calls: u64,
    fails: Option<(u64, When)>,
    /// The call that failed.
    failed: Option<&'static str>,
    multiparts: HashMap<String, Parts>,
    /// Multipart uploads that were begun without anybody being told.
    lost: Vec<String>,
    completed: u64,
}

/// Parts by their place, with the name each was given.
type Parts = HashMap<usize, (String, Bytes)>;

fn fault() -> Error {
    Error::Generic {
        store: "test",
        source: "it is told to fail".into(),
    }
}

fn unknown(path: &Path) -> Error {
    Error::NotFound {
        path: path.to_string(),
        source: "no such upload".into(),
    }
}

impl Objects {
    /// Fails the `n`th call from now on, counted from 0.
    pub(crate) fn fail(&self, n: u64, when: When) {
        let mut state = self.state.lock().unwrap();
        state.fails = Some((state.calls + n, when));
        state.failed = None;
    }

    /// Which call failed, if one has.
    pub(crate) fn failed(&self) -> Option<&'static str> {
        let mut state = self.state.lock().unwrap();
        state.fails = None;
        state.failed
    }

    /// Names of everything there is, and of multipart uploads that somebody was told of.
    pub(crate) async fn inventory(&self) -> Vec<String> {
        let listed = self.inner.list(None).collect::<Vec<_>>().await;
        let mut names: Vec<String> = listed
            .into_iter()
            .map(|object| object.unwrap().location.to_string())
            .collect();
        let state = self.state.lock().unwrap();
        let known = |id: &&String| !state.lost.contains(*id);
        names.extend(
            state
                .multiparts
                .keys()
                .filter(known)
                .map(|id| format!("multipart {id}")),
        );
        names.sort();
        names
    }

    async fn call<T>(&self, what: &'static str, act: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::task::yield_now().await;
        let when = {
            let mut state = self.state.lock().unwrap();
            let number = state.calls;
            state.calls += 1;
            let when = state.fails.filter(|(n, _)| *n == number);
            if when.is_some() {
                state.failed = Some(what);
            }
            when.map(|(_, when)| when)
        };
        if when == Some(When::Before) {
            return Err(fault());
        }
        let done = act.await;
        tokio::task::yield_now().await;
        if when == Some(When::After) {
            return Err(fault());
        }
        done
    }

    fn begin(&self) -> String {
        let mut state = self.state.lock().unwrap();
        let id = format!("m{}", state.calls);
        state.multiparts.insert(id.clone(), Parts::new());
        state.lost.push(id.clone());
        id
    }

    fn part(&self, path: &Path, id: &str, place: usize, bytes: Bytes) -> Result<PartId> {
        let mut state = self.state.lock().unwrap();
        let content_id = format!("e{}", state.calls);
        let parts = state.multiparts.get_mut(id).ok_or_else(|| unknown(path))?;
        parts.insert(place, (content_id.clone(), bytes));
        Ok(PartId { content_id })
    }

    /// The parts of that name, put together. A repeated call is told one thing or another.
    fn joined(&self, path: &Path, id: &str, wanted: &[PartId]) -> Result<Bytes> {
        let mut state = self.state.lock().unwrap();
        state.completed += 1;
        let is_odd = state.completed % 2 == 1;
        let Some(parts) = state.multiparts.get(id) else {
            return Err(if is_odd { unknown(path) } else { fault() });
        };
        let mut bytes = Vec::new();
        for (place, part) in wanted.iter().enumerate() {
            match parts.get(&place) {
                Some((name, content)) if *name == part.content_id => {
                    bytes.extend_from_slice(content);
                }
                _ => return Err(fault()),
            }
        }
        state.multiparts.remove(id);
        Ok(bytes.into())
    }
}

impl fmt::Display for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Objects")
    }
}

impl MultipartStore for Objects {
    fn create_multipart<'a, 'b, 'c>(&'a self, _: &'b Path) -> BoxFuture<'c, Result<String>>
    where
        'a: 'c,
        'b: 'c,
    {
        Box::pin(async move {
            let id = self.call("create", async { Ok(self.begin()) }).await?;
            self.state.lock().unwrap().lost.retain(|lost| *lost != id);
            Ok(id)
        })
    }

    fn put_part<'a, 'b, 'c, 'd>(
        &'a self,
        path: &'b Path,
        id: &'c String,
        place: usize,
        data: PutPayload,
    ) -> BoxFuture<'d, Result<PartId>>
    where
        'a: 'd,
        'b: 'd,
        'c: 'd,
    {
        let act = async move { self.part(path, id, place, data.into()) };
        Box::pin(self.call("part", act))
    }

    fn complete_multipart<'a, 'b, 'c, 'd>(
        &'a self,
        path: &'b Path,
        id: &'c String,
        parts: Vec<PartId>,
    ) -> BoxFuture<'d, Result<PutResult>>
    where
        'a: 'd,
        'b: 'd,
        'c: 'd,
    {
        let act = async move {
            let bytes = self.joined(path, id, &parts)?;
            self.inner.put(path, bytes.into()).await
        };
        Box::pin(self.call("complete", act))
    }

    fn abort_multipart<'a, 'b, 'c, 'd>(
        &'a self,
        path: &'b Path,
        id: &'c String,
    ) -> BoxFuture<'d, Result<()>>
    where
        'a: 'd,
        'b: 'd,
        'c: 'd,
    {
        let act = async move {
            let removed = self.state.lock().unwrap().multiparts.remove(id);
            removed.map(drop).ok_or_else(|| unknown(path))
        };
        Box::pin(self.call("abort", act))
    }
}

impl ObjectStore for Objects {
    fn put_opts<'a, 'b, 'c>(
        &'a self,
        path: &'b Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> BoxFuture<'c, Result<PutResult>>
    where
        'a: 'c,
        'b: 'c,
    {
        Box::pin(self.call("put", self.inner.put_opts(path, payload, options)))
    }

    fn put_multipart_opts<'a, 'b, 'c>(
        &'a self,
        path: &'b Path,
        options: PutMultipartOptions,
    ) -> BoxFuture<'c, Result<Box<dyn MultipartUpload>>>
    where
        'a: 'c,
        'b: 'c,
    {
        self.inner.put_multipart_opts(path, options)
    }

    fn get_opts<'a, 'b, 'c>(
        &'a self,
        path: &'b Path,
        options: GetOptions,
    ) -> BoxFuture<'c, Result<GetResult>>
    where
        'a: 'c,
        'b: 'c,
    {
        Box::pin(async move {
            let is_head = options.head;
            let mut got = None;
            let act = async {
                got = Some(self.inner.get_opts(path, options).await?);
                Ok(())
            };
            match (self.call("get", act).await, got) {
                (Ok(()), Some(got)) => Ok(got),
                (Err(_), Some(mut got)) if !is_head => {
                    let length = (got.range.end - got.range.start) as usize;
                    let payload = std::mem::replace(
                        &mut got.payload,
                        GetResultPayload::Stream(futures_util::stream::empty().boxed()),
                    );
                    let GetResultPayload::Stream(pieces) = payload;
                    let half = pieces.map(move |piece| piece.map(|p| p.slice(..length / 2)));
                    let broken = half.chain(futures_util::stream::iter([Err(fault())]));
                    got.payload = GetResultPayload::Stream(broken.boxed());
                    Ok(got)
                }
                (outcome, _) => Err(outcome.err().unwrap_or_else(fault)),
            }
        })
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let this = Self {
            inner: self.inner.clone(),
            state: self.state.clone(),
        };
        let this = Arc::new(this);
        paths
            .then(move |path| {
                let this = this.clone();
                async move {
                    let path = path?;
                    this.call("delete", this.inner.delete(&path)).await?;
                    Ok(path)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let this = Self {
            inner: self.inner.clone(),
            state: self.state.clone(),
        };
        let prefix = prefix.cloned();
        let all = async move {
            let listed = async { Ok(this.inner.list(prefix.as_ref()).collect::<Vec<_>>().await) };
            match this.call("list", listed).await {
                Ok(all) => all,
                Err(error) => vec![Err(error)],
            }
        };
        futures_util::stream::once(all)
            .flat_map(futures_util::stream::iter)
            .boxed()
    }

    fn list_with_delimiter<'a, 'b, 'c>(
        &'a self,
        prefix: Option<&'b Path>,
    ) -> BoxFuture<'c, Result<ListResult>>
    where
        'a: 'c,
        'b: 'c,
    {
        self.inner.list_with_delimiter(prefix)
    }

    fn copy_opts<'a, 'b, 'c, 'd>(
        &'a self,
        from: &'b Path,
        to: &'c Path,
        options: CopyOptions,
    ) -> BoxFuture<'d, Result<()>>
    where
        'a: 'd,
        'b: 'd,
        'c: 'd,
    {
        self.inner.copy_opts(from, to, options)
    }
}
