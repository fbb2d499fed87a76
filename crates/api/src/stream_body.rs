//! A response body from an object store: pieces as they come, each passed on before the next is asked for.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt as _};

/// Bytes of a known number, on their way from elsewhere.
pub(crate) struct StreamBody {
    pieces: BoxStream<'static, Result<Bytes, lazuli_blobs::Error>>,
    remaining: u64,
}

impl std::fmt::Debug for StreamBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StreamBody({} bytes)", self.remaining)
    }
}

impl StreamBody {
    /// So many bytes; fewer or more are an error then.
    pub(crate) fn new(
        pieces: BoxStream<'static, Result<Bytes, lazuli_blobs::Error>>,
        length: u64,
    ) -> Self {
        Self {
            pieces,
            remaining: length,
        }
    }

    /// Bytes still to come.
    pub(crate) fn remaining(&self) -> u64 {
        self.remaining
    }

    /// The next bytes, `None` at the end. After an error the body is spent.
    pub(crate) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.remaining == 0 {
            return Poll::Ready(None);
        }
        let piece = match ready!(self.pieces.poll_next_unpin(cx)) {
            Some(Ok(piece)) => piece,
            Some(Err(error)) => return Poll::Ready(Some(Err(io::Error::other(error)))),
            None => return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into()))),
        };
        let Some(remaining) = self.remaining.checked_sub(piece.len() as u64) else {
            let error = io::Error::other("the object store sent more than was asked for");
            return Poll::Ready(Some(Err(error)));
        };
        self.remaining = remaining;
        Poll::Ready(Some(Ok(piece)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::future::poll_fn;

    use futures_util::stream;

    use super::*;

    async fn collect(
        pieces: Vec<Result<Bytes, lazuli_blobs::Error>>,
        length: u64,
    ) -> io::Result<Vec<u8>> {
        let mut body = StreamBody::new(stream::iter(pieces).boxed(), length);
        let mut all = Vec::new();
        while let Some(piece) = poll_fn(|cx| body.poll_chunk(cx)).await {
            all.extend_from_slice(&piece?);
        }
        assert_eq!(body.remaining(), 0);
        Ok(all)
    }

    #[tokio::test]
    async fn exactly_the_announced_bytes_are_a_body() {
        let piece = |text: &'static str| Ok(Bytes::from_static(text.as_bytes()));
        assert_eq!(
            collect(vec![piece("ab"), piece("c")], 3).await.unwrap(),
            b"abc"
        );
        assert_eq!(collect(vec![], 0).await.unwrap(), b"");
        assert!(collect(vec![piece("ab")], 3).await.is_err());
        assert!(collect(vec![piece("abcd")], 3).await.is_err());
        let broken = vec![piece("ab"), Err(lazuli_blobs::Error::NotFound)];
        assert!(collect(broken, 3).await.is_err());
    }
}
