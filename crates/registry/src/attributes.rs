//! Attributes of repositories, tags and manifests: what may be done with them (locks), and notes on them.

pub(crate) mod locks;
pub(crate) mod sql;

use std::fmt;
use std::sync::Arc;

use lazuli_db::Tx;
use lazuli_identity::{MetadataWrite, RepositoryAccess};
use lazuli_wire::acr::{AttributesChange, Flag, Flags};
use lazuli_wire::oci::{Digest, Tag};

use crate::details::{self, Details};
use crate::operations::{self, Operation};
use crate::repositories::sql::Row;
use crate::transfer::closed;
use crate::{Error, Registry, Result, repositories};

/// What attributes belong to. Those of a tag and of the manifest that it names have nothing to do with each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The repository.
    Repository,
    /// A manifest.
    Manifest(Digest),
    /// A tag.
    Tag(Tag),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repository => f.write_str("the repository"),
            Self::Manifest(digest) => write!(f, "the manifest {digest}"),
            Self::Tag(tag) => write!(f, "the tag {tag}"),
        }
    }
}

/// Attributes. Those of a subject of which nothing was said allow everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attributes {
    /// What is switched on.
    pub flags: Flags,
    /// What a scanner says of it.
    pub quarantine_state: Option<String>,
    /// More from the scanner.
    pub quarantine_details: Option<String>,
}

impl Attributes {
    fn after(&self, change: AttributesChange) -> Self {
        Self {
            flags: change.apply_to(self.flags),
            quarantine_state: change
                .quarantine_state
                .or_else(|| self.quarantine_state.clone()),
            quarantine_details: change
                .quarantine_details
                .or_else(|| self.quarantine_details.clone()),
        }
    }
}

/// What something is refused for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locked {
    /// What is locked.
    pub subject: Subject,
    /// What is switched off.
    pub flag: Flag,
}

impl fmt::Display for Locked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} is false", self.flag.as_str(), self.subject)
    }
}

impl Registry {
    /// Changes attributes, and returns what is known of their subject then. Locks do not hold against it: it is how they are
    /// opened. Holds at once in this process, and elsewhere as every change does.
    pub async fn set_attributes(
        &self,
        access: &RepositoryAccess<MetadataWrite>,
        subject: Subject,
        change: AttributesChange,
        request_id: &Arc<str>,
    ) -> Result<Details> {
        let registry = access.registry().get();
        let name = access.repository().clone();
        let context = self
            .inner
            .log
            .context(&Arc::from(access.principal().key()), request_id);
        let this = self.clone();
        self.to_the_end(async move {
            let fence = this.inner.cache.close(registry, Some(&name));
            let catalog = this.inner.cache.close(registry, None);
            let now = this.now();
            let details = this
                .inner
                .db
                .write(move |tx| {
                    closed::check(tx, now)?;
                    let row = repositories::sql::find(tx, registry, &name)?
                        .filter(|row| row.is_listed)
                        .ok_or(Error::NameUnknown)?;
                    let known = details::sql::find(tx, &row, &subject)?;
                    let old = sql::find(tx, row.id, &subject)?.unwrap_or_default();
                    let new = old.after(change.clone());
                    if new == old {
                        return Ok(known);
                    }
                    let operation = Operation::SetAttributes {
                        subject: subject.clone(),
                        attributes: new.clone(),
                    };
                    // Later than all that it builds on: the repository, what it is about, and what was said before.
                    let after = operations::newest_clock(tx)?;
                    let name = Some(name.as_str());
                    let appended =
                        operations::append(tx, &context, registry, name, &operation, after)?;
                    set(tx, &row, &subject, &new, appended.hlc, now)?;
                    details::sql::find(tx, &row, &subject)
                })
                .await;
            fence.open_forgetting_all();
            catalog.open_forgetting_all();
            this.inner.log.committed();
            details
        })
        .await
    }
}

/// The rows of attributes that were set.
pub(crate) fn set(
    tx: &mut Tx<'_>,
    row: &Row,
    subject: &Subject,
    attributes: &Attributes,
    hlc: i64,
    now: i64,
) -> Result<(), lazuli_db::Error> {
    sql::set(tx, row.id, subject, attributes, hlc, now)?;
    if row.is_restricted {
        return Ok(());
    }
    repositories::sql::set_restricted(tx, row.id)
}
