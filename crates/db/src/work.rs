//! A caller's closure on its way through a database thread.

use std::panic::{AssertUnwindSafe, Location, catch_unwind};

use tokio::sync::oneshot;

use crate::{Error, Result, Tx};

/// What a caller asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A write that is durable before it is answered.
    Durable,
    /// A write that may be lost at a power failure.
    Relaxed,
    /// Reads of one snapshot.
    Snapshot,
    /// One read, or several that need not agree with each other.
    Single,
}

pub(crate) struct Job {
    pub(crate) kind: Kind,
    /// Where the caller stands in the source, for the log of slow transactions.
    pub(crate) caller: &'static Location<'static>,
    pub(crate) work: Box<dyn Work>,
}

/// A closure and the channel to its caller, with their types erased.
pub(crate) trait Work: Send {
    /// Runs the closure and keeps its outcome. True: it succeeded, and what it did may be committed.
    fn run(&mut self, tx: &mut Tx<'_>) -> bool;
    /// Replaces the outcome.
    fn fail(&mut self, error: Error);
    /// Sends the outcome to the caller.
    fn deliver(self: Box<Self>);
    /// Whether the caller has stopped waiting.
    fn is_abandoned(&self) -> bool;
}

struct Call<T, E, F> {
    closure: F,
    outcome: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

/// Wraps a closure. The caller gets its outcome from the channel.
pub(crate) fn call<T, E, F>(closure: F) -> (Box<dyn Work>, oneshot::Receiver<Result<T, E>>)
where
    T: Send + 'static,
    E: From<Error> + Send + 'static,
    F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
{
    let (reply, outcome) = oneshot::channel();
    (
        Box::new(Call {
            closure,
            outcome: None,
            reply,
        }),
        outcome,
    )
}

impl<T, E, F> Work for Call<T, E, F>
where
    T: Send + 'static,
    E: From<Error> + Send + 'static,
    F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
{
    fn run(&mut self, tx: &mut Tx<'_>) -> bool {
        tx.failure = None;
        // A closure that panicked is not run again, so it does not matter what state it is in.
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.closure)(tx)))
            .unwrap_or_else(|_| Err(Error::Panicked.into()));
        let outcome = match (outcome, &tx.failure) {
            (Ok(_), Some(failure)) => Err(failure.clone().into()),
            (outcome, _) => outcome,
        };
        let succeeded = outcome.is_ok();
        self.outcome = Some(outcome);
        succeeded
    }

    fn fail(&mut self, error: Error) {
        self.outcome = Some(Err(error.into()));
    }

    fn deliver(self: Box<Self>) {
        let outcome = self.outcome.unwrap_or_else(|| Err(Error::Closed.into()));
        // A caller that has gone away does not want to know.
        let _ = self.reply.send(outcome);
    }

    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }
}
