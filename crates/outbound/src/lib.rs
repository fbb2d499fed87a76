//! The one client for requests that this program makes itself: to registries it imports from, and whatever else an
//! operator or a user names by URL.
//!
//! A URL from outside must not become a way into the operator's network. So [`Client`] looks a name up once and connects
//! to an address it has checked, refuses private and link-local addresses unless [`Reach`] allows them, follows redirects
//! itself and checks each of them, sends credentials to the origin they are for and nowhere else, and bounds size and
//! time of every answer. [`distribution`] speaks the OCI distribution protocol through it.

mod body;
mod client;
mod error;
mod reach;

pub mod distribution;

pub use body::{Body, ChannelBody};
pub use client::{Client, Limits, Options, Request, Response};
pub use error::Error;
pub use reach::{Reach, Refusal};
pub use reqwest::Url;
