//! The threads that hash and write what is received. They are the store's own and stand back behind all others: receiving
//! takes long anyway, answering should not.

use std::io;
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::writer::join;
use crate::{Error, Operation};

/// When the cores are busy, still about a third of the share of a thread that does not stand back.
const NICENESS: i32 = 5;

pub(super) struct Hashing {
    /// One permit for each chunk being hashed.
    turns: Arc<Semaphore>,
    /// Only ever lends its threads; gone only while this is being dropped.
    threads: Option<Runtime>,
}

impl Hashing {
    /// At most so many chunks at a time. Threads are started when needed, and end when they are not.
    pub(super) fn new(chunks: usize) -> Result<Self, Error> {
        let chunks = chunks.max(1);
        let threads = Builder::new_current_thread()
            .max_blocking_threads(chunks)
            .thread_name("receive")
            .on_thread_start(|| {
                // On Linux this concerns the calling thread alone. If it is refused, nothing is lost.
                let _ = rustix::process::setpriority_process(None, NICENESS);
            })
            .build()
            .map_err(|source| Error::Io {
                op: Operation::Write,
                source,
            })?;
        Ok(Self {
            turns: Arc::new(Semaphore::new(chunks)),
            threads: Some(threads),
        })
    }

    /// Does the work when it has its turn.
    pub(super) fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> JoinHandle<Result<T, Error>> {
        if let Ok(turn) = self.turns.clone().try_acquire_owned()
            && let Some(threads) = &self.threads
        {
            return threads.spawn_blocking(move || {
                let _turn = turn;
                work()
            });
        }
        // Waiting for a turn is left to a task of its own: meanwhile more can be received.
        let this = self.clone();
        tokio::spawn(async move {
            // It fails only when closed, which nobody does.
            let turn = this.turns.clone().acquire_owned().await.ok();
            let Some(threads) = &this.threads else {
                return Err(Error::Io {
                    op: Operation::Write,
                    source: io::Error::other("the store is closing"),
                });
            };
            let task = threads.spawn_blocking(move || {
                let _turn = turn;
                work()
            });
            join(task, Operation::Write).await
        })
    }
}

impl Drop for Hashing {
    fn drop(&mut self) {
        if let Some(threads) = self.threads.take() {
            // Does not wait, so that it may happen anywhere.
            threads.shutdown_background();
        }
    }
}
