//! The directory's own interface, as Microsoft Graph 1.0 has it: the paths and filters that the Azure CLI uses.

mod filter;
mod route;

pub use filter::{Filter, FilterError};
pub use route::{Key, Relation, Route, Set, Verb};
