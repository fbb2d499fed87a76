//! The HTTP server: listeners, TLS, bounds, accounting, and one folder for each plane of the interface.
//!
//! A handler is five steps: parse (already typed), authenticate, authorize, call one function, render. Rules live in the
//! registry crate and identities in the identity crate; no other crate knows status codes.

mod access_log;
mod acr;
mod admission;
mod api;
mod arm;
mod body;
mod clouds;
mod coarse_clock;
mod connections;
mod endpoints;
mod entra;
mod errors;
mod exchange;
mod exposition;
mod file_body;
mod framing;
mod graph;
mod headers;
mod health;
mod host;
mod hygiene;
mod limits;
mod metrics;
mod oci;
mod pool;
mod quotas;
mod rate;
mod redirects;
mod request_id;
mod resolver;
mod sendfile;
mod server;
mod service;
mod stream;
mod stream_body;
#[cfg(feature = "testing")]
pub mod testing;
mod tls;
mod token;
mod token_plane;

pub use api::{Api, ApiOptions, Collector, MetricsAccess, serve};
pub use endpoints::{Endpoints, Naming, free_address};
pub use exposition::Exposition;
pub use headers::Cors;
pub use health::{Check, Condition, Health};
pub use limits::{Limits, Rate};
pub use quotas::{Quota, Quotas};
pub use redirects::{RedirectedCallers, Redirects};
pub use resolver::{HostedRegistry, Network, PublicUrl, ResolverOptions, Scheme};
pub use server::{Ended, Listeners, listen};
pub use tls::{Tls, TlsError};
