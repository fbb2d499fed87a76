//! Pure types and parsers of everything that crosses the network: names, digests, routes, manifests, tokens.
//!
//! Nothing here does I/O, knows a clock, a database or a status code. Every parser takes foreign bytes, is bounded, and returns
//! a value that cannot be built wrongly, or a closed error; raw strings do not travel further inward.

#[macro_use]
mod text;

mod guid;
mod percent;

pub mod acr;
pub mod arm;
#[path = "scope.rs"]
pub mod arm_scope;
pub mod entra;
pub mod graph;
pub mod oci;
pub mod query;
pub mod rbac;
pub mod token;

pub use guid::{Guid, NotGuid};
