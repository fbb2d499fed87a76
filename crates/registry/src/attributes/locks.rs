//! What locks forbid: the one place that says it.
//!
//! | | `writeEnabled` | `deleteEnabled` | `readEnabled` |
//! |---|---|---|---|
//! | push of a manifest | repository, manifest, each tag | | |
//! | end of an upload, mount | repository | | source of a mount |
//! | untag | repository, tag | repository, tag | |
//! | delete of a manifest | repository, all manifests and tags that go | the same | |
//! | delete of a repository | everything in it | everything in it | |
//! | delete of a blob | repository | repository | |
//! | pull of a manifest | | | repository, manifest, tag if asked by it |
//! | pull of a blob, referrers | | | repository |
//!
//! A tag that is not locked may be moved away from a manifest that is: the manifest stays as it is. Without `listEnabled` a
//! listing does not show what else can be used as before; statements of listings see to that. Garbage collection, the
//! scrub and repairs ask nobody. In a repository without attributes all this costs nothing.

use lazuli_db::Tx;
use lazuli_wire::acr::Flag;
use lazuli_wire::oci::{Digest, Tag};

use super::{Locked, Subject, sql};
use crate::repositories::sql::Row;
use crate::{Error, Result};

/// Deleting is changing, too.
const DELETION: &[Flag] = &[Flag::Write, Flag::Delete];

/// Whether a manifest may be pushed, to these tags.
pub(crate) fn check_push(tx: &mut Tx<'_>, row: &Row, digest: &Digest, tags: &[Tag]) -> Result<()> {
    if !row.is_restricted {
        return Ok(());
    }
    check_upload(tx, row)?;
    check(tx, row, Subject::Manifest(*digest), &[Flag::Write])?;
    for tag in tags {
        check(tx, row, Subject::Tag(tag.clone()), &[Flag::Write])?;
    }
    Ok(())
}

/// Whether a blob may come to the repository.
pub(crate) fn check_upload(tx: &mut Tx<'_>, row: &Row) -> Result<()> {
    check(tx, row, Subject::Repository, &[Flag::Write]).map(drop)
}

/// Whether something may go from the repository.
pub(crate) fn check_deletion_in(tx: &mut Tx<'_>, row: &Row) -> Result<()> {
    check(tx, row, Subject::Repository, DELETION).map(drop)
}

/// Whether a tag may go. The answer is a clock: what takes it away has to be later.
pub(crate) fn check_untag(tx: &mut Tx<'_>, row: &Row, tag: &Tag) -> Result<Option<i64>> {
    check(tx, row, Subject::Tag(tag.clone()), DELETION)
}

/// Whether a manifest and its tags may go. The answer is a clock: what takes them away has to be later.
pub(crate) fn check_delete(
    tx: &mut Tx<'_>,
    row: &Row,
    digest: &Digest,
    tags: &[Tag],
) -> Result<Option<i64>> {
    if !row.is_restricted {
        return Ok(None);
    }
    let mut after = check(tx, row, Subject::Manifest(*digest), DELETION)?;
    for tag in tags {
        after = after.max(check_untag(tx, row, tag)?);
    }
    Ok(after)
}

/// Whether the repository may go with everything in it. The answer is a clock: what takes it away has to be later.
pub(crate) fn check_delete_repository(tx: &mut Tx<'_>, row: &Row) -> Result<Option<i64>> {
    if !row.is_restricted {
        return Ok(None);
    }
    let Some((tag, digest, flags)) = sql::any_kept(tx, row.id)? else {
        return Ok(sql::newest_hlc(tx, row.id)?);
    };
    let subject = match (Tag::parse(&tag), Digest::from_bytes(&digest)) {
        (Ok(tag), _) => Subject::Tag(tag),
        (_, Some(digest)) => Subject::Manifest(digest),
        _ => Subject::Repository,
    };
    let off = DELETION.iter().find(|flag| !flags.has(**flag));
    Err(refused(subject, off.copied().unwrap_or(Flag::Write)))
}

/// Whether anything may be pulled.
pub(crate) fn check_pull(tx: &mut Tx<'_>, row: &Row) -> Result<()> {
    check(tx, row, Subject::Repository, &[Flag::Read]).map(drop)
}

/// Whether a manifest may be pulled, by a tag or by its digest.
pub(crate) fn check_pull_of(
    tx: &mut Tx<'_>,
    row: &Row,
    digest: &Digest,
    tag: Option<&Tag>,
) -> Result<()> {
    if !row.is_restricted {
        return Ok(());
    }
    check_pull(tx, row)?;
    check(tx, row, Subject::Manifest(*digest), &[Flag::Read])?;
    if let Some(tag) = tag {
        check(tx, row, Subject::Tag(tag.clone()), &[Flag::Read])?;
    }
    Ok(())
}

fn check(tx: &mut Tx<'_>, row: &Row, subject: Subject, needed: &[Flag]) -> Result<Option<i64>> {
    if !row.is_restricted {
        return Ok(None);
    }
    let Some((flags, hlc)) = sql::flags(tx, row.id, &subject)? else {
        return Ok(None);
    };
    match needed.iter().find(|flag| !flags.has(**flag)) {
        Some(flag) => Err(refused(subject, *flag)),
        None => Ok(Some(hlc)),
    }
}

fn refused(subject: Subject, flag: Flag) -> Error {
    Error::Locked(Box::new(Locked { subject, flag }))
}
