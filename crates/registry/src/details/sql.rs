//! Statements that list `tags`, `manifests` and `repositories` with their attributes.

use std::collections::HashMap;

use lazuli_db::{Error as DbError, Row, Tx, Value};
use lazuli_wire::acr::Flags;
use lazuli_wire::oci::{Digest, ManifestKind, ManifestLimits, OrderBy, ParsedManifest, Tag};

use super::{Details, Listed, ManifestDetails, RepositoryDetails, Start, TagDetails, before_all};
use crate::attributes::{self, Subject};
use crate::{Error, Result, repositories};

/// Most tags that are read for a page of manifests, or for one manifest; with more, each of a page gets some.
const TAGS: u32 = 10_000;
const SOME_TAGS: u32 = 100;

/// Limits of what was accepted once.
const LIMITS: ManifestLimits = ManifestLimits {
    max_bytes: usize::MAX,
    max_depth: 128,
    max_descriptors: usize::MAX,
    max_annotations: usize::MAX,
    max_keys: usize::MAX,
};

const NOTHING: Value<'static> = Value::Bytes(&[]);

/// What is known of something in the repository, or of it.
pub(crate) fn find(
    tx: &mut Tx<'_>,
    row: &repositories::sql::Row,
    subject: &Subject,
) -> Result<Details> {
    Ok(match subject {
        Subject::Repository => Details::Repository(repository(tx, row)?),
        Subject::Tag(name) => Details::Tag(tag(tx, row.id, name)?.ok_or(Error::TagUnknown)?),
        Subject::Manifest(digest) => {
            let found = manifest(tx, row.id, digest)?;
            Details::Manifest(found.ok_or(Error::ManifestUnknown)?)
        }
    })
}

fn repository(tx: &mut Tx<'_>, row: &repositories::sql::Row) -> Result<RepositoryDetails, DbError> {
    let counts = tx.query_one(
        "SELECT (SELECT COUNT(*) FROM manifests WHERE repository_id = ?1), (SELECT COUNT(*) FROM tags WHERE repository_id = ?1), \
         (SELECT MAX(updated_at) FROM manifests WHERE repository_id = ?1), (SELECT MAX(updated_at) FROM tags WHERE repository_id = ?1)",
        &[row.id.into()],
        |row| {
            let newest = row.get_i64_opt(2)?.max(row.get_i64_opt(3)?);
            Ok((row.get_u64(0)?, row.get_u64(1)?, newest))
        },
    )?;
    let (manifests, tags, newest) = counts.unwrap_or_default();
    let attributes = attributes::sql::find(tx, row.id, &Subject::Repository)?;
    Ok(RepositoryDetails {
        created_at: row.created_at,
        updated_at: newest.unwrap_or(row.created_at).max(row.created_at),
        manifests,
        tags,
        flags: attributes.map_or(Flags::ALL, |found| found.flags),
    })
}

const TAG: &str = "SELECT t.name, t.digest, t.created_at, t.updated_at, a.flags, a.quarantine_state, a.quarantine_details \
    FROM tags t LEFT JOIN attributes a ON a.repository_id = t.repository_id AND a.tag = t.name AND a.digest = ?2 \
    WHERE t.repository_id = ?1 AND t.name = ?3";

fn tag(tx: &mut Tx<'_>, repository: i64, name: &Tag) -> Result<Option<TagDetails>, DbError> {
    let params = [repository.into(), NOTHING, name.as_str().into()];
    tx.query_one(TAG, &params, read_tag)
}

fn read_tag(row: &Row<'_>) -> Result<TagDetails, DbError> {
    Ok(TagDetails {
        name: row.get_text(0)?.into(),
        digest: read_digest(row.get_bytes_ref(1)?, "tags.digest")?,
        created_at: row.get_i64(2)?,
        updated_at: row.get_i64(3)?,
        attributes: attributes::sql::read(row, 4)?.unwrap_or_default(),
    })
}

fn read_digest(bytes: &[u8], column: &'static str) -> Result<Digest, DbError> {
    Digest::from_bytes(bytes).ok_or(DbError::Corrupt(column))
}

/// The tags that listings show, of one manifest or of all.
macro_rules! tags {
    ($of:literal, $after:literal, $order:literal) => {
        concat!(
            "SELECT t.name, t.digest, t.created_at, t.updated_at, a.flags, a.quarantine_state, a.quarantine_details \
             FROM tags t LEFT JOIN attributes a ON a.repository_id = t.repository_id AND a.tag = t.name AND a.digest = ?2 \
             WHERE t.repository_id = ?1 AND (a.flags IS NULL OR (a.flags & 8) <> 0) AND ",
            $after, $of, " ORDER BY ", $order, " LIMIT ?4"
        )
    };
    ($after:literal, $order:literal, with_time) => {
        [tags!("", $after, $order), tags!(" AND t.digest = ?6", $after, $order)]
    };
    ($after:literal, $order:literal) => {
        [tags!("", $after, $order), tags!(" AND t.digest = ?5", $after, $order)]
    };
}

const TAGS_BY_NAME: [&str; 2] = tags!("t.name > ?3", "t.name");
const TAGS_OLDEST: [&str; 2] = tags!(
    "(t.updated_at, t.name) > (?5, ?3)",
    "t.updated_at, t.name",
    with_time
);
const TAGS_NEWEST: [&str; 2] = tags!(
    "(t.updated_at, t.name) < (?5, ?3)",
    "t.updated_at DESC, t.name DESC",
    with_time
);

/// One tag more than the limit, if there are so many.
pub(crate) fn tags(
    tx: &mut Tx<'_>,
    repository: i64,
    start: &Start,
    of: Option<Digest>,
) -> Result<Vec<TagDetails>, DbError> {
    let time = match start.order_by {
        OrderBy::Name => None,
        _ => start.time(|last| tag_time(tx, repository, last))?,
    };
    // Without a time to go on from, all of it comes.
    let goes_on = start.order_by == OrderBy::Name || time.is_some();
    let last = start.last.as_deref().filter(|_| goes_on);
    let time = match start.order_by {
        OrderBy::Name => None,
        order_by => Some(time.unwrap_or(before_all(order_by))),
    };
    let statements = match start.order_by {
        OrderBy::Name => TAGS_BY_NAME,
        OrderBy::TimeAscending => TAGS_OLDEST,
        OrderBy::TimeDescending => TAGS_NEWEST,
    };
    let of = of.map(|digest| digest.to_bytes());
    let mut params = vec![
        repository.into(),
        NOTHING,
        last.unwrap_or_default().into(),
        (i64::from(start.limit) + 1).into(),
    ];
    params.extend(time.map(Value::from));
    params.extend(of.as_deref().map(Value::from));
    let statement = statements[usize::from(of.is_some())];
    tx.query(statement, &params, read_tag)
}

/// When a tag was pushed last, by its history if it is gone.
fn tag_time(tx: &mut Tx<'_>, repository: i64, name: &str) -> Result<Option<i64>, DbError> {
    let key = [repository.into(), name.into()];
    let found = tx.query_one(
        "SELECT updated_at FROM tags WHERE repository_id = ?1 AND name = ?2",
        &key,
        |row| row.get_i64(0),
    )?;
    if found.is_some() {
        return Ok(found);
    }
    tx.query_one(
        "SELECT hlc FROM tag_versions WHERE repository_id = ?1 AND name = ?2 AND digest IS NOT NULL \
         ORDER BY hlc DESC, origin DESC LIMIT 1",
        &key,
        // The clock's upper part is milliseconds.
        |row| Ok((row.get_i64(0)? >> 16) * 1000),
    )
}

/// The manifests that listings show.
macro_rules! manifests {
    ($columns:literal, $after:literal, $order:literal, $limit:literal) => {
        concat!(
            "SELECT ", $columns, " FROM manifests m LEFT JOIN attributes a \
             ON a.repository_id = m.repository_id AND a.tag = '' AND a.digest = m.digest \
             WHERE m.repository_id = ?1 AND (a.flags IS NULL OR (a.flags & 8) <> 0) AND ",
            $after, " ORDER BY ", $order, " LIMIT ", $limit
        )
    };
    ($after:literal, $order:literal) => {
        [
            manifests!(
                "m.digest, m.media_type, m.config_media_type, m.architecture, m.os, m.image_size, m.created_at, m.updated_at, \
                 a.flags, a.quarantine_state, a.quarantine_details",
                $after, $order, "?3"
            ),
            concat!(
                "SELECT t.digest, t.name FROM tags t WHERE t.repository_id = ?1 AND t.digest IN (",
                manifests!("m.digest", $after, $order, "?3"),
                ") ORDER BY t.digest, t.name LIMIT 10001"
            ),
        ]
    };
}

const BY_DIGEST: [&str; 2] = manifests!("m.digest > ?2", "m.digest");
const OLDEST: [&str; 2] = manifests!(
    "(m.updated_at, m.digest) > (?4, ?2)",
    "m.updated_at, m.digest"
);
const NEWEST: [&str; 2] = manifests!(
    "(m.updated_at, m.digest) < (?4, ?2)",
    "m.updated_at DESC, m.digest DESC"
);

/// A page of manifests with their tags.
pub(crate) fn manifests(
    tx: &mut Tx<'_>,
    repository: i64,
    start: &Start,
    after: Option<Digest>,
) -> Result<Listed<ManifestDetails>> {
    let after = after.map(|digest| digest.to_bytes());
    let time = match (&after, start.at) {
        (Some(after), None) => manifest_time(tx, repository, after)?,
        (Some(_), at) => at,
        (None, _) => None,
    };
    let goes_on = start.order_by == OrderBy::Name || time.is_some();
    let after = after.filter(|_| goes_on).unwrap_or_default();
    let time = match start.order_by {
        OrderBy::Name => None,
        order_by => Some(time.unwrap_or(before_all(order_by))),
    };
    let statements = match start.order_by {
        OrderBy::Name => BY_DIGEST,
        OrderBy::TimeAscending => OLDEST,
        OrderBy::TimeDescending => NEWEST,
    };
    let params = |more: u32| {
        let limit = i64::from(start.limit) + i64::from(more);
        let mut params = vec![repository.into(), after.as_slice().into(), limit.into()];
        params.extend(time.map(Value::from));
        params
    };
    let found = tx.query(statements[0], &params(1), read_manifest)?;
    let mut listed = Listed::new(found, start.limit);
    let tags = tx.query(statements[1], &params(0), |row| {
        let digest = read_digest(row.get_bytes_ref(0)?, "tags.digest")?;
        Ok((digest, Box::<str>::from(row.get_text(1)?)))
    })?;
    if tags.len() > TAGS as usize {
        for manifest in &mut listed.items {
            manifest.tags = tags_of(tx, repository, &manifest.digest, SOME_TAGS)?;
        }
        return Ok(listed);
    }
    let mut by_digest: HashMap<Digest, Vec<Box<str>>> = HashMap::new();
    for (digest, name) in tags {
        by_digest.entry(digest).or_default().push(name);
    }
    for manifest in &mut listed.items {
        manifest.tags = by_digest.remove(&manifest.digest).unwrap_or_default();
    }
    Ok(listed)
}

fn manifest_time(tx: &mut Tx<'_>, repository: i64, digest: &[u8]) -> Result<Option<i64>, DbError> {
    tx.query_one(
        "SELECT updated_at FROM manifests WHERE repository_id = ?1 AND digest = ?2",
        &[repository.into(), digest.into()],
        |row| row.get_i64(0),
    )
}

/// Also those that listings do not show: what looks untagged may be cleaned away.
fn tags_of(
    tx: &mut Tx<'_>,
    repository: i64,
    digest: &Digest,
    limit: u32,
) -> Result<Vec<Box<str>>, DbError> {
    tx.query(
        "SELECT name FROM tags WHERE repository_id = ?1 AND digest = ?2 ORDER BY name LIMIT ?3",
        &[
            repository.into(),
            digest.to_bytes().as_slice().into(),
            limit.into(),
        ],
        |row| Ok(row.get_text(0)?.into()),
    )
}

const MANIFEST: &str = "SELECT m.digest, m.media_type, m.config_media_type, m.architecture, m.os, m.image_size, m.created_at, \
    m.updated_at, a.flags, a.quarantine_state, a.quarantine_details, m.body FROM manifests m LEFT JOIN attributes a \
    ON a.repository_id = m.repository_id AND a.tag = '' AND a.digest = m.digest \
    WHERE m.repository_id = ?1 AND m.digest = ?2";

fn manifest(
    tx: &mut Tx<'_>,
    repository: i64,
    digest: &Digest,
) -> Result<Option<ManifestDetails>, DbError> {
    let key = digest.to_bytes();
    let params = [repository.into(), Value::from(&key)];
    let found = tx.query_one(MANIFEST, &params, |row| {
        let mut manifest = read_manifest(row)?;
        manifest.children = children(&manifest.media_type, row.get_bytes_ref(11)?);
        Ok(manifest)
    })?;
    let Some(mut manifest) = found else {
        return Ok(None);
    };
    manifest.tags = tags_of(tx, repository, digest, TAGS)?;
    Ok(Some(manifest))
}

/// What an index lists.
fn children(media_type: &str, body: &[u8]) -> Option<Vec<lazuli_wire::oci::Descriptor>> {
    let kind = ManifestKind::from_media_type(media_type)?;
    let is_index = matches!(kind, ManifestKind::OciIndex | ManifestKind::DockerList);
    let parsed = is_index.then(|| ParsedManifest::parse(Some(media_type), body, &LIMITS))?;
    Some(parsed.ok()?.manifests)
}

fn read_manifest(row: &Row<'_>) -> Result<ManifestDetails, DbError> {
    Ok(ManifestDetails {
        digest: read_digest(row.get_bytes_ref(0)?, "manifests.digest")?,
        media_type: row.get_string(1)?,
        config_media_type: row.get_string_opt(2)?,
        architecture: row.get_string_opt(3)?,
        os: row.get_string_opt(4)?,
        image_size: row.get_u64(5)?,
        created_at: row.get_i64(6)?,
        updated_at: row.get_i64(7)?,
        attributes: attributes::sql::read(row, 8)?.unwrap_or_default(),
        tags: Vec::new(),
        children: None,
    })
}
