//! Signing in as Microsoft Entra ID has it: OAuth 2.0 (RFC 6749, 8628, 7636, 7523), OpenID Connect discovery, and what the
//! Azure CLI and its libraries ask besides.

mod authorize;
mod error;
mod route;
mod scope;
mod token;

pub use authorize::{AuthorizeError, AuthorizeRequest, RedirectUri, ResponseMode};
pub use error::Failure;
pub use route::{Flavor, Route, RouteError, Tenant};
pub use scope::{Asked, Resource, WellKnown};
pub use token::{ClientProof, Grant, MAX_SECRET, TokenForm, device_form};
