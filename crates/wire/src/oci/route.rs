//! Routes of the `/v2/` plane (distribution-spec, "Endpoints").
//!
//! A repository name has any number of components, and any of them may be called `blobs`, `manifests` or `uploads`. A route is
//! therefore found from the right, where its words and their number are fixed. Only separators written as `/` make structure:
//! an encoded one, which Azure's clients send inside names, is part of the name.

use std::borrow::Cow;

use http::Method;

use super::endpoint::{Endpoint, Permission};
use super::{Digest, DigestError, Reference, ReferenceError, RepositoryName, UploadId};
use crate::percent;
use crate::token::{Listing, Scope};

/// A parsed path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `/v2/`
    Base,
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/_oci/ext/discover`, or of one repository.
    ExtensionDiscovery {
        /// The repository, when it is asked about one.
        name: Option<RepositoryName>,
    },
    /// `/v2/<name>/tags/list`
    Tags {
        /// The repository.
        name: RepositoryName,
    },
    /// `/v2/<name>/manifests/<reference>`
    Manifest {
        /// The repository.
        name: RepositoryName,
        /// The tag or digest.
        reference: Reference,
    },
    /// `/v2/<name>/blobs/<digest>`
    Blob {
        /// The repository.
        name: RepositoryName,
        /// The blob.
        digest: Digest,
    },
    /// `/v2/<name>/blobs/uploads/`
    Uploads {
        /// The repository.
        name: RepositoryName,
    },
    /// `/v2/<name>/blobs/uploads/<id>`
    Upload {
        /// The repository.
        name: RepositoryName,
        /// The upload session.
        id: UploadId,
    },
    /// `/v2/<name>/referrers/<digest>`
    Referrers {
        /// The repository.
        name: RepositoryName,
        /// The subject.
        digest: Digest,
    },
}

/// Why a path is no route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// No endpoint has this form.
    #[error("no such endpoint")]
    NotFound,
    /// The repository name does not follow the grammar.
    #[error("invalid repository name")]
    NameInvalid,
    /// The digest is malformed, or of an algorithm this registry does not compute.
    #[error("{}", if *unsupported { "unsupported digest algorithm" } else { "malformed digest" })]
    DigestInvalid {
        /// Whether it is well-formed.
        unsupported: bool,
    },
    /// The reference is neither a tag nor a digest. A reader is best told that there is no such manifest.
    #[error("invalid tag")]
    TagInvalid,
    /// The upload identifier is none this registry gives out.
    #[error("no such upload")]
    UploadUnknown,
    /// The endpoint has no such method.
    #[error("method not allowed; allowed are {allow}")]
    MethodNotAllowed {
        /// The value of the `Allow` header.
        allow: &'static str,
    },
    /// The path has dot segments, empty segments, control characters, backslashes, or escapes that hide such.
    #[error("refused path")]
    HostilePath,
}

impl From<DigestError> for RouteError {
    fn from(error: DigestError) -> Self {
        Self::DigestInvalid {
            unsupported: matches!(error, DigestError::Unsupported { .. }),
        }
    }
}

impl From<ReferenceError> for RouteError {
    fn from(error: ReferenceError) -> Self {
        match error {
            ReferenceError::Tag(_) => Self::TagInvalid,
            ReferenceError::Digest(error) => error.into(),
        }
    }
}

impl Route {
    /// Reads the path of a request, without its query.
    pub fn parse(method: &Method, path: &str) -> Result<Self, RouteError> {
        // No grammar below accepts a hostile path, so looking for one can wait until something was refused.
        Self::parse_plain(method, path).map_err(|error| {
            if is_hostile(path) {
                RouteError::HostilePath
            } else {
                error
            }
        })
    }

    fn parse_plain(method: &Method, path: &str) -> Result<Self, RouteError> {
        let Shape {
            endpoint,
            name,
            last,
        } = Shape::of(path).ok_or(RouteError::NotFound)?;
        if endpoint.permission(method).is_none() {
            return Err(RouteError::MethodNotAllowed {
                allow: endpoint.allowed_methods(),
            });
        }
        let repository = || {
            let name = decode(name).ok_or(RouteError::NameInvalid)?;
            RepositoryName::parse(&name).map_err(|_| RouteError::NameInvalid)
        };
        let digest = || match decode(last) {
            Some(last) => Ok(Digest::parse(&last)?),
            None => Err(RouteError::DigestInvalid { unsupported: false }),
        };
        Ok(match endpoint {
            Endpoint::Base => Self::Base,
            Endpoint::Catalog => Self::Catalog,
            Endpoint::ExtensionDiscovery => Self::ExtensionDiscovery { name: None },
            Endpoint::RepositoryExtensionDiscovery => Self::ExtensionDiscovery {
                name: Some(repository()?),
            },
            Endpoint::Tags => Self::Tags {
                name: repository()?,
            },
            Endpoint::Manifest => {
                let name = repository()?;
                let reference = decode(last).ok_or(RouteError::TagInvalid)?;
                Self::Manifest {
                    name,
                    reference: Reference::parse(&reference)?,
                }
            }
            Endpoint::Blob => Self::Blob {
                name: repository()?,
                digest: digest()?,
            },
            Endpoint::Uploads => Self::Uploads {
                name: repository()?,
            },
            Endpoint::Upload => {
                let name = repository()?;
                Self::Upload {
                    name,
                    id: UploadId::parse(last).map_err(|_| RouteError::UploadUnknown)?,
                }
            }
            Endpoint::Referrers => Self::Referrers {
                name: repository()?,
                digest: digest()?,
            },
        })
    }

    /// The endpoint.
    pub const fn endpoint(&self) -> Endpoint {
        match self {
            Self::Base => Endpoint::Base,
            Self::Catalog => Endpoint::Catalog,
            Self::ExtensionDiscovery { name: None } => Endpoint::ExtensionDiscovery,
            Self::ExtensionDiscovery { name: Some(_) } => Endpoint::RepositoryExtensionDiscovery,
            Self::Tags { .. } => Endpoint::Tags,
            Self::Manifest { .. } => Endpoint::Manifest,
            Self::Blob { .. } => Endpoint::Blob,
            Self::Uploads { .. } => Endpoint::Uploads,
            Self::Upload { .. } => Endpoint::Upload,
            Self::Referrers { .. } => Endpoint::Referrers,
        }
    }

    /// The repository it concerns.
    pub const fn name(&self) -> Option<&RepositoryName> {
        match self {
            Self::Base | Self::Catalog => None,
            Self::ExtensionDiscovery { name } => name.as_ref(),
            Self::Tags { name }
            | Self::Manifest { name, .. }
            | Self::Blob { name, .. }
            | Self::Uploads { name }
            | Self::Upload { name, .. }
            | Self::Referrers { name, .. } => Some(name),
        }
    }

    /// The methods the endpoint has, as an `Allow` header lists them.
    pub const fn allowed_methods(&self) -> &'static str {
        self.endpoint().allowed_methods()
    }

    /// What a caller needs for a method; `None` when the endpoint has no such method.
    pub fn permission(&self, method: &Method) -> Option<Permission> {
        self.endpoint().permission(method)
    }

    /// What a token needs for a method, as a challenge asks for it; `None` where knowing the caller is enough.
    pub fn scope(&self, method: &Method) -> Option<Scope> {
        let permission = self.permission(method)?;
        if permission == Permission::Catalog {
            return Some(Scope::Registry {
                name: Listing::Catalog,
                all: true,
            });
        }
        let actions = permission.challenge();
        let name = self.name().filter(|_| !actions.is_empty())?.clone();
        Some(Scope::Repository { name, actions })
    }

    /// The endpoint's label in metrics and logs.
    pub const fn label(&self) -> &'static str {
        self.endpoint().label()
    }
}

impl std::fmt::Display for Route {
    /// The path, as it is written in `Location` and `Link` headers.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Base => f.write_str("/v2/"),
            Self::Catalog => f.write_str("/v2/_catalog"),
            Self::ExtensionDiscovery { name: None } => f.write_str("/v2/_oci/ext/discover"),
            Self::ExtensionDiscovery { name: Some(name) } => {
                write!(f, "/v2/{name}/_oci/ext/discover")
            }
            Self::Tags { name } => write!(f, "/v2/{name}/tags/list"),
            Self::Manifest { name, reference } => write!(f, "/v2/{name}/manifests/{reference}"),
            Self::Blob { name, digest } => write!(f, "/v2/{name}/blobs/{digest}"),
            Self::Uploads { name } => write!(f, "/v2/{name}/blobs/uploads/"),
            Self::Upload { name, id } => write!(f, "/v2/{name}/blobs/uploads/{id}"),
            Self::Referrers { name, digest } => write!(f, "/v2/{name}/referrers/{digest}"),
        }
    }
}

/// A path taken apart, its parts not yet looked at.
struct Shape<'a> {
    endpoint: Endpoint,
    name: &'a str,
    last: &'a str,
}

impl<'a> Shape<'a> {
    fn of(path: &'a str) -> Option<Self> {
        let rest = path.strip_prefix("/v2")?;
        if rest.is_empty() || rest == "/" {
            return Some(Self {
                endpoint: Endpoint::Base,
                name: "",
                last: "",
            });
        }
        let rest = rest.strip_prefix('/')?;
        match rest {
            "_catalog" => {
                return Some(Self {
                    endpoint: Endpoint::Catalog,
                    name: "",
                    last: "",
                });
            }
            "_oci/ext/discover" => {
                return Some(Self {
                    endpoint: Endpoint::ExtensionDiscovery,
                    name: "",
                    last: "",
                });
            }
            _ => {}
        }
        let (head, last) = rest.rsplit_once('/')?;
        let (name, word) = head.rsplit_once('/')?;
        let shape = |endpoint, name| {
            Some(Self {
                endpoint,
                name,
                last,
            })
        };
        match (word, last) {
            ("manifests", _) => shape(Endpoint::Manifest, name),
            ("blobs", "uploads") => shape(Endpoint::Uploads, name),
            ("blobs", _) => shape(Endpoint::Blob, name),
            ("uploads", "") => shape(Endpoint::Uploads, name.strip_suffix("/blobs")?),
            ("uploads", _) => shape(Endpoint::Upload, name.strip_suffix("/blobs")?),
            ("tags", "list") => shape(Endpoint::Tags, name),
            ("referrers", _) => shape(Endpoint::Referrers, name),
            ("ext", "discover") => shape(
                Endpoint::RepositoryExtensionDiscovery,
                name.strip_suffix("/_oci")?,
            ),
            _ => None,
        }
    }
}

/// Undoes percent-encoding, once. `None` for what is no ASCII text; the grammars refuse the rest.
pub(crate) fn decode(part: &str) -> Option<Cow<'_, str>> {
    let bytes = part.as_bytes();
    if !bytes.contains(&b'%') {
        return Some(Cow::Borrowed(part));
    }
    let mut decoded = String::with_capacity(part.len());
    let mut position = 0;
    while let Some(byte) = bytes.get(position) {
        let (byte, length) = if *byte == b'%' {
            (percent::escape(&bytes[position..])?, 3)
        } else {
            (*byte, 1)
        };
        if !byte.is_ascii() {
            return None;
        }
        decoded.push(char::from(byte));
        position += length;
    }
    Some(Cow::Owned(decoded))
}

/// Whether a path that was refused has what nobody sends by accident.
#[cold]
pub(crate) fn is_hostile(path: &str) -> bool {
    let Some(decoded) = decode(path) else {
        return true;
    };
    let suspicious = |byte: u8| byte.is_ascii_control() || !byte.is_ascii() || byte == b'\\';
    // An escape that decodes to `%` would be an escape again for whoever decodes twice.
    let twice_encoded = matches!(decoded, Cow::Owned(_)) && decoded.contains('%');
    // The last segment may be empty: a trailing slash.
    let mut segments = decoded
        .strip_prefix('/')
        .unwrap_or(&decoded)
        .split('/')
        .rev();
    let last_is_dots = segments
        .next()
        .is_some_and(|last| matches!(last, "." | ".."));
    twice_encoded
        || decoded.bytes().any(suspicious)
        || last_is_dots
        || segments.any(|part| matches!(part, "" | "." | ".."))
}
