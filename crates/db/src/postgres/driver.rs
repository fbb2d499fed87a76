//! The driver with its connection, for a thread that blocks, and requests that are not waited for one by one.
//!
//! The server answers requests in their order, so several can be on their way at once: what a statement did is often asked
//! for only at the end. Their errors come with the next answer that is waited for.

use std::collections::VecDeque;
use std::future::{Future, poll_fn, ready};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::runtime::Runtime;
use tokio_postgres::error::Severity;
use tokio_postgres::{AsyncMessage, Client, Config, Error};

use super::tls::MakeTls;

type Answer = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;
type Messages =
    Box<dyn FnMut(&mut Context<'_>) -> Poll<Option<Result<AsyncMessage, Error>>> + Send>;

/// A connection. Not for use within a runtime: it has its own.
pub(super) struct Driver {
    runtime: Runtime,
    client: Arc<Client>,
    wire: Wire,
    /// Requests that were sent and not waited for.
    sent: VecDeque<Answer>,
}

/// What goes to the server and comes back.
struct Wire {
    /// `None` once it broke.
    messages: Option<Messages>,
    has_warned: bool,
}

impl Wire {
    /// Sends what there is to send, and hands out what came, until nothing is left to do.
    fn advance(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        while let Some(messages) = &mut self.messages {
            match messages(cx) {
                Poll::Ready(Some(Ok(AsyncMessage::Notice(notice)))) => {
                    if notice.parsed_severity() == Some(Severity::Warning) {
                        tracing::warn!(message = notice.message(), "PostgreSQL warns");
                        self.has_warned = true;
                    } else {
                        tracing::debug!(message = notice.message(), "PostgreSQL notice");
                    }
                }
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(end) => {
                    // Whoever still waits for an answer is told that there is none.
                    self.messages = None;
                    return end.map_or(Ok(()), |end| end.map(drop));
                }
                Poll::Pending => break,
            }
        }
        Ok(())
    }
}

impl Driver {
    pub(super) fn connect(config: &Config, tls: MakeTls) -> io::Result<Result<Self, Error>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(runtime
            .block_on(config.connect(tls))
            .map(|(client, mut connection)| Self {
                runtime,
                client: Arc::new(client),
                wire: Wire {
                    messages: Some(Box::new(move |cx| connection.poll_message(cx))),
                    has_warned: false,
                },
                sent: VecDeque::new(),
            }))
    }

    pub(super) fn client(&self) -> Arc<Client> {
        self.client.clone()
    }

    /// Several statements without parameters. Waits as [`run`](Self::run) does.
    pub(super) fn batch(&mut self, sql: &str) -> Result<(), Error> {
        let client = self.client();
        self.run(client.batch_execute(sql))
    }

    /// Whether the server has warned since this was last asked.
    pub(super) fn take_warning(&mut self) -> bool {
        std::mem::take(&mut self.wire.has_warned)
    }

    /// Sends a request, together with the next one that is waited for.
    pub(super) fn send(
        &mut self,
        request: impl Future<Output = Result<(), Error>> + Send + 'static,
    ) {
        let mut request: Answer = Box::pin(request);
        // It is handed over when it is first polled; nobody needs to be woken before somebody waits.
        match request
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(e)) => self.sent.push_back(Box::pin(ready(Err(e)))),
            Poll::Pending => self.sent.push_back(request),
        }
    }

    /// Sends a request at once, whose answer nobody wants, nor those of requests before it.
    pub(super) fn send_only(
        &mut self,
        request: impl Future<Output = Result<(), Error>> + Send + 'static,
    ) {
        self.send(request);
        self.sent.clear();
        let Self { runtime, wire, .. } = self;
        let sending = poll_fn(|cx| Poll::Ready(wire.advance(cx)));
        if let Err(error) = runtime.block_on(sending) {
            // The next request finds the connection closed.
            tracing::debug!(%error, "the connection to PostgreSQL broke");
        }
    }

    /// Sends a request and waits for its answer and those to all that were sent before. The error is the earliest.
    pub(super) fn run<T>(
        &mut self,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let mut request = pin!(request);
        let Self {
            runtime,
            wire,
            sent,
            ..
        } = self;
        let (mut outcome, mut failure) = (None, None);
        runtime.block_on(poll_fn(move |cx| {
            loop {
                if outcome.is_none()
                    && let Poll::Ready(done) = request.as_mut().poll(cx)
                {
                    outcome = Some(done);
                }
                while let Some(answer) = sent.front_mut() {
                    let Poll::Ready(answered) = answer.as_mut().poll(cx) else {
                        break;
                    };
                    sent.pop_front();
                    if let Err(error) = answered {
                        failure.get_or_insert(error);
                    }
                }
                if sent.is_empty()
                    && let Some(done) = outcome.take()
                {
                    return Poll::Ready(failure.take().map_or(done, Err));
                }
                let was_open = wire.messages.is_some();
                if let Err(error) = wire.advance(cx) {
                    failure.get_or_insert(error);
                }
                if was_open == wire.messages.is_some() {
                    return Poll::Pending;
                }
            }
        }))
    }
}
