//! The OCI distribution plane, `/v2/`: distribution-spec 1.1, image-spec 1.1 and the Docker v2 forms they grew from.

mod digest;
mod endpoint;
mod error;
pub mod media_type;
mod name;
mod reference;
mod route;
mod tag;
mod upload_id;

pub use digest::{Algorithm, Digest, DigestError};
pub use endpoint::{Endpoint, Permission};
pub use error::{ErrorCode, error_body};
pub use media_type::{ManifestKind, essence};
pub use name::{NameError, RepositoryName};
pub use reference::{Reference, ReferenceError};
pub use route::{Route, RouteError};
pub use tag::{Tag, TagError};
pub use upload_id::{UploadId, UploadIdError};
