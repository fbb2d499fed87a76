//! A look at a request's head as it came, before the HTTP library has tidied it up.
//!
//! hyper resolves ambiguous framing safely for itself: with both `Transfer-Encoding` and `Content-Length` it drops the
//! latter and closes the connection afterwards, and it merges equal `Content-Length` fields (RFC 9112, section 6.3).
//! A proxy in front may have resolved it the other way, so such requests are refused outright; but what hyper dropped
//! can only be seen here. Requests with a method that has no body are not looked at: for those `Transfer-Encoding` is
//! refused in any case. A pipelined request whose head came with the one before is not seen either; hyper's own
//! resolution and the close stand for it.

/// What is known of the framing fields of the head being read.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    state: State,
    /// The beginning of the current line.
    line: [u8; LONGEST],
    length: usize,
    content_lengths: u8,
    transfer_encodings: u8,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The next byte begins a request.
    #[default]
    Start,
    /// In the head.
    Head,
    /// The head is over, or needs no look.
    Done,
}

const TRANSFER_ENCODING: &[u8] = b"transfer-encoding:";
const CONTENT_LENGTH: &[u8] = b"content-length:";
const LONGEST: usize = TRANSFER_ENCODING.len();

impl Framing {
    /// The next bytes read are those of a new request.
    pub(crate) fn expect_request(&mut self) {
        *self = Self::default();
    }

    /// Looks at bytes as they are read.
    pub(crate) fn observe(&mut self, bytes: &[u8]) {
        match self.state {
            State::Done => {}
            State::Start => {
                // Empty lines before a request are passed over, as hyper does (RFC 9112, section 2.2).
                let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
                match bytes.iter().position(|byte| !is_end(byte)) {
                    None => {}
                    Some(start) if matches!(bytes[start], b'G' | b'H' | b'O') => {
                        self.state = State::Done;
                    }
                    Some(start) => {
                        self.state = State::Head;
                        self.scan(&bytes[start..]);
                    }
                }
            }
            State::Head => self.scan(bytes),
        }
    }

    /// Whether the head told the length of its body more than once.
    pub(crate) fn is_ambiguous(&self) -> bool {
        self.content_lengths.saturating_add(self.transfer_encodings) > 1
    }

    fn scan(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte != b'\n' {
                if self.length < LONGEST {
                    self.line[self.length] = byte;
                }
                self.length = self.length.saturating_add(1);
                continue;
            }
            let line = &self.line[..self.length.min(LONGEST)];
            if line.is_empty() || line == b"\r" {
                self.state = State::Done;
                return;
            }
            if begins_with(line, CONTENT_LENGTH) {
                self.content_lengths = self.content_lengths.saturating_add(1);
            } else if begins_with(line, TRANSFER_ENCODING) {
                self.transfer_encodings = self.transfer_encodings.saturating_add(1);
            }
            self.length = 0;
        }
    }
}

fn begins_with(line: &[u8], name: &[u8]) -> bool {
    line.get(..name.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ambiguous(parts: &[&str]) -> bool {
        let mut framing = Framing::default();
        for part in parts {
            framing.observe(part.as_bytes());
        }
        framing.is_ambiguous()
    }

    #[test]
    fn both_framings_are_ambiguous_in_any_order_and_case() {
        assert!(ambiguous(&[
            "PUT /v2/ HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
        ]));
        assert!(ambiguous(&[
            "PUT /v2/ HTTP/1.1\r\ntransfer-encoding: chunked\r\nHost: a\r\nCONTENT-LENGTH: 4\r\n\r\n"
        ]));
        assert!(ambiguous(&[
            "POST / HTTP/1.1\nContent-Length: 4\nContent-Length: 4\n\n"
        ]));
    }

    #[test]
    fn parts_of_lines_are_put_together() {
        let head = "PATCH / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n";
        for cut in 0..head.len() {
            assert!(ambiguous(&[&head[..cut], &head[cut..]]), "cut at {cut}");
        }
        assert!(ambiguous(
            &head.split_inclusive(|_| true).collect::<Vec<_>>()
        ));
    }

    #[test]
    fn one_framing_is_fine_and_bodies_are_not_looked_at() {
        assert!(!ambiguous(&["PUT / HTTP/1.1\r\nContent-Length: 4\r\n\r\n"]));
        assert!(!ambiguous(&[
            "PUT / HTTP/1.1\r\nContent-Length: 80\r\n\r\n",
            "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
        ]));
        assert!(!ambiguous(&[
            "PUT / HTTP/1.1\r\nX-Content-Length: 4\r\nX: Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n"
        ]));
    }

    #[test]
    fn each_request_is_judged_alone() {
        let mut framing = Framing::default();
        framing.observe(b"PUT / HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\n");
        assert!(framing.is_ambiguous());
        framing.expect_request();
        framing.observe(b"PUT / HTTP/1.1\r\nContent-Length: 4\r\n\r\n");
        assert!(!framing.is_ambiguous());
        framing.expect_request();
        framing.observe(b"GET / HTTP/1.1\r\n\r\n");
        assert!(!framing.is_ambiguous());
    }
}
