//! From proven credentials to a principal: whose they are, and what that one may do now.

use std::sync::Arc;

use lazuli_wire::Guid;
use lazuli_wire::token::Secret;

use crate::directory::{Audience, Caller, CallerKind};
use crate::error::Error;
use crate::fair::Origin;
use crate::identity::{AuthError, Identity};
use crate::log_in::LogIn;
use crate::principal::{DirectoryIdentity, Principal, Proof, Who};
use crate::rbac::cache::Owner;
use crate::scope_maps;
use crate::scope_maps::rights::TokenRights;
use crate::state::RegistryState;
use crate::tokens::{Subject, Verified};

/// For so long (microseconds) a right password of the directory is remembered.
const REMEMBERED: i64 = 60_000_000;

impl Identity {
    /// Who has this user name and password: the admin user, a token with a scope map, or somebody of the directory.
    ///
    /// The form of the name alone decides where it is looked for, so the time tells nothing about who exists.
    pub(crate) async fn sign_in_with_password(
        &self,
        state: &Arc<RegistryState>,
        from: Origin,
        user: &str,
        password: &str,
    ) -> Result<Principal, AuthError> {
        let inner = self.inner();
        let now = inner.clock.now_us();
        let policy = self.policy().await?;
        let known = inner
            .log_ins
            .remembered(state, user, password, (now, policy));
        if let Some(principal) = known {
            return Ok(principal);
        }
        let is_admin = user.eq_ignore_ascii_case(&state.name);
        if !is_admin && is_directory_name(user) {
            let caller = self.verify_directory_password(user, password, from).await?;
            return self
                .directory_principal(state, caller, Some((user, password)))
                .await;
        }
        if !is_admin && let Some(principal) = self.token_with(state, user, password, now).await? {
            return Ok(principal);
        }
        if inner.log_ins.is_refused(state, user, password) {
            return Err(AuthError::WrongPassword);
        }
        // As in the directory: further guesses for one name from one place wait longer and longer.
        let throttle = &inner.directory.throttle;
        let guessed = format!("{}/{user}", state.registry);
        if throttle.check(&guessed, from, now).is_err() {
            return Err(AuthError::TooManyAttempts);
        }
        match inner
            .log_ins
            .compare(state, from, user, password, now)
            .await?
        {
            LogIn::Accepted(principal) => {
                throttle.right(&guessed, from);
                Ok(principal)
            }
            LogIn::Refused => {
                throttle.wrong(&guessed, from, now);
                Err(AuthError::WrongPassword)
            }
            LogIn::Busy => Err(AuthError::TooManyAttempts),
        }
    }

    /// The token with a scope map that has this name and password.
    async fn token_with(
        &self,
        state: &RegistryState,
        name: &str,
        password: &str,
        now: i64,
    ) -> Result<Option<Principal>, Error> {
        if !is_token_name(name) {
            return Ok(None);
        }
        let Some(rights) = self.token_rights(state, &name.to_lowercase()).await? else {
            return Ok(None);
        };
        let good = rights.passwords.iter().find(|stored| {
            stored.expires_at.is_none_or(|at| now < at) && stored.hash.matches(password)
        });
        let Some(stored) = good.filter(|_| rights.enabled) else {
            return Ok(None);
        };
        let proof = match stored.expires_at {
            Some(expires_at) => Proof::EndingPassword { expires_at },
            None => Proof::Password,
        };
        let until = stored.expires_at.unwrap_or(i64::MAX);
        let shown = rights.name.clone();
        let principal = Principal::new(state.registry, Who::Token(rights), shown, proof);
        self.inner()
            .log_ins
            .remember(state, name, password, &principal, until);
        Ok(Some(principal))
    }

    /// A token with a scope map as it is now.
    async fn token_rights(
        &self,
        state: &RegistryState,
        key: &str,
    ) -> Result<Option<Arc<TokenRights>>, Error> {
        let policy = self.policy().await?;
        let (registry, cache) = (state.registry, &self.inner().token_rights);
        if let Some(rights) = cache.get(registry, key, policy) {
            return Ok(rights.exists.then_some(rights));
        }
        let name = key.to_owned();
        let rights = self
            .inner()
            .db
            .read(move |tx| scope_maps::rights::load(tx, registry, &name))
            .await?;
        let rights = Arc::new(rights);
        cache.insert(registry, key, Arc::clone(&rights));
        Ok(rights.exists.then_some(rights))
    }

    /// The principal of a token of this registry; `None` when its subject is gone, disabled or signed out.
    pub(crate) async fn principal_of(
        &self,
        state: &Arc<RegistryState>,
        verified: Verified,
    ) -> Result<Option<Principal>, Error> {
        if let Some(principal) = verified.known(state) {
            return Ok(Some(principal));
        }
        let who = match verified.subject {
            Subject::Anonymous | Subject::Admin => return Ok(None),
            Subject::Token { key, object } => self
                .token_rights(state, &key)
                .await?
                .filter(|rights| rights.enabled && rights.object == object)
                .map(Who::Token),
            Subject::Directory(identity) => self.directory_who(state, identity).await?,
        };
        Ok(who.map(|who| {
            let name = state.name_of(&who).to_owned();
            Principal::new(state.registry, who, name, verified.proof)
        }))
    }

    /// Somebody of a directory with their rights in a registry as they are now.
    async fn directory_who(
        &self,
        state: &RegistryState,
        identity: DirectoryIdentity,
    ) -> Result<Option<Who>, Error> {
        let loaded = self.load_rights(identity.owner.clone()).await?;
        if !loaded.in_good_standing || identity.proven_at < loaded.sessions_valid_from {
            return Ok(None);
        }
        let rights = loaded.in_registry(&state.scope(), state.mode());
        Ok(Some(Who::Directory(identity, rights)))
    }

    /// The principal of somebody whom the directory vouches for just now. `words`: the user name and password it was by.
    async fn directory_principal(
        &self,
        state: &Arc<RegistryState>,
        caller: Caller,
        words: Option<(&str, &str)>,
    ) -> Result<Principal, AuthError> {
        let now = self.inner().clock.now_us();
        let refused = || {
            if words.is_some() {
                AuthError::WrongPassword
            } else {
                AuthError::InvalidToken
            }
        };
        let identity = DirectoryIdentity {
            owner: Owner {
                tenant: caller.tenant(),
                object: caller.object(),
                external: caller.kind() == CallerKind::External,
                groups: caller.groups().into(),
            },
            application: caller.application(),
            name: caller.name().into(),
            proven_at: now,
        };
        let who = self.directory_who(state, identity).await?;
        let principal = Principal::new(
            state.registry,
            who.ok_or_else(refused)?,
            caller.name(),
            Proof::Password,
        );
        if let Some((user, password)) = words {
            let until = caller.expires_at_us().min(now.saturating_add(REMEMBERED));
            self.inner()
                .log_ins
                .remember(state, user, password, &principal, until);
        }
        Ok(principal)
    }

    /// Who has a token of a directory that is good for registries. `tenant`: the directory the client believes it is of.
    pub(crate) async fn sign_in_with_directory_token(
        &self,
        state: &Arc<RegistryState>,
        token: &Secret,
        tenant: Option<&str>,
    ) -> Result<Principal, AuthError> {
        let outcome = self
            .verify_directory_token(token.expose(), Audience::Registry)
            .await;
        let caller = match outcome {
            Err(AuthError::InvalidToken) if state.takes_arm_tokens() => {
                self.verify_directory_token(token.expose(), Audience::Management)
                    .await?
            }
            // Nobody is known where no directory is.
            Err(AuthError::Internal(Error::NoDirectory)) => return Err(AuthError::InvalidToken),
            outcome => outcome?,
        };
        if let Some(Ok(named)) = tenant.map(Guid::parse)
            && named != caller.tenant()
        {
            return Err(AuthError::InvalidToken);
        }
        self.directory_principal(state, caller, None).await
    }
}

/// Whether a user name is one of the directory: a user principal name, or the identifier of an application.
fn is_directory_name(user: &str) -> bool {
    user.contains('@') || Guid::parse(user).is_ok()
}

/// Whether a token with a scope map could have the name.
fn is_token_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
