//! Routes of the `/acr/v1/` plane.
//!
//! A component of a repository's name never begins with an underscore, and the words of this plane do: the first segment that
//! does ends the name. Azure's clients send the name as one segment with its slashes encoded, others as it is.

use std::fmt;

use http::Method;

use super::endpoint::Endpoint;
use crate::oci::{Digest, Permission, RepositoryName, RouteError, Tag, hostile, unescaped};
use crate::token::{Listing, Scope};

/// A parsed path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `/acr/v1/_catalog`
    Catalog,
    /// `/acr/v1/<name>`
    Repository {
        /// The repository.
        name: RepositoryName,
    },
    /// `/acr/v1/<name>/_tags`
    Tags {
        /// The repository.
        name: RepositoryName,
    },
    /// `/acr/v1/<name>/_tags/<tag>`
    Tag {
        /// The repository.
        name: RepositoryName,
        /// The tag.
        tag: Tag,
    },
    /// `/acr/v1/<name>/_manifests`
    Manifests {
        /// The repository.
        name: RepositoryName,
    },
    /// `/acr/v1/<name>/_manifests/<digest>`
    Manifest {
        /// The repository.
        name: RepositoryName,
        /// The manifest.
        digest: Digest,
    },
    /// `/acr/v1/_deleted/_catalog`
    DeletedCatalog,
    /// `/acr/v1/_deleted/<name>/_tags`
    DeletedTags {
        /// The repository.
        name: RepositoryName,
    },
    /// `/acr/v1/_deleted/<name>/_manifests`
    DeletedManifests {
        /// The repository.
        name: RepositoryName,
    },
    /// `/acr/v1/_deleted/<name>/_manifests/<digest>`
    DeletedManifest {
        /// The repository.
        name: RepositoryName,
        /// The manifest.
        digest: Digest,
    },
    /// `/acr/v1/<name>/_streaming`, or `/acr/v1/<name>/_streaming/<digest>`
    Streaming {
        /// The repository.
        name: RepositoryName,
        /// One manifest.
        digest: Option<Digest>,
    },
    /// `/acr/v1/<name>/_operations/<id>`
    Operation {
        /// The repository.
        name: RepositoryName,
        /// What the operation was called.
        id: Word,
    },
    /// `/acr/v1/<name>/_operations/<id>:cancel`
    Cancel {
        /// The repository.
        name: RepositoryName,
        /// What the operation was called.
        id: Word,
    },
    /// `/acr/v1/<name>/_metadata`
    Metadata {
        /// The repository.
        name: RepositoryName,
        /// A tag or a manifest of it.
        of: Option<crate::oci::Reference>,
        /// One entry.
        key: Option<Word>,
    },
}

/// The name of something that clients give a name to: letters, digits, `-`, `_` and `.`, at most 128.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word(Box<str>);

impl Word {
    fn parse(text: &str) -> Option<Self> {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let is_one = (1..=128).contains(&text.len())
            && text.bytes().all(is_word)
            && text.bytes().any(|byte| byte != b'.');
        is_one.then(|| Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

const PREFIX: &str = "/acr/v1/";

impl Route {
    /// Reads the path of a request, without its query.
    pub fn parse(method: &Method, path: &str) -> Result<Self, RouteError> {
        Self::parse_plain(method, path).map_err(|error| {
            if hostile(path) {
                RouteError::HostilePath
            } else {
                error
            }
        })
    }

    fn parse_plain(method: &Method, path: &str) -> Result<Self, RouteError> {
        let shape = Shape::of(path).ok_or(RouteError::NotFound)?;
        let endpoint = shape.endpoint;
        if endpoint.permission(method).is_none() {
            return Err(RouteError::MethodNotAllowed {
                allow: endpoint.allowed_methods(),
            });
        }
        if endpoint == Endpoint::Catalog {
            return Ok(Self::Catalog);
        }
        if endpoint == Endpoint::DeletedCatalog {
            return Ok(Self::DeletedCatalog);
        }
        let name = unescaped(shape.name).ok_or(RouteError::NameInvalid)?;
        let name = RepositoryName::parse(&name).map_err(|_| RouteError::NameInvalid)?;
        let last = shape.last;
        Ok(match endpoint {
            Endpoint::Catalog => Self::Catalog,
            Endpoint::DeletedCatalog => Self::DeletedCatalog,
            Endpoint::Repository => Self::Repository { name },
            Endpoint::Tags => Self::Tags { name },
            Endpoint::Tag => Self::Tag {
                name,
                tag: tag(last)?,
            },
            Endpoint::Manifests => Self::Manifests { name },
            Endpoint::Manifest => Self::Manifest {
                name,
                digest: digest(last)?,
            },
            Endpoint::DeletedTags => Self::DeletedTags { name },
            Endpoint::DeletedManifests => Self::DeletedManifests { name },
            Endpoint::DeletedManifest => Self::DeletedManifest {
                name,
                digest: digest(last)?,
            },
            Endpoint::Streaming => Self::Streaming {
                name,
                digest: shape.has_last.then(|| digest(last)).transpose()?,
            },
            Endpoint::Operation => Self::Operation {
                name,
                id: word(last)?,
            },
            Endpoint::Cancel => Self::Cancel {
                name,
                id: word(last)?,
            },
            Endpoint::Metadata => Self::Metadata {
                name,
                of: match shape.of {
                    None => None,
                    Some(("_tags", text)) => Some(tag(text)?.into()),
                    Some((_, text)) => Some(digest(text)?.into()),
                },
                key: shape.has_last.then(|| word(last)).transpose()?,
            },
        })
    }

    /// The endpoint.
    pub const fn endpoint(&self) -> Endpoint {
        match self {
            Self::Catalog => Endpoint::Catalog,
            Self::Repository { .. } => Endpoint::Repository,
            Self::Tags { .. } => Endpoint::Tags,
            Self::Tag { .. } => Endpoint::Tag,
            Self::Manifests { .. } => Endpoint::Manifests,
            Self::Manifest { .. } => Endpoint::Manifest,
            Self::DeletedCatalog => Endpoint::DeletedCatalog,
            Self::DeletedTags { .. } => Endpoint::DeletedTags,
            Self::DeletedManifests { .. } => Endpoint::DeletedManifests,
            Self::DeletedManifest { .. } => Endpoint::DeletedManifest,
            Self::Streaming { .. } => Endpoint::Streaming,
            Self::Operation { .. } => Endpoint::Operation,
            Self::Cancel { .. } => Endpoint::Cancel,
            Self::Metadata { .. } => Endpoint::Metadata,
        }
    }

    /// The repository it concerns.
    pub const fn name(&self) -> Option<&RepositoryName> {
        match self {
            Self::Catalog | Self::DeletedCatalog => None,
            Self::Repository { name }
            | Self::Tags { name }
            | Self::Tag { name, .. }
            | Self::Manifests { name }
            | Self::Manifest { name, .. }
            | Self::DeletedTags { name }
            | Self::DeletedManifests { name }
            | Self::DeletedManifest { name, .. }
            | Self::Streaming { name, .. }
            | Self::Operation { name, .. }
            | Self::Cancel { name, .. }
            | Self::Metadata { name, .. } => Some(name),
        }
    }

    /// What a caller needs for a method; `None` when the endpoint has no such method.
    pub fn permission(&self, method: &Method) -> Option<Permission> {
        self.endpoint().permission(method)
    }

    /// What a token needs for a method, as a challenge asks for it.
    pub fn scope(&self, method: &Method) -> Option<Scope> {
        let permission = self.permission(method)?;
        let listing = |name| Some(Scope::Registry { name, all: true });
        match (permission, self.name()) {
            (Permission::Catalog, _) => listing(Listing::Catalog),
            (Permission::DeletedCatalog, _) => listing(Listing::DeletedCatalog),
            (_, name) => Some(Scope::Repository {
                name: name?.clone(),
                actions: permission.challenge(),
            }),
        }
    }
}

impl fmt::Display for Route {
    /// The path, as it is written in `Link` headers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        match self {
            Self::Catalog => f.write_str("_catalog"),
            Self::Repository { name } => write!(f, "{name}"),
            Self::Tags { name } => write!(f, "{name}/_tags"),
            Self::Tag { name, tag } => write!(f, "{name}/_tags/{tag}"),
            Self::Manifests { name } => write!(f, "{name}/_manifests"),
            Self::Manifest { name, digest } => write!(f, "{name}/_manifests/{digest}"),
            Self::DeletedCatalog => f.write_str("_deleted/_catalog"),
            Self::DeletedTags { name } => write!(f, "_deleted/{name}/_tags"),
            Self::DeletedManifests { name } => write!(f, "_deleted/{name}/_manifests"),
            Self::DeletedManifest { name, digest } => {
                write!(f, "_deleted/{name}/_manifests/{digest}")
            }
            Self::Streaming { name, digest } => {
                write!(f, "{name}/_streaming")?;
                digest.map_or(Ok(()), |digest| write!(f, "/{digest}"))
            }
            Self::Operation { name, id } => write!(f, "{name}/_operations/{}", id.0),
            Self::Cancel { name, id } => write!(f, "{name}/_operations/{}:cancel", id.0),
            Self::Metadata { name, of, key } => {
                write!(f, "{name}")?;
                match of {
                    Some(crate::oci::Reference::Tag(tag)) => write!(f, "/_tags/{tag}")?,
                    Some(crate::oci::Reference::Digest(digest)) => {
                        write!(f, "/_manifests/{digest}")?;
                    }
                    None => {}
                }
                f.write_str("/_metadata")?;
                key.as_ref().map_or(Ok(()), |key| write!(f, "/{}", key.0))
            }
        }
    }
}

fn tag(text: &str) -> Result<Tag, RouteError> {
    let text = unescaped(text).ok_or(RouteError::TagInvalid)?;
    Tag::parse(&text).map_err(|_| RouteError::TagInvalid)
}

fn digest(text: &str) -> Result<Digest, RouteError> {
    let text = unescaped(text).ok_or(RouteError::DigestInvalid { unsupported: false })?;
    Ok(Digest::parse(&text)?)
}

fn word(text: &str) -> Result<Word, RouteError> {
    Word::parse(text).ok_or(RouteError::NotFound)
}

/// A path taken apart, its parts not yet looked at.
struct Shape<'a> {
    endpoint: Endpoint,
    name: &'a str,
    /// Whose metadata: the word, and what follows it.
    of: Option<(&'a str, &'a str)>,
    last: &'a str,
    has_last: bool,
}

impl<'a> Shape<'a> {
    fn of(path: &'a str) -> Option<Self> {
        let rest = path.strip_prefix(PREFIX).filter(|rest| !rest.is_empty())?;
        let shape = |endpoint, name, last: Option<&'a str>| Self {
            endpoint,
            name,
            of: None,
            last: last.unwrap_or_default(),
            has_last: last.is_some(),
        };
        if rest == "_catalog" {
            return Some(shape(Endpoint::Catalog, "", None));
        }
        if let Some(rest) = rest.strip_prefix("_deleted/") {
            if rest == "_catalog" {
                return Some(shape(Endpoint::DeletedCatalog, "", None));
            }
            let (name, words) = split(rest)?;
            return match words.split_once('/').map_or((words, None), some) {
                ("_tags", None) => Some(shape(Endpoint::DeletedTags, name, None)),
                ("_manifests", None) => Some(shape(Endpoint::DeletedManifests, name, None)),
                ("_manifests", last) => Some(shape(Endpoint::DeletedManifest, name, last)),
                _ => None,
            };
        }
        let Some((name, words)) = split(rest) else {
            return Some(shape(Endpoint::Repository, rest, None));
        };
        let (word, rest) = words.split_once('/').map_or((words, None), some);
        match (word, rest) {
            ("_tags", None) => Some(shape(Endpoint::Tags, name, None)),
            ("_manifests", None) => Some(shape(Endpoint::Manifests, name, None)),
            ("_streaming", last) => Some(shape(Endpoint::Streaming, name, last)),
            ("_operations", Some(last)) => Some(match last.strip_suffix(":cancel") {
                Some(id) => shape(Endpoint::Cancel, name, Some(id)),
                None => shape(Endpoint::Operation, name, Some(last)),
            }),
            ("_metadata", last) => Some(shape(Endpoint::Metadata, name, last)),
            ("_tags" | "_manifests", Some(rest)) => {
                let Some((of, rest)) = rest.split_once('/') else {
                    let endpoint = match word {
                        "_tags" => Endpoint::Tag,
                        _ => Endpoint::Manifest,
                    };
                    return Some(shape(endpoint, name, Some(rest)));
                };
                let last = match rest {
                    "_metadata" => None,
                    rest => Some(rest.strip_prefix("_metadata/")?),
                };
                Some(Self {
                    of: Some((word, of)),
                    ..shape(Endpoint::Metadata, name, last)
                })
            }
            _ => None,
        }
    }
}

fn some<'a>((first, second): (&'a str, &'a str)) -> (&'a str, Option<&'a str>) {
    (first, Some(second))
}

/// The name, and from the first segment on that begins with an underscore.
fn split(rest: &str) -> Option<(&str, &str)> {
    let at = rest.find("/_")?;
    Some((&rest[..at], &rest[at + 1..]))
}
