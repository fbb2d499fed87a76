//! The data plane of Azure Container Registry, `/acr/v1/`: what it is asked and what it answers (api-version 2021-07-01).

mod answers;
mod attributes;
mod endpoint;
mod route;
mod time;

pub use answers::{
    Catalog, Changeable, Deleted, Manifest, ManifestAnswer, Manifests, Reference, Repository,
    Streaming, Tag, TagAnswer, Tags,
};
pub use attributes::{AttributesChange, AttributesError, Flag, Flags};
pub use endpoint::Endpoint;
pub use route::{Route, Word};
pub use time::Time;
