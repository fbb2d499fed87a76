//! Buffers for file bodies: initialised once, used again, bounded in number.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};

/// Size of a pooled buffer, in bytes. As large as the connection's write buffer, so that a connection holds one at a
/// time, and small enough that it is still in the second-level cache when it is sent.
pub(crate) const CHUNK: usize = 256 << 10;

/// Up to this size a buffer is made for the purpose, in bytes.
const SMALL: usize = 32 << 10;

/// A bounded supply of buffers. Cloning shares.
#[derive(Debug, Clone)]
pub(crate) struct BufferPool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    free: Mutex<Vec<Box<[u8]>>>,
    lent: AtomicUsize,
    most_lent: usize,
    most_kept: usize,
}

impl Default for BufferPool {
    fn default() -> Self {
        Self::new(64, 12)
    }
}

impl BufferPool {
    /// A pool that lends at most `most_lent` buffers of [`CHUNK`] bytes and keeps at most `most_kept` unused ones.
    pub(crate) fn new(most_lent: usize, most_kept: usize) -> Self {
        Self(Arc::new(Inner {
            free: Mutex::default(),
            lent: AtomicUsize::new(0),
            most_lent,
            most_kept,
        }))
    }

    /// A buffer of `wanted` bytes or fewer, but at least one.
    ///
    /// When all are lent (slow clients hold one each), a small one is made instead and `gate` makes sure that its
    /// body gets no second one before it is sent: memory for a slow client stays constant.
    pub(crate) fn take(&self, wanted: usize, gate: &Arc<Gate>) -> Chunk {
        if wanted <= SMALL {
            return Chunk::single(wanted.max(1), None);
        }
        if self.0.lent.fetch_add(1, Relaxed) >= self.0.most_lent {
            self.0.lent.fetch_sub(1, Relaxed);
            gate.close();
            return Chunk::single(SMALL, Some(gate.clone()));
        }
        let buffer = self.free().pop();
        Chunk {
            buffer: buffer.unwrap_or_else(|| vec![0; CHUNK].into()),
            length: wanted.min(CHUNK),
            pool: Some(self.0.clone()),
            gate: None,
        }
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Vec<Box<[u8]>>> {
        self.0.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes on their way from a file to a socket. The memory goes back when it is dropped.
#[derive(Debug)]
pub(crate) struct Chunk {
    buffer: Box<[u8]>,
    length: usize,
    pool: Option<Arc<Inner>>,
    gate: Option<Arc<Gate>>,
}

impl Chunk {
    fn single(length: usize, gate: Option<Arc<Gate>>) -> Self {
        Self {
            buffer: vec![0; length].into(),
            length,
            pool: None,
            gate,
        }
    }

    /// The bytes to fill.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        &mut self.buffer[..self.length]
    }

    /// Keeps the first `length` bytes.
    pub(crate) fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if let Some(pool) = &self.pool {
            pool.lent.fetch_sub(1, Relaxed);
            let buffer = std::mem::take(&mut self.buffer);
            let mut free = pool.free.lock().unwrap_or_else(PoisonError::into_inner);
            if free.len() < pool.most_kept {
                free.push(buffer);
            }
        }
        if let Some(gate) = &self.gate {
            gate.open();
        }
    }
}

/// Whether a body has to wait until its last chunk is sent.
#[derive(Debug, Default)]
pub(crate) struct Gate(Mutex<(bool, Option<Waker>)>);

impl Gate {
    fn lock(&self) -> std::sync::MutexGuard<'_, (bool, Option<Waker>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.lock().0 = true;
    }

    fn open(&self) {
        let mut state = self.lock();
        state.0 = false;
        if let Some(waker) = state.1.take() {
            waker.wake();
        }
    }

    /// Whether it is open; if not, the task is woken when it opens.
    pub(crate) fn poll_open(&self, cx: &Context<'_>) -> bool {
        let mut state = self.lock();
        if state.0 {
            state.1 = Some(cx.waker().clone());
        }
        !state.0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::task::Poll;

    use super::*;

    #[test]
    fn buffers_come_back_and_are_used_again() {
        let pool = BufferPool::new(4, 1);
        let gate = Arc::new(Gate::default());
        let one = pool.take(CHUNK, &gate);
        let two = pool.take(CHUNK + 5, &gate);
        assert_eq!((one.as_ref().len(), two.as_ref().len()), (CHUNK, CHUNK));
        let address = one.as_ref().as_ptr();
        drop(one);
        drop(two);
        assert_eq!(pool.free().len(), 1);
        let again = pool.take(100_000, &gate);
        assert_eq!(again.as_ref().as_ptr(), address);
        assert_eq!(again.as_ref().len(), 100_000);
        assert_eq!(pool.0.lent.load(Relaxed), 1);
    }

    #[test]
    fn small_needs_are_met_without_the_pool() {
        let pool = BufferPool::new(0, 0);
        let gate = Arc::new(Gate::default());
        assert_eq!(pool.take(1024, &gate).as_ref().len(), 1024);
        assert_eq!(pool.take(0, &gate).as_ref().len(), 1);
    }

    #[tokio::test]
    async fn an_exhausted_pool_gives_one_small_buffer_at_a_time() {
        let pool = BufferPool::new(1, 1);
        let gate = Arc::new(Gate::default());
        let large = pool.take(CHUNK, &gate);
        let lean = pool.take(CHUNK, &gate);
        assert_eq!(lean.as_ref().len(), SMALL);
        let opened = tokio::spawn({
            let gate = gate.clone();
            std::future::poll_fn(move |cx| {
                if gate.poll_open(cx) {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            })
        });
        tokio::task::yield_now().await;
        assert!(!opened.is_finished());
        drop(lean);
        opened.await.unwrap();
        drop(large);
        assert_eq!(pool.take(CHUNK, &gate).as_ref().len(), CHUNK);
    }
}
