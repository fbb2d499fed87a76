//! The token plane, `/oauth2/*`, and what tokens carry: the Docker token protocol as Azure Container Registry speaks it.

mod action;

pub use action::{Action, Actions};
