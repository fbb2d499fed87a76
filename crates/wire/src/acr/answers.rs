//! Bodies of answers. Keys are in the order in which Azure writes them.

use serde::Serialize;

use super::attributes::{Flag, Flags};
use super::time::Time;

/// `GET /acr/v1/_catalog`
#[derive(Debug, Serialize)]
pub struct Catalog<'a> {
    /// Names of repositories.
    pub repositories: &'a [Box<str>],
}

/// What may be done, and notes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "as the body has them")]
pub struct Changeable<'a> {
    delete_enabled: bool,
    write_enabled: bool,
    read_enabled: bool,
    list_enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    teleport_enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quarantine_state: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quarantine_details: Option<&'a str>,
}

impl<'a> Changeable<'a> {
    /// Of a tag or a manifest.
    pub fn new(flags: Flags, state: Option<&'a str>, details: Option<&'a str>) -> Self {
        Self {
            delete_enabled: flags.has(Flag::Delete),
            write_enabled: flags.has(Flag::Write),
            read_enabled: flags.has(Flag::Read),
            list_enabled: flags.has(Flag::List),
            teleport_enabled: None,
            quarantine_state: state,
            quarantine_details: details,
        }
    }

    /// Of a repository.
    pub fn of_repository(flags: Flags) -> Self {
        Self {
            teleport_enabled: Some(false),
            ..Self::new(flags, None, None)
        }
    }
}

/// `GET /acr/v1/<name>`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Repository<'a> {
    /// The login server.
    pub registry: &'a str,
    /// The repository.
    pub image_name: &'a str,
    /// When it came to hold something.
    pub created_time: Time,
    /// When something was pushed to it last.
    pub last_update_time: Time,
    /// Its manifests.
    pub manifest_count: u64,
    /// Its tags.
    pub tag_count: u64,
    /// What may be done with it.
    pub changeable_attributes: Changeable<'a>,
}

/// A tag.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tag<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it names.
    pub digest: String,
    /// When it was pushed first.
    pub created_time: Time,
    /// When it was pushed last.
    pub last_update_time: Time,
    /// Whether it was signed by content trust, which is no more.
    pub signed: bool,
    /// What may be done with it.
    pub changeable_attributes: Changeable<'a>,
}

/// `GET /acr/v1/<name>/_tags`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tags<'a> {
    /// The login server.
    pub registry: &'a str,
    /// The repository.
    pub image_name: &'a str,
    /// A page of its tags.
    pub tags: Vec<Tag<'a>>,
}

/// `GET /acr/v1/<name>/_tags/<tag>`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TagAnswer<'a> {
    /// The login server.
    pub registry: &'a str,
    /// The repository.
    pub image_name: &'a str,
    /// The tag.
    pub tag: Tag<'a>,
}

/// What an index refers to.
#[derive(Debug, Serialize)]
pub struct Reference<'a> {
    /// A manifest.
    pub digest: String,
    /// What it runs on, as the index says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<&'a str>,
    /// Under which system, as the index says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os: Option<&'a str>,
}

/// A manifest.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest<'a> {
    /// Its digest.
    pub digest: String,
    /// Bytes of what it lists.
    pub image_size: u64,
    /// When it was pushed.
    pub created_time: Time,
    /// When it was changed last.
    pub last_update_time: Time,
    /// What an image runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<&'a str>,
    /// Under which system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os: Option<&'a str>,
    /// Its media type.
    pub media_type: &'a str,
    /// That of its configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_media_type: Option<&'a str>,
    /// The tags that name it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<&'a str>,
    /// What may be done with it.
    pub changeable_attributes: Changeable<'a>,
    /// Of an index, what it lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub references: Option<Vec<Reference<'a>>>,
}

/// `GET /acr/v1/<name>/_manifests`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifests<'a> {
    /// The login server.
    pub registry: &'a str,
    /// The repository.
    pub image_name: &'a str,
    /// A page of its manifests.
    pub manifests: Vec<Manifest<'a>>,
}

/// `GET /acr/v1/<name>/_manifests/<digest>`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestAnswer<'a> {
    /// The login server.
    pub registry: &'a str,
    /// The repository.
    pub image_name: &'a str,
    /// The manifest.
    pub manifest: Manifest<'a>,
}

/// `DELETE /acr/v1/<name>`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Deleted<'a> {
    /// Digests of manifests that went.
    pub manifests_deleted: Vec<String>,
    /// Tags that went.
    pub tags_deleted: Vec<&'a str>,
}

/// `GET /acr/v1/<name>/_streaming`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Streaming {
    /// Whether images are converted when they are pushed.
    pub convert_pushed_images: bool,
}
