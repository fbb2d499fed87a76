//! The OCI distribution plane, `/v2/`: distribution-spec 1.1, image-spec 1.1 and the Docker v2 forms they grew from.

mod config;
mod digest;
mod endpoint;
pub(crate) mod error;
mod manifest;
pub mod media_type;
mod name;
mod paging;
mod range;
mod reference;
mod referrers;
mod route;
mod tag;
mod upload_id;

pub use config::ImagePlatform;
pub use digest::{Algorithm, Digest, DigestError};
pub use endpoint::{Endpoint, Permission};
pub use error::{ErrorCode, error_body};
pub use manifest::{
    Descriptor, ManifestError, ManifestLimits, ManifestWarning, ParsedManifest, Place, Platform,
};
pub use media_type::{ManifestKind, essence};
pub use name::{NameError, RepositoryName};
pub use paging::{OrderBy, PageError, PageQuery, next_link, next_page_link};
pub use range::{ContentRangeError, MAX_SIZE, RangeOutcome, parse_content_range, parse_range};
pub use reference::{Reference, ReferenceError};
pub use referrers::{
    ARTIFACT_TYPE_FILTER, Referrer, artifact_type_filter, fallback_tag, referrers_index,
};
pub use route::{Route, RouteError};
pub(crate) use route::{decode as unescaped, is_hostile as hostile};
pub use tag::{Tag, TagError};
pub use upload_id::{UploadId, UploadIdError};
