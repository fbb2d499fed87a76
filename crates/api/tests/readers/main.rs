//! What is read of a request before it is understood: whom it is for, who asks, and where its head ends.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod authority;
mod forwarded;
mod framing;
