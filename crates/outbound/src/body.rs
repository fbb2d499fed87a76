//! Bodies of requests.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::mpsc;

/// The body of a request.
#[derive(Debug, Default)]
pub enum Body {
    /// None.
    #[default]
    Empty,
    /// From memory; it can be sent again.
    Bytes(Bytes),
    /// As it comes, once.
    Channel(ChannelBody),
}

/// A body of a known size whose bytes come through a channel. If the channel ends early the request fails.
#[derive(Debug)]
pub struct ChannelBody {
    bytes: mpsc::Receiver<Bytes>,
    left: u64,
}

impl ChannelBody {
    /// A body of so many bytes, with so many pieces waiting at most.
    pub fn new(size: u64, pieces: usize) -> (mpsc::Sender<Bytes>, Self) {
        let (sender, bytes) = mpsc::channel(pieces);
        (sender, Self { bytes, left: size })
    }

    /// Bytes still to be sent.
    pub fn left(&self) -> u64 {
        self.left
    }
}

impl http_body::Body for ChannelBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.bytes.poll_recv(context).map(|piece| {
            let Some(piece) = piece else {
                return Some(Err(io::ErrorKind::UnexpectedEof.into()));
            };
            let Some(left) = self.left.checked_sub(piece.len() as u64) else {
                return Some(Err(io::ErrorKind::InvalidData.into()));
            };
            self.left = left;
            Some(Ok(Frame::data(piece)))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
