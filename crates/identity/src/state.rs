//! What is kept in memory of a registry, so that a request is authenticated without the database.

use std::sync::Arc;

use lazuli_wire::arm_scope::ArmScope;
use lazuli_wire::rbac::RepositoryPattern;
use lazuli_wire::token::Actions;

use crate::access::{self, Denied};
use crate::error::Error;
use crate::grants::Grants;
use crate::keys::{MasterKey, Purpose, SigningKey};
use crate::passwords::PasswordHash;
use crate::permission::{Permission, is_met};
use crate::principal::{Principal, Proof, RegistryId, Who};
use crate::rbac::registry::{Listable, Mode};
use crate::store::{ResourceRow, Rows};
use crate::tokens;

/// A registry as it was read at `loaded_at`.
pub(crate) struct RegistryState {
    pub(crate) registry: RegistryId,
    /// The registry's name, which is also the admin user's.
    pub(crate) name: String,
    pub(crate) anonymous_pull: bool,
    /// What everybody may pull, even without `anonymous_pull`.
    pub(crate) anonymous_repositories: Vec<RepositoryPattern>,
    /// Whether the admin user may sign in, and its tokens count.
    pub(crate) admin_enabled: bool,
    /// As a resource of the management plane, if it is one.
    resource: Option<ResourceRow>,
    /// Newest first.
    keys: Vec<Key>,
    pub(crate) credentials: Vec<Credential>,
    /// Nobody in particular.
    pub(crate) anonymous: Principal,
    /// Differs from that of every earlier state with other content. What was concluded from an older one is void.
    pub(crate) generation: u64,
    /// Microseconds.
    pub(crate) loaded_at: i64,
    /// Of [`States`](crate::states::States), when it was read.
    pub(crate) epoch: u64,
}

#[derive(Clone)]
struct Key {
    key: Arc<SigningKey>,
    retired_at: Option<i64>,
}

/// A password of the admin user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Credential {
    name: String,
    pub(crate) hash: PasswordHash,
    /// Microseconds.
    pub(crate) expires_at: Option<i64>,
}

impl RegistryState {
    /// Makes the state of what was read. Keys that `previous` holds are not opened again.
    pub(crate) fn new(
        registry: RegistryId,
        rows: Rows,
        previous: Option<&Self>,
        admin_enabled: bool,
        master: &MasterKey,
        generation: u64,
        (loaded_at, epoch): (i64, u64),
    ) -> Result<Self, Error> {
        let mut keys = Vec::with_capacity(rows.keys.len());
        for row in &rows.keys {
            let purpose = Purpose::parse(&row.purpose)
                .ok_or(lazuli_db::Error::Corrupt("signing_keys.purpose"))?;
            let known = previous
                .and_then(|state| state.keys.iter().find(|known| known.key.kid() == row.kid));
            let key = match known {
                Some(known) if known.key.purpose() == purpose => Arc::clone(&known.key),
                _ => Arc::new(SigningKey::unseal(
                    master,
                    registry,
                    purpose,
                    &row.kid,
                    &row.sealed,
                )?),
            };
            keys.push(Key {
                key,
                retired_at: row.retired_at,
            });
        }
        let credentials = rows
            .credentials
            .into_iter()
            .map(|row| {
                let hash = PasswordHash::from_columns(row.salt, row.iterations, &row.hash)
                    .ok_or(lazuli_db::Error::Corrupt("credentials.hash"))?;
                Ok(Credential {
                    name: row.name,
                    hash,
                    expires_at: row.expires_at,
                })
            })
            .collect::<Result<_, Error>>()?;
        let mut state = Self {
            registry,
            anonymous: Principal::new(registry, Who::Anonymous, "anonymous", Proof::None),
            name: rows.name,
            anonymous_pull: rows.anonymous_pull,
            anonymous_repositories: rows.anonymous_repositories,
            // The configuration's switch is over those of all registries.
            admin_enabled: admin_enabled
                && rows
                    .resource
                    .as_ref()
                    .is_none_or(|resource| resource.admin_enabled),
            resource: rows.resource,
            keys,
            credentials,
            generation,
            loaded_at,
            epoch,
        };
        if let Some(previous) = previous.filter(|previous| previous.same_content(&state)) {
            state.generation = previous.generation;
        }
        Ok(state)
    }

    fn same_content(&self, other: &Self) -> bool {
        let keys = |state: &Self| -> Vec<_> {
            state
                .keys
                .iter()
                .map(|key| (key.key.kid().to_owned(), key.retired_at))
                .collect()
        };
        self.name == other.name
            && self.anonymous_pull == other.anonymous_pull
            && self.anonymous_repositories == other.anonymous_repositories
            && self.admin_enabled == other.admin_enabled
            && self.resource == other.resource
            && self.credentials == other.credentials
            && keys(self) == keys(other)
    }

    /// The key that signs.
    pub(crate) fn signing_key(&self, purpose: Purpose) -> Result<Arc<SigningKey>, Error> {
        self.keys
            .iter()
            .find(|key| key.retired_at.is_none() && key.key.purpose() == purpose)
            .map(|key| Arc::clone(&key.key))
            .ok_or(Error::NoSigningKey(self.registry))
    }

    /// The key that may have signed a token: a retired one counts for as long as its last token lives.
    pub(crate) fn verifying_key(
        &self,
        purpose: Purpose,
        kid: &str,
        now: i64,
    ) -> Option<&SigningKey> {
        self.keys
            .iter()
            .find(|key| {
                let live = key
                    .retired_at
                    .is_none_or(|at| now < at.saturating_add(tokens::longest_life_us(purpose)));
                key.key.kid() == kid && key.key.purpose() == purpose && live
            })
            .map(|key| &*key.key)
    }

    /// Where the registry is for roles. One that is no resource is reached by roles for the whole installation.
    pub(crate) fn scope(&self) -> ArmScope {
        self.resource
            .as_ref()
            .map_or_else(ArmScope::root, |resource| resource.scope.clone())
    }

    /// How rights are made of roles.
    pub(crate) fn mode(&self) -> Mode {
        match &self.resource {
            Some(resource) if resource.abac => Mode::Abac,
            _ => Mode::Legacy,
        }
    }

    /// Whether tokens for the management plane are taken in exchange, too.
    pub(crate) fn takes_arm_tokens(&self) -> bool {
        self.resource
            .as_ref()
            .is_none_or(|resource| resource.arm_tokens)
    }

    /// Whether nobody in particular may pull anything.
    pub(crate) fn anonymous_may_pull(&self) -> bool {
        self.anonymous_pull || !self.anonymous_repositories.is_empty()
    }

    /// The name of an identity, for logs.
    pub(crate) fn name_of<'s>(&'s self, who: &'s Who) -> &'s str {
        match who {
            Who::Anonymous => self.anonymous.name(),
            Who::Admin => &self.name,
            Who::Token(rights) => &rights.name,
            Who::Directory(identity, _) => &identity.name,
        }
    }

    /// What of `wanted` an identity may do with a repository at a time (microseconds), and perhaps more.
    pub(crate) fn repository_rights(
        &self,
        who: &Who,
        repository: &str,
        wanted: Actions,
        now: i64,
    ) -> Actions {
        match who {
            Who::Admin => Actions::ALL,
            Who::Anonymous => {
                let named = |pattern: &RepositoryPattern| pattern.matches(repository);
                if self.anonymous_pull || self.anonymous_repositories.iter().any(named) {
                    access::READ
                } else {
                    Actions::NONE
                }
            }
            Who::Token(rights) => rights.on_repository(repository),
            Who::Directory(_, rights) => rights.on_repository(repository, wanted, now),
        }
    }

    /// Whether a principal has a permission on a repository: what the identity may, and its token, if any, grants.
    pub(crate) fn authorize<P: Permission>(
        &self,
        principal: &Principal,
        repository: &str,
        now: i64,
    ) -> Result<(), Denied> {
        let identity = self.repository_rights(principal.who(), repository, P::MET_BY, now);
        let both = principal.grants().map_or(identity, |grants| {
            identity.intersection(grants.on_repository(repository))
        });
        access::decide(
            principal,
            self.registry,
            is_met::<P>(identity),
            is_met::<P>(both),
        )
    }

    /// Which repositories a principal may list, if it may list any.
    pub(crate) fn authorize_catalog(&self, principal: &Principal) -> Result<Listable, Denied> {
        let listable = self.listable(principal.who());
        let token = principal.grants().is_none_or(Grants::allows_catalog);
        access::decide(
            principal,
            self.registry,
            listable != Listable::Nothing,
            token,
        )?;
        Ok(listable)
    }

    /// Whether a principal may list the repositories of which something deleted is still kept.
    pub(crate) fn authorize_deleted_catalog(&self, principal: &Principal) -> Result<(), Denied> {
        let identity = principal.who().lists_deleted();
        let token = principal
            .grants()
            .is_none_or(Grants::allows_deleted_catalog);
        access::decide(principal, self.registry, identity, token)
    }

    /// Which repositories an identity may list.
    pub(crate) fn listable(&self, who: &Who) -> Listable {
        match who {
            Who::Admin => Listable::All,
            Who::Anonymous if self.anonymous_pull => Listable::All,
            Who::Anonymous if self.anonymous_may_pull() => Listable::Readable,
            // As in Azure.
            Who::Anonymous | Who::Token(_) => Listable::Nothing,
            Who::Directory(_, rights) => rights.catalog(),
        }
    }
}

#[cfg(any(test, feature = "testing"))]
impl RegistryState {
    /// A state with these keys, newest first, and no passwords.
    pub(crate) fn with_keys(
        registry: RegistryId,
        anonymous_pull: bool,
        keys: &[(Arc<SigningKey>, Option<i64>)],
    ) -> Self {
        Self {
            registry,
            name: "lazuli".to_owned(),
            anonymous_pull,
            anonymous_repositories: Vec::new(),
            admin_enabled: true,
            resource: None,
            keys: keys
                .iter()
                .map(|(key, retired_at)| Key {
                    key: Arc::clone(key),
                    retired_at: *retired_at,
                })
                .collect(),
            credentials: Vec::new(),
            anonymous: Principal::new(registry, Who::Anonymous, "anonymous", Proof::None),
            generation: 1,
            loaded_at: 0,
            epoch: 0,
        }
    }
}
