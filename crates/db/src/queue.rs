//! The bounded queue between callers and database threads.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::clock::instant;
use crate::work::Job;
use crate::{Error, Result};

pub(crate) struct Queue {
    state: Mutex<State>,
    ready: Condvar,
    /// The last thread has ended.
    ended: Condvar,
    limit: usize,
}

struct State {
    jobs: VecDeque<Job>,
    closed: bool,
    /// Threads in `take`, so that `push` only makes the system call when somebody sleeps.
    sleeping: usize,
    /// Threads that still serve this queue.
    threads: usize,
}

impl Queue {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        let state = State {
            jobs: VecDeque::new(),
            closed: false,
            sleeping: 0,
            threads: 0,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            ready: Condvar::new(),
            ended: Condvar::new(),
            limit,
        })
    }

    pub(crate) fn push(&self, job: Job) -> Result<()> {
        let mut state = self.lock();
        if state.closed {
            return Err(Error::Closed);
        }
        if state.jobs.len() >= self.limit {
            return Err(Error::Busy);
        }
        state.jobs.push_back(job);
        let wake = state.sleeping > 0;
        drop(state);
        if wake {
            self.ready.notify_one();
        }
        Ok(())
    }

    /// Waits for jobs and moves the calling thread's share of them, at most `most`, to `into`. False: the queue is
    /// closed and empty.
    pub(crate) fn take(&self, into: &mut VecDeque<Job>, most: usize) -> bool {
        let mut state = self.lock();
        while state.jobs.is_empty() {
            if state.closed {
                return false;
            }
            state.sleeping += 1;
            state = self
                .ready
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            state.sleeping -= 1;
        }
        let count = (state.jobs.len() / state.threads.max(1)).clamp(1, most);
        if count == state.jobs.len() && into.is_empty() {
            std::mem::swap(&mut state.jobs, into);
        } else {
            into.extend(state.jobs.drain(..count));
        }
        true
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().jobs.len()
    }

    /// Takes no more jobs; the threads finish those that wait.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.ready.notify_all();
    }

    /// Waits until no thread serves this queue. False: that took too long.
    pub(crate) fn wait_ended(&self, deadline: Instant) -> bool {
        let mut state = self.lock();
        while state.threads > 0 {
            let left = deadline.saturating_duration_since(instant());
            if left.is_zero() {
                return false;
            }
            state = self
                .ended
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }

    /// Says that the calling thread serves this queue, for as long as the answer lives.
    pub(crate) fn serve(self: &Arc<Self>) -> Serving {
        self.lock().threads += 1;
        Serving(self.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When the last thread of a queue ends, however that came, nobody may wait on it for ever.
pub(crate) struct Serving(Arc<Queue>);

impl Drop for Serving {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.threads -= 1;
        if state.threads == 0 {
            state.closed = true;
            let jobs = std::mem::take(&mut state.jobs);
            drop(state);
            // Dropping a job closes its reply channel: its caller gets `Error::Closed`.
            drop(jobs);
            self.0.ended.notify_all();
        }
    }
}
