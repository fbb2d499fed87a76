//! The front door: authentication, authorization, administration of credentials and keys.

use std::sync::Arc;

use lazuli_db::Db;
use lazuli_db::clock::Clock;
use lazuli_wire::oci::RepositoryName;
use lazuli_wire::token::{Secret, TOKEN_USERNAME};
use tokio::sync::Semaphore;

use crate::access::{CatalogAccess, Denied, RepositoryAccess, decide};
use crate::directory::Directory;
use crate::error::Error;
use crate::fair::Origin;
use crate::header::{self, Authorization};
use crate::install::{self, FirstStart, IdentityOptions};
use crate::issued::Issued;
use crate::jwt;
use crate::keys::{MasterKey, Purpose};
use crate::log_in::LogIns;
use crate::permission::Permission;
use crate::principal::{Principal, RegistryId};
use crate::rbac::RightsCache;
use crate::rbac::registry::Listable;
use crate::registries;
use crate::scope_maps::rights::TokenRightsCache;
use crate::state::RegistryState;
use crate::states::{States, UNKNOWN_KEY_RELOAD};
use crate::store::{self, AdminPassword};
use crate::token_cache::TokenCache;
use crate::tokens::{self, Rejected};

/// Why a caller could not be identified.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The header is not one this registry reads. Answer: 401 with a challenge.
    #[error(transparent)]
    Malformed(#[from] header::Malformed),
    /// The user or the password is wrong; which one is not told. Answer: 401 with a challenge.
    #[error("the user name or the password is wrong")]
    WrongPassword,
    /// The token is not valid here, or not any more. Answer: 401 with a challenge that says `invalid_token`.
    #[error("the token is invalid or expired")]
    InvalidToken,
    /// Too many passwords are being compared. Answer: 429; try again in a second.
    #[error("too many attempts to sign in at the same time")]
    TooManyAttempts,
    /// Not the caller's fault. Answer: 503, or 500.
    #[error(transparent)]
    Internal(#[from] Error),
}

/// Identity of an installation. Cloning shares.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) db: Db,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) master: Arc<MasterKey>,
    options: IdentityOptions,
    pub(crate) states: Arc<States>,
    tokens: TokenCache,
    pub(crate) issued: Issued,
    pub(crate) log_ins: LogIns,
    pub(crate) directory: Arc<Directory>,
    pub(crate) rights: RightsCache,
    pub(crate) token_rights: TokenRightsCache,
    /// Signatures at a time: as many as there are cores.
    pub(crate) signing: Semaphore,
}

/// Headers up to this length are answered from memory without allocation.
const CACHED_HEADER: usize = 4096;

impl Identity {
    /// Opens identity. At first start it makes the default registry, its signing keys and its admin user.
    ///
    /// `master_key` seals private keys in the database. It belongs outside of the database: with another one the
    /// stored keys cannot be opened, and this fails.
    pub async fn open(
        db: Db,
        clock: Arc<dyn Clock>,
        master_key: &[u8; 32],
        options: IdentityOptions,
    ) -> Result<(Self, Option<FirstStart>), Error> {
        let master = Arc::new(MasterKey::new(master_key)?);
        let first_start = install::install(&db, &master, &options, clock.now_us()).await?;
        let states = Arc::new(States::new(
            db.clone(),
            Arc::clone(&clock),
            Arc::clone(&master),
            options.admin_enabled,
        ));
        states.reload(RegistryId::DEFAULT).await?;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let directory = Directory::new(db.clone(), Arc::clone(&clock), Arc::clone(&master));
        let inner = Inner {
            directory: Arc::new(directory),
            rights: RightsCache::new(),
            token_rights: TokenRightsCache::new(),
            db,
            clock,
            master,
            options,
            states,
            tokens: TokenCache::new(),
            issued: Issued::new(),
            log_ins: LogIns::new()?,
            signing: Semaphore::new(cores),
        };
        Ok((Self(Arc::new(inner)), first_start))
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }

    /// Who sends a request with this `Authorization` header to a login server, if that is known without waiting.
    ///
    /// Never wrong: `None` means only that [`Self::authenticate`] has to be asked. `service` is the login server that
    /// was dialled, in lower case, with its port if the client named one.
    pub fn authenticate_cached(
        &self,
        registry: RegistryId,
        service: &str,
        authorization: Option<&[u8]>,
    ) -> Option<Principal> {
        let inner = self.inner();
        let now = inner.clock.now_us();
        let states = inner.states.current();
        let state = states
            .get(&registry)
            .filter(|state| inner.states.is_good(state, now))?;
        inner.states.refresh_if_due(state, now);
        let at = (now, inner.states.policy.get());
        let Some(header) = authorization else {
            return Some(state.anonymous.clone());
        };
        if let Some(token) = header::bearer_bytes(header) {
            return inner.tokens.get(state, service, Purpose::Access, token, at);
        }
        if header.len() > CACHED_HEADER {
            return None;
        }
        let mut buffer = [0; header::decoded_length(CACHED_HEADER)];
        match header::parse(header, &mut buffer).ok()? {
            Authorization::Basic {
                user: TOKEN_USERNAME,
                password,
            } => {
                let known = |purpose| {
                    inner
                        .tokens
                        .get(state, service, purpose, password.as_bytes(), at)
                };
                known(Purpose::Refresh).or_else(|| known(Purpose::Access))
            }
            Authorization::Basic { user, password } => {
                inner.log_ins.remembered(state, user, password, at)
            }
            Authorization::Bearer(_) => None,
        }
    }

    /// Who sends a request with this `Authorization` header to a login server. Without a header: nobody in
    /// particular. Bad credentials never make an anonymous caller. `from`: where the request comes from, because
    /// comparing passwords is work that is divided between clients.
    pub async fn authenticate(
        &self,
        registry: RegistryId,
        service: &str,
        from: Origin,
        authorization: Option<&[u8]>,
    ) -> Result<Principal, AuthError> {
        let state = self.inner().states.get(registry).await?;
        let Some(header) = authorization else {
            return Ok(state.anonymous.clone());
        };
        let mut buffer = vec![0; header::decoded_length(header.len().min(header::MAX_HEADER))];
        match header::parse(header, &mut buffer)? {
            Authorization::Bearer(token) => {
                self.verify(&state, service, Purpose::Access, token).await
            }
            Authorization::Basic { user, password } => {
                self.sign_in(&state, service, from, user, password).await
            }
        }
    }

    /// Whether the admin user signs in with this password.
    pub async fn is_admin_password(
        &self,
        registry: RegistryId,
        password: &str,
    ) -> Result<bool, AuthError> {
        let state = self.inner().states.get(registry).await?;
        let name = state.name.clone();
        match self
            .sign_in(&state, "", Origin::LOCAL, &name, password)
            .await
        {
            Ok(_) => Ok(true),
            Err(AuthError::WrongPassword) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Who has this user name and password. The zero GUID as the user says that the password is a token.
    pub(crate) async fn sign_in(
        &self,
        state: &Arc<RegistryState>,
        service: &str,
        from: Origin,
        user: &str,
        password: &str,
    ) -> Result<Principal, AuthError> {
        if user == TOKEN_USERNAME {
            return match self
                .verify(state, service, Purpose::Refresh, password)
                .await
            {
                Err(AuthError::InvalidToken) => {
                    self.verify(state, service, Purpose::Access, password).await
                }
                outcome => outcome,
            };
        }
        self.sign_in_with_password(state, from, user, password)
            .await
    }

    /// Whose token this is.
    pub(crate) async fn verify(
        &self,
        state: &Arc<RegistryState>,
        service: &str,
        purpose: Purpose,
        token: &str,
    ) -> Result<Principal, AuthError> {
        let inner = self.inner();
        let now = inner.clock.now_us();
        if let Some(principal) = inner.tokens.get(
            state,
            service,
            purpose,
            token.as_bytes(),
            (now, inner.states.policy.get()),
        ) {
            return Ok(principal);
        }
        let check = match purpose {
            Purpose::Access => tokens::verify_access,
            Purpose::Refresh => tokens::verify_refresh,
            Purpose::Directory => return Err(AuthError::InvalidToken),
        };
        let mut state = Arc::clone(state);
        let mut outcome = check(&state, service, token, now);
        if matches!(outcome, Err(Rejected::Form(jwt::Rejected::UnknownKey))) {
            // Another node may have rotated the keys.
            state = inner
                .states
                .load_unless_newer(state.registry, now - UNKNOWN_KEY_RELOAD)
                .await?;
            outcome = check(&state, service, token, now);
        }
        let refused = |reason: &dyn std::fmt::Debug| {
            tracing::debug!(registry = %state.registry, ?purpose, ?reason, "token refused");
            AuthError::InvalidToken
        };
        let verified = outcome.map_err(|reason| refused(&reason))?;
        let taken_until = verified.taken_until;
        let principal = self.principal_of(&state, verified).await?;
        let principal = principal.ok_or_else(|| refused(&Rejected::Subject))?;
        inner.tokens.insert(
            &state,
            service,
            purpose,
            token.as_bytes(),
            taken_until,
            &principal,
        );
        Ok(principal)
    }

    /// Whether a principal may do something with a repository, whether or not it exists.
    pub fn authorize<P: Permission>(
        &self,
        principal: &Principal,
        registry: RegistryId,
        repository: &RepositoryName,
    ) -> Result<RepositoryAccess<P>, Denied> {
        let states = self.inner().states.current();
        let state = states.get(&registry).ok_or(Denied::Unauthenticated)?;
        let now = self.inner().clock.now_us();
        state.authorize::<P>(principal, repository, now)?;
        Ok(RepositoryAccess::new(principal, repository))
    }

    /// Whether a principal may list the repositories of a registry, and which.
    pub fn authorize_catalog(
        &self,
        principal: &Principal,
        registry: RegistryId,
    ) -> Result<CatalogAccess, Denied> {
        let states = self.inner().states.current();
        let state = states.get(&registry).ok_or(Denied::Unauthenticated)?;
        Ok(match state.authorize_catalog(principal)? {
            Listable::All | Listable::Nothing => CatalogAccess::new(principal),
            Listable::Readable => {
                CatalogAccess::to_readable(principal, state, self.inner().clock.now_us())
            }
        })
    }

    /// Whether a principal may list the repositories of which something deleted is still kept.
    pub fn authorize_deleted_catalog(
        &self,
        principal: &Principal,
        registry: RegistryId,
    ) -> Result<(), Denied> {
        let states = self.inner().states.current();
        let state = states.get(&registry).ok_or(Denied::Unauthenticated)?;
        state.authorize_deleted_catalog(principal)
    }

    /// Whether a principal is known to a registry: what `GET /v2/` asks. A caller without credentials is not, so
    /// that clients learn where tokens are made; an anonymous token is enough.
    pub fn authorize_base(
        &self,
        principal: &Principal,
        registry: RegistryId,
    ) -> Result<(), Denied> {
        decide(principal, registry, principal.presented_credentials(), true)
    }

    /// The name of a registry, which is also its admin user's.
    pub async fn registry_name(&self, registry: RegistryId) -> Result<String, Error> {
        Ok(self.inner().states.get(registry).await?.name.clone())
    }

    /// Replaces one of the admin user's passwords by a generated one and returns it. It is kept sealed, for the management plane.
    ///
    /// Tokens given for the old password live until they expire, as in Azure; rotate the keys with
    /// [`OldTokens::Revoke`](crate::OldTokens::Revoke) to end them. Other processes refuse the old password within ten seconds.
    pub async fn regenerate(
        &self,
        registry: RegistryId,
        which: AdminPassword,
    ) -> Result<Secret, Error> {
        let password = self.generate_admin_password(registry, which)?;
        let text = password.secret().clone();
        let write = move |tx: &mut lazuli_db::Tx<'_>, now| {
            Ok(registries::put_admin_password(
                tx, registry, &password, now,
            )?)
        };
        self.store_password(registry, write).await?;
        Ok(text)
    }

    /// Replaces one of the admin user's passwords by one that a person chose. As [`Self::regenerate`].
    pub async fn set_password(
        &self,
        registry: RegistryId,
        which: AdminPassword,
        password: Secret,
    ) -> Result<(), Error> {
        let hash = install::hash_chosen(password, self.inner().options.password_iterations).await?;
        let write = move |tx: &mut lazuli_db::Tx<'_>, now| {
            Ok(store::put_admin_password(
                tx, registry, which, &hash, None, now,
            )?)
        };
        self.store_password(registry, write).await
    }

    async fn store_password(
        &self,
        registry: RegistryId,
        mut put: impl FnMut(&mut lazuli_db::Tx<'_>, i64) -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        let now = self.inner().clock.now_us();
        let write = move |tx: &mut lazuli_db::Tx<'_>| {
            if !store::registry_exists(tx, registry)? {
                return Err(Error::UnknownRegistry(registry));
            }
            put(tx, now)
        };
        self.inner().db.write(write).await?;
        self.inner().states.reload(registry).await?;
        Ok(())
    }
}
