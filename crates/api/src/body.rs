//! Bodies: the one type of every response, and the guarded reading of requests.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

use crate::connections::{Connection, Phase, order};
use crate::exchange::Exchange;
use crate::file_body::FileBody;
use crate::limits::Limits;
use crate::stream_body::StreamBody;

/// A response body. Its length is always known.
#[derive(Debug, Default)]
pub(crate) struct Body {
    content: Content,
    exchange: Option<Box<Exchange>>,
    connection: Option<Arc<Connection>>,
}

#[derive(Debug, Default)]
enum Content {
    #[default]
    Empty,
    Full(Bytes),
    File(Box<FileBody>),
    Stream(Box<StreamBody>),
}

impl Body {
    /// No bytes.
    pub(crate) fn empty() -> Self {
        Self::default()
    }

    /// Bytes held in memory.
    pub(crate) fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let content = if bytes.is_empty() {
            Content::Empty
        } else {
            Content::Full(bytes)
        };
        Self::of(content)
    }

    /// Bytes of a file.
    pub(crate) fn file(file: FileBody) -> Self {
        Self::of(Content::File(Box::new(file)))
    }

    /// Bytes from elsewhere.
    pub(crate) fn stream(stream: StreamBody) -> Self {
        Self::of(Content::Stream(Box::new(stream)))
    }

    fn of(content: Content) -> Self {
        Self {
            content,
            exchange: None,
            connection: None,
        }
    }

    /// Bytes still to come.
    pub(crate) fn remaining(&self) -> u64 {
        match &self.content {
            Content::Empty => 0,
            Content::Full(bytes) => bytes.len() as u64,
            Content::File(file) => file.remaining(),
            Content::Stream(stream) => stream.remaining(),
        }
    }

    /// Ties the accounting to the body: the exchange is over when the body is. Bodies in memory are accounted for at
    /// once, unless there will be a log line.
    pub(crate) fn conclude(&mut self, mut exchange: Exchange, status: u16) {
        exchange.answered(status);
        if let Content::File(file) = &mut self.content {
            file.send_through(exchange.connection().send_queue());
        }
        self.connection = Some(exchange.connection().clone());
        match &self.content {
            Content::Full(bytes) if !exchange.has_note() => {
                exchange.sent(bytes.len());
                exchange.complete();
            }
            Content::Empty => exchange.complete(),
            Content::Full(_) | Content::File(_) | Content::Stream(_) => {
                self.exchange = Some(Box::new(exchange));
            }
        }
    }

    fn note_sent(&mut self, count: usize) {
        let is_over = self.remaining() == 0;
        if let Some(exchange) = &mut self.exchange {
            exchange.sent(count);
            if is_over {
                exchange.complete();
            }
        }
    }
}

impl From<FileBody> for Body {
    fn from(file: FileBody) -> Self {
        Self::file(file)
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let bytes = match &mut self.content {
            Content::Empty => return Poll::Ready(None),
            Content::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.content = Content::Empty;
                bytes
            }
            Content::File(file) => match sent(ready!(file.poll_chunk(cx))) {
                Some(Ok(bytes)) => bytes,
                end => return Poll::Ready(end.map(|error| error.map(Frame::data))),
            },
            Content::Stream(stream) => match sent(ready!(stream.poll_chunk(cx))) {
                Some(Ok(bytes)) => bytes,
                end => return Poll::Ready(end.map(|error| error.map(Frame::data))),
            },
        };
        self.note_sent(bytes.len());
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining())
    }
}

/// Tells of an error. The status is out: all that is left is to break off, which the client can tell from the length.
fn sent(piece: Option<io::Result<Bytes>>) -> Option<io::Result<Bytes>> {
    if let Some(Err(error)) = &piece {
        tracing::error!(%error, "reading a blob failed in the middle of a response");
    }
    piece
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Some(connection) = &self.connection {
            connection.enter(Phase::Idle);
        }
    }
}

/// Why a request body cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// There is more than allowed.
    #[error("the request body is larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The client stopped sending, or sends too slowly.
    #[error("the request body stalled")]
    Stalled,
    /// The connection broke, or the chunked encoding is wrong.
    #[error("the request body ended early")]
    Incomplete(#[source] hyper::Error),
}

/// How long a body of this length may take that is kept in memory meanwhile: a slow sender holds what others need.
fn collect_patience(length: u64) -> Duration {
    const BYTES_PER_SECOND: u64 = 64 << 10;
    Duration::from_secs(10 + length / BYTES_PER_SECOND)
}

/// A request body: bounded in length and in the time it may take.
#[derive(Debug)]
pub(crate) struct RequestBody {
    inner: Incoming,
    connection: Arc<Connection>,
    announced: Option<u64>,
    received: u64,
    limit: u64,
    is_over: bool,
    has_stalled: bool,
    /// Milliseconds spent waiting for the client, and bytes that came, since the last look at its speed.
    waited: u64,
    came: u64,
    period: u64,
    minimum: u64,
}

impl RequestBody {
    pub(crate) fn new(inner: Incoming, connection: &Arc<Connection>, limits: &Limits) -> Self {
        let announced = inner.size_hint().exact();
        Self {
            is_over: inner.is_end_stream(),
            inner,
            connection: connection.clone(),
            announced,
            received: 0,
            limit: u64::MAX,
            has_stalled: false,
            waited: 0,
            came: 0,
            period: limits.body_stall.as_millis() as u64,
            minimum: limits.body_minimum,
        }
    }

    /// The length the client announced, in bytes; `None` for a chunked body.
    pub(crate) fn announced(&self) -> Option<u64> {
        self.announced
    }

    /// Whether nothing is left to read.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether a read failed because the client was too slow.
    pub(crate) fn has_stalled(&self) -> bool {
        self.has_stalled
    }

    /// Sets the most bytes that may come; fails at once if the client announced more.
    pub(crate) fn set_limit(&mut self, limit: u64) -> Result<(), BodyError> {
        self.limit = limit;
        match self.announced {
            Some(announced) if announced > limit => Err(BodyError::TooLarge { limit }),
            _ => Ok(()),
        }
    }

    /// The next bytes, never empty; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The next bytes, never empty; `None` at the end.
    pub(crate) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            if self.is_over {
                return Poll::Ready(None);
            }
            let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) else {
                self.connection.await_body();
                if self.connection.orders() & order::BODY_STALLED != 0 {
                    self.has_stalled = true;
                    return Poll::Ready(Some(Err(BodyError::Stalled)));
                }
                return Poll::Pending;
            };
            self.waited += self.connection.body_arrived();
            match frame {
                None => self.is_over = true,
                Some(Err(error)) => return Poll::Ready(Some(Err(BodyError::Incomplete(error)))),
                Some(Ok(frame)) => {
                    // Trailers mean nothing here.
                    if let Ok(bytes) = frame.into_data()
                        && !bytes.is_empty()
                    {
                        return Poll::Ready(Some(self.take(bytes)));
                    }
                }
            }
        }
    }

    fn take(&mut self, bytes: Bytes) -> Result<Bytes, BodyError> {
        self.received += bytes.len() as u64;
        self.came += bytes.len() as u64;
        self.connection.add_request_bytes(bytes.len());
        self.is_over = self.inner.is_end_stream();
        if self.received > self.limit {
            return Err(BodyError::TooLarge { limit: self.limit });
        }
        if self.waited > self.period {
            if self.came < self.minimum && !self.is_over {
                self.has_stalled = true;
                return Err(BodyError::Stalled);
            }
            (self.waited, self.came) = (0, 0);
        }
        Ok(bytes)
    }

    /// The whole body, if it is at most `limit` bytes.
    pub(crate) async fn collect(&mut self, limit: u64) -> Result<Bytes, BodyError> {
        self.set_limit(limit)?;
        // Copied even when it came in one piece: that would keep the whole receive buffer alive. Room is made for
        // what was announced only as far as a small body goes, because an announcement costs the client nothing.
        let expected = self.announced.unwrap_or(0).min(64 << 10);
        let patience = collect_patience(self.announced.unwrap_or(limit));
        let all = async {
            let mut all = Vec::with_capacity(expected as usize);
            while let Some(bytes) = self.next().await {
                all.extend_from_slice(&bytes?);
            }
            all.shrink_to_fit();
            Ok(all.into())
        };
        let outcome = tokio::time::timeout(patience, all).await;
        outcome.unwrap_or_else(|_| {
            self.has_stalled = true;
            Err(BodyError::Stalled)
        })
    }

    /// Reads and drops a short rest, so that the connection can be used again. False if there is more than that.
    pub(crate) async fn discard_short(&mut self) -> bool {
        const SHORT: u64 = 64 << 10;
        const PATIENCE: std::time::Duration = std::time::Duration::from_millis(500);
        if self.is_over {
            return true;
        }
        let rest = self.announced.map(|all| all.saturating_sub(self.received));
        if rest.is_none_or(|rest| rest > SHORT) {
            return false;
        }
        let discard = async { while let Some(Ok(_)) = self.next().await {} };
        let _ = tokio::time::timeout(PATIENCE, discard).await;
        self.is_over
    }
}
