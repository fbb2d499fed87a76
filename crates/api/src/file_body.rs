//! A response body from a file.
//!
//! What the page cache holds is read on the connection's own task: `preadv2` with `RWF_NOWAIT` never waits for a disk.
//! The rest is read on a blocking thread. Measured, this takes 2 to 3 times less processor time than reading every
//! buffer on a blocking thread. Where the connection can, what the page cache holds is not even read but left to
//! `sendfile`.

use std::fs::File;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use rustix::fs::Advice;
use rustix::io::{Errno, ReadWriteFlags};
use tokio::task::JoinHandle;

use crate::pool::{BufferPool, CHUNK, Chunk, Gate};
use crate::sendfile::{PIECE, SendQueue};

/// With so much already in hand a chunk is sent rather than filled up from the disk, in bytes.
const ENOUGH: usize = 64 << 10;

/// How far ahead of a read from the disk the kernel is asked to read on, in bytes.
const READ_AHEAD: u64 = 4 << 20;

/// From so much on `sendfile` takes less time than reading, in bytes.
const WORTH_SENDING: u64 = 32 << 10;

/// Distance of the bytes by which it is judged whether a piece of a file is in memory.
const PROBE_STEP: usize = 64 << 10;

/// A range of a file, on its way to a client.
#[derive(Debug)]
pub(crate) struct FileBody {
    file: Arc<File>,
    offset: u64,
    end: u64,
    pool: BufferPool,
    gate: Arc<Gate>,
    send_queue: Option<Arc<SendQueue>>,
    reading: Option<JoinHandle<io::Result<Chunk>>>,
    /// The file system does not know reads that never wait.
    always_waits: bool,
}

impl FileBody {
    /// The bytes of `file` from `offset` to `end` (exclusive). They must exist: a shorter file is an error then.
    pub(crate) fn new(file: Arc<File>, offset: u64, end: u64, pool: &BufferPool) -> Self {
        Self {
            file,
            offset,
            end: end.max(offset),
            pool: pool.clone(),
            gate: Arc::default(),
            send_queue: None,
            reading: None,
            always_waits: false,
        }
    }

    /// Leaves to `sendfile` what is in memory. The chunks may then be stand-ins for what the queue sends: they must
    /// go to the connection of the queue, whole and in order.
    pub(crate) fn send_through(&mut self, queue: Option<&Arc<SendQueue>>) {
        self.send_queue = queue.cloned();
    }

    /// Bytes still to come.
    pub(crate) fn remaining(&self) -> u64 {
        self.end - self.offset
    }

    /// The next bytes, `None` at the end. After an error the body is spent.
    pub(crate) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if let Some(reading) = &mut self.reading {
            let result = ready!(Pin::new(reading).poll(cx));
            self.reading = None;
            let result = result.unwrap_or_else(|error| Err(io::Error::other(error)));
            return Poll::Ready(Some(self.emit(result)));
        }
        if self.remaining() == 0 {
            return Poll::Ready(None);
        }
        if !self.gate.poll_open(cx) {
            return Poll::Pending;
        }
        if let Some(stand_in) = self.stand_in() {
            self.offset += stand_in.len() as u64;
            return Poll::Ready(Some(Ok(stand_in)));
        }
        let wanted = self.remaining().min(CHUNK as u64) as usize;
        let mut chunk = self.pool.take(wanted, &self.gate);
        let have = match self.read_now(chunk.space()) {
            Ok(have) => have,
            Err(error) => return Poll::Ready(Some(self.emit(Err(error)))),
        };
        if have == chunk.space().len() || have >= ENOUGH {
            chunk.truncate(have);
            return Poll::Ready(Some(self.emit(Ok(chunk))));
        }
        self.read_later(chunk, have);
        // Polled at once, so that the task is woken when the read is done.
        self.poll_chunk(cx)
    }

    /// Leaves the next piece to `sendfile`, unless it is short or the disk would have to be waited for.
    fn stand_in(&mut self) -> Option<Bytes> {
        let queue = self.send_queue.clone()?;
        if self.remaining() < WORTH_SENDING {
            return None;
        }
        let wanted = self.remaining().min(PIECE as u64) as usize;
        let mut length = 0;
        while length < wanted && self.is_in_memory(length) {
            length = (length + PROBE_STEP).min(wanted);
        }
        if length == wanted && !self.is_in_memory(wanted - 1) {
            length = (wanted - 1) / PROBE_STEP * PROBE_STEP;
        }
        (length > 0).then(|| queue.push(&self.file, self.offset, length))
    }

    /// Whether the byte so far ahead is there and can be had without waiting.
    fn is_in_memory(&mut self, ahead: usize) -> bool {
        let mut byte = [0];
        matches!(
            self.read_now_at(&mut byte, self.offset + ahead as u64),
            Ok(1)
        )
    }

    /// Reads what is in memory; zero when nothing is.
    fn read_now(&mut self, space: &mut [u8]) -> io::Result<usize> {
        self.read_now_at(space, self.offset)
    }

    fn read_now_at(&mut self, space: &mut [u8], offset: u64) -> io::Result<usize> {
        while !self.always_waits {
            let mut slices = [IoSliceMut::new(space)];
            let flags = ReadWriteFlags::NOWAIT;
            match rustix::io::preadv2(&self.file, &mut slices, offset, flags) {
                Ok(count) => return Ok(count),
                Err(Errno::AGAIN) => return Ok(0),
                Err(Errno::INTR) => {}
                Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => self.always_waits = true,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(0)
    }

    /// Fills the chunk from `have` on a blocking thread.
    fn read_later(&mut self, mut chunk: Chunk, have: usize) {
        let file = self.file.clone();
        let offset = self.offset;
        let end = self.end;
        self.reading = Some(tokio::task::spawn_blocking(move || {
            let ahead = NonZeroU64::new(READ_AHEAD.min(end - offset));
            // Advice: without it the reads are only slower.
            let _ = rustix::fs::fadvise(&file, offset, ahead, Advice::WillNeed);
            file.read_exact_at(&mut chunk.space()[have..], offset + have as u64)?;
            Ok(chunk)
        }));
    }

    fn emit(&mut self, result: io::Result<Chunk>) -> io::Result<Bytes> {
        match result {
            Ok(chunk) => {
                self.offset += chunk.as_ref().len() as u64;
                Ok(Bytes::from_owner(chunk))
            }
            Err(error) => {
                self.offset = self.end;
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::future::poll_fn;
    use std::io::Write;

    use super::*;

    fn file(length: usize) -> (Arc<File>, Vec<u8>) {
        let content: Vec<u8> = (0..length).map(|i| (i * 7 + i / 251) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&content).unwrap();
        (Arc::new(file), content)
    }

    async fn read(body: &mut FileBody) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(bytes) = poll_fn(|cx| body.poll_chunk(cx)).await {
            all.extend_from_slice(&bytes?);
        }
        Ok(all)
    }

    #[tokio::test]
    async fn ranges_are_exact() {
        let (file, content) = file(3 * CHUNK + 17);
        let size = content.len() as u64;
        let pool = BufferPool::default();
        let ranges = [(0, size), (1, 2), (5, 5), (CHUNK as u64 - 1, size - 3)];
        for (start, end) in ranges {
            let mut body = FileBody::new(file.clone(), start, end, &pool);
            assert_eq!(body.remaining(), end - start);
            let all = read(&mut body).await.unwrap();
            assert!(all == content[start as usize..end as usize]);
            assert_eq!(body.remaining(), 0);
        }
    }

    #[tokio::test]
    async fn reads_that_wait_give_the_same_bytes() {
        let (file, content) = file(2 * CHUNK + 3);
        let mut body = FileBody::new(file, 0, content.len() as u64, &BufferPool::default());
        body.always_waits = true;
        assert!(read(&mut body).await.unwrap() == content);
    }

    #[tokio::test]
    async fn an_exhausted_pool_still_serves() {
        let (file, content) = file(CHUNK);
        let pool = BufferPool::new(0, 0);
        let mut body = FileBody::new(file, 0, content.len() as u64, &pool);
        let first = poll_fn(|cx| body.poll_chunk(cx)).await.unwrap().unwrap();
        // Nothing more while the first is held.
        let waits = poll_fn(|cx| Poll::Ready(body.poll_chunk(cx).is_pending())).await;
        assert!(waits);
        let mut all = first.to_vec();
        drop(first);
        all.extend(read(&mut body).await.unwrap());
        assert!(all == content);
    }

    #[tokio::test]
    async fn a_file_that_is_too_short_is_an_error() {
        let (file, content) = file(1000);
        let end = content.len() as u64 + 1;
        let mut body = FileBody::new(file, 0, end, &BufferPool::default());
        let error = read(&mut body).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(body.remaining(), 0);
    }
}
