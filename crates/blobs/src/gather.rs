//! Bytes gathered for one hop to another thread, or one request to another machine.

use bytes::{Bytes, BytesMut};

#[derive(Default)]
pub(crate) struct Gathering {
    pieces: Vec<Bytes>,
    /// The small pieces since the last large one, put together.
    small: BytesMut,
    length: usize,
}

impl Gathering {
    /// Pieces below this are copied together: many of them would make hashing and writing slow, and each can hold a
    /// receive buffer many times its size.
    const SMALL: usize = 4 << 10;

    /// How much there is, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    pub(crate) fn push(&mut self, piece: Bytes) {
        self.length += piece.len();
        if piece.len() < Self::SMALL {
            self.small.extend_from_slice(&piece);
        } else {
            self.seal();
            self.pieces.push(piece);
        }
    }

    fn seal(&mut self) {
        if !self.small.is_empty() {
            self.pieces.push(self.small.split().freeze());
        }
    }

    /// All of it, in pieces; nothing is left.
    pub(crate) fn take(&mut self) -> Vec<Bytes> {
        self.seal();
        self.length = 0;
        std::mem::take(&mut self.pieces)
    }
}
