//! Hostile clients against the real server over real sockets. Each test is a property; whatever a client sends, no answer
//! is ever a server error, nothing is read or written that the caller has no right to, and memory stays bounded.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::format_collect, reason = "hostile texts are made of pieces")]
#![allow(
    clippy::disallowed_methods,
    reason = "clients of a real process wait in real time"
)]

mod bodies;
mod confusion;
mod credentials;
mod data_plane;
mod digests;
mod floods;
mod guesses;
mod injection;
mod lengths;
mod matrix;
mod paths;
mod principals;
mod rights;
mod sessions;
mod slow;
mod smuggling;
mod support;
mod token_forms;
mod unlisted;
