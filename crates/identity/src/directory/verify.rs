//! Tokens of a directory, on their way in.

use std::sync::Arc;

use lazuli_wire::Guid;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};

use super::caller::{Audience, Caller, CallerKind, Inner};
use super::object::ObjectKind;
use super::state::{DirectoryState, STALE_AFTER, UNKNOWN_KEY_RELOAD};
use super::{Directory, store};
use crate::identity::{AuthError, Identity};
use crate::jwt;
use crate::tokens::SKEW;

const SKEW_US: i64 = SKEW * 1_000_000;

/// Claims of our access tokens, named as Entra's of version 1.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AccessClaims {
    pub(crate) aud: String,
    pub(crate) iss: String,
    /// Seconds since the Unix epoch, as the next two.
    pub(crate) iat: i64,
    pub(crate) nbf: i64,
    pub(crate) exp: i64,
    pub(crate) appid: Option<Guid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) appidacr: Option<String>,
    /// `user` or `app`
    pub(crate) idtyp: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    pub(crate) oid: Guid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scp: Option<String>,
    pub(crate) sub: Guid,
    pub(crate) tid: Guid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unique_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) upn: Option<String>,
    pub(crate) uti: String,
    pub(crate) ver: String,
    /// When it was made, to the microsecond: whether before or after sessions were ended.
    pub(crate) lz_iat: i64,
}

/// Bytes the cache may hold.
const CAPACITY: u64 = 4 * 1024 * 1024;

/// What an entry costs besides the text.
const ENTRY_OVERHEAD: usize = 512;

struct Verified {
    audience: Audience,
    /// Of the [`DirectoryState`]: whatever changes in the directory makes it differ.
    generation: i64,
    /// Microseconds.
    until: i64,
    caller: Caller,
}

#[derive(Clone)]
struct Weight;

impl Weighter<Box<str>, Arc<Verified>> for Weight {
    fn weight(&self, token: &Box<str>, _: &Arc<Verified>) -> u64 {
        (token.len() + ENTRY_OVERHEAD) as u64
    }
}

/// Tokens that were verified, by their text. Only good ones get in, so nobody can flood it for free.
pub(crate) struct VerifiedTokens(Cache<Box<str>, Arc<Verified>, Weight>);

impl VerifiedTokens {
    pub(crate) fn new() -> Self {
        Self(Cache::with_weighter(1024, CAPACITY, Weight))
    }
}

impl Identity {
    /// Whose token of a directory this is: of the embedded one, or of a trusted one.
    ///
    /// Refused: what is not meant for `audience`, is not valid now, names an object that is disabled or gone, or was made
    /// before that object's sessions were ended. Changes by other processes are noticed within ten seconds.
    pub async fn verify_directory_token(
        &self,
        token: &str,
        audience: Audience,
    ) -> Result<Caller, AuthError> {
        let directory = &self.inner().directory;
        if let Some(caller) = directory.remembered(token, audience) {
            return Ok(caller);
        }
        let state = directory.state().await?;
        let (caller, until) = directory.verify(&state, token, audience).await?;
        let verified = Verified {
            audience,
            generation: state.generation,
            until,
            caller: caller.clone(),
        };
        directory
            .verified
            .0
            .insert(token.into(), Arc::new(verified));
        Ok(caller)
    }

    /// As [`Self::verify_directory_token`], if the answer is known without waiting. `None` means only that the other one
    /// has to be asked.
    pub fn directory_token_cached(&self, token: &str, audience: Audience) -> Option<Caller> {
        self.inner().directory.remembered(token, audience)
    }
}

impl Directory {
    fn remembered(self: &Arc<Self>, token: &str, audience: Audience) -> Option<Caller> {
        let now = self.clock.now_us();
        let state = self.current.load();
        let state = state
            .as_ref()
            .filter(|state| now - state.loaded_at < STALE_AFTER)?;
        let verified = self.verified.0.get(token)?;
        let holds = verified.audience == audience
            && verified.generation == state.generation
            && now < verified.until;
        self.refresh_if_due(state, now);
        holds.then(|| verified.caller.clone())
    }

    /// The caller, and until when (microseconds) that may be relied on.
    async fn verify(
        self: &Arc<Self>,
        state: &Arc<DirectoryState>,
        token: &str,
        audience: Audience,
    ) -> Result<(Caller, i64), AuthError> {
        let mut state = Arc::clone(state);
        let mut outcome = jwt::verify(token, |kid| state.key(kid));
        if matches!(outcome, Err(jwt::Rejected::UnknownKey)) {
            // Another node may have rotated the keys.
            let since = self.clock.now_us() - UNKNOWN_KEY_RELOAD;
            state = self.load_unless_newer(since).await?;
            outcome = jwt::verify(token, |kid| state.key(kid));
        }
        let payload = match outcome {
            Ok(payload) => payload,
            // Not one of ours: of somebody trusted, perhaps.
            Err(jwt::Rejected::UnknownKey | jwt::Rejected::Header | jwt::Rejected::Segments) => {
                return self.verify_foreign(&state, token, audience).await;
            }
            Err(reason) => return Err(refused(&reason)),
        };
        let claims: AccessClaims =
            serde_json::from_slice(payload.as_bytes()).map_err(|_| refused(&"claims"))?;
        self.check(&state, claims, audience).await
    }

    async fn check(
        &self,
        state: &DirectoryState,
        claims: AccessClaims,
        audience: Audience,
    ) -> Result<(Caller, i64), AuthError> {
        let now = self.clock.now_us();
        let at = |seconds: i64| seconds.saturating_mul(1_000_000);
        if claims.tid != state.tenant || claims.aud != audience.canonical() {
            return Err(refused(&"tenant or audience"));
        }
        let until = at(claims.exp);
        if now >= until || at(claims.nbf) > now.saturating_add(SKEW_US) {
            return Err(refused(&"not valid now"));
        }
        let object = claims.oid;
        let found = self.db.read(move |tx| store::get(tx, object)).await;
        let standing = found.map_err(crate::Error::from)?;
        let standing = standing
            .filter(|found| found.enabled && claims.lz_iat >= found.sessions_valid_from)
            .ok_or_else(|| refused(&"the object is gone, disabled or signed out"))?;
        let kind = match standing.kind {
            ObjectKind::User => CallerKind::User,
            ObjectKind::ServicePrincipal => CallerKind::ServicePrincipal,
            ObjectKind::ManagedIdentity => CallerKind::ManagedIdentity,
            ObjectKind::Group | ObjectKind::Application => {
                return Err(refused(&"the kind of the object"));
            }
        };
        let caller = Caller::new(Inner {
            tenant: claims.tid,
            object,
            kind,
            application: claims.appid,
            name: claims.upn.unwrap_or(standing.display_name).into(),
            groups: Arc::default(),
            expires_at_us: until,
        });
        Ok((caller, until))
    }
}

fn refused(reason: &dyn std::fmt::Debug) -> AuthError {
    tracing::debug!(?reason, "token of a directory refused");
    AuthError::InvalidToken
}
