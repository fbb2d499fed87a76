//! User name and password: compared with what is stored, remembered for a short time, bounded in cost.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use quick_cache::sync::Cache;

use crate::error::Error;
use crate::fair::{Division, FairShare, Origin};
use crate::principal::{Principal, PrincipalKind, Proof, Who};
use crate::random::{self, NoEntropy};
use crate::state::{Credential, RegistryState};

/// Slow comparisons at a time; each keeps a core busy for a good part of a second. Whoever guesses has one of the two,
/// and waits for it behind his own guesses, so that a right password from elsewhere has its turn soon.
const SLOW_COMPARISONS: Division = Division {
    all: 2,
    each: 1,
    queue: 16,
    patience: Duration::from_secs(10),
};

/// How many outcomes of either kind are remembered.
const REMEMBERED: usize = 1024;

/// The outcome of a comparison, and until when (microseconds) it may be relied on.
#[derive(Clone)]
struct Outcome {
    principal: Option<Principal>,
    until: i64,
}

/// Outcome of a log-in.
#[derive(Debug)]
pub(crate) enum LogIn {
    Accepted(Principal),
    Refused,
    /// Too many slow comparisons are under way.
    Busy,
}

type Key = [u8; 32];

/// Compares passwords.
///
/// Outcomes are remembered under an HMAC, with a key only this process has, of user, password and the generation of
/// the registry's state: a password that is replaced is not found again once the new state is loaded, and the memory
/// holds nothing from which a password could be guessed faster than from the database.
pub(crate) struct LogIns {
    key: hmac::Key,
    outcomes: Cache<Key, Outcome>,
    /// Those that were right, apart: a flood of wrong ones must not push them out.
    accepted: Cache<Key, Outcome>,
    slow: FairShare,
}

impl LogIns {
    pub(crate) fn new() -> Result<Self, NoEntropy> {
        Ok(Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &random::bytes::<32>()?),
            outcomes: Cache::new(REMEMBERED),
            accepted: Cache::new(REMEMBERED),
            slow: FairShare::new(SLOW_COMPARISONS),
        })
    }

    /// The principal of a log-in that was compared before.
    pub(crate) fn remembered(
        &self,
        state: &RegistryState,
        user: &str,
        password: &str,
        (now, policy): (i64, i64),
    ) -> Option<Principal> {
        let outcome = self.accepted.get(&self.key_of(state, user, password))?;
        outcome
            .principal
            .filter(|principal| now < outcome.until && principal.is_current(policy))
    }

    /// Remembers until when (microseconds) somebody signs in with these words.
    pub(crate) fn remember(
        &self,
        state: &RegistryState,
        user: &str,
        password: &str,
        principal: &Principal,
        until: i64,
    ) {
        let outcome = Outcome {
            principal: Some(principal.clone()),
            until,
        };
        self.accepted
            .insert(self.key_of(state, user, password), outcome);
    }

    /// Whether these very words were refused before: to send them again is no further guess.
    pub(crate) fn is_refused(&self, state: &RegistryState, user: &str, password: &str) -> bool {
        let known = self.outcomes.get(&self.key_of(state, user, password));
        known.is_some_and(|outcome| outcome.principal.is_none())
    }

    /// Compares. Several requests with the same words wait for one comparison, so that a client that opens many
    /// connections at once does not run into the limit.
    pub(crate) async fn compare(
        &self,
        state: &Arc<RegistryState>,
        from: Origin,
        user: &str,
        password: &str,
        now: i64,
    ) -> Result<LogIn, Error> {
        let key = self.key_of(state, user, password);
        if let Some(outcome) = self.accepted.get(&key)
            && now < outcome.until
            && let Some(principal) = outcome.principal
            && principal.kind() == PrincipalKind::Admin
        {
            return Ok(LogIn::Accepted(principal));
        }
        let guard = match self.outcomes.get_value_or_guard_async(&key).await {
            Ok(outcome) if now < outcome.until => {
                return Ok(outcome.principal.map_or(LogIn::Refused, LogIn::Accepted));
            }
            // Rare: a password with an end date was remembered and has ended since.
            Ok(_) => None,
            Err(guard) => Some(guard),
        };
        let Some(matched) = self.find(state, from, user, password, now).await? else {
            return Ok(LogIn::Busy);
        };
        let outcome = match &matched {
            Matched::No => Outcome {
                principal: None,
                until: i64::MAX,
            },
            Matched::Yes { until } => Outcome {
                principal: Some(Principal::new(
                    state.registry,
                    Who::Admin,
                    state.name.as_str(),
                    Proof::Password,
                )),
                until: *until,
            },
        };
        if outcome.principal.is_some() {
            self.accepted.insert(key, outcome.clone());
        }
        if let Some(guard) = guard {
            // Refused only when the entry was removed meanwhile, which costs one more comparison.
            drop(guard.insert(outcome.clone()));
        }
        Ok(outcome.principal.map_or(LogIn::Refused, LogIn::Accepted))
    }

    /// Compares with every stored password; `None` when too many slow comparisons are under way.
    ///
    /// An unknown user goes the same way as a known one with a wrong password, so that the time tells nothing.
    async fn find(
        &self,
        state: &Arc<RegistryState>,
        from: Origin,
        user: &str,
        password: &str,
        now: i64,
    ) -> Result<Option<Matched>, Error> {
        let known = user.eq_ignore_ascii_case(&state.name) && state.admin_enabled;
        let usable = |credential: &&Credential| credential.expires_at.is_none_or(|at| now < at);
        let fast = state
            .credentials
            .iter()
            .filter(usable)
            .find(|credential| !credential.hash.is_slow() && credential.hash.matches(password));
        if let Some(credential) = fast
            && known
        {
            return Ok(Some(Matched::yes(credential)));
        }
        if !state
            .credentials
            .iter()
            .any(|credential| credential.hash.is_slow())
        {
            return Ok(Some(Matched::No));
        }
        let Ok(share) = self.slow.take(from, 1).await else {
            return Ok(None);
        };
        let (state, password) = (Arc::clone(state), lazuli_wire::token::Secret::new(password));
        let matched = tokio::task::spawn_blocking(move || {
            // Held until the comparison ends, even when nobody waits for it any more.
            let _share = share;
            let mut slow = state
                .credentials
                .iter()
                .filter(|credential| credential.hash.is_slow());
            slow.find(|credential| credential.hash.matches(password.expose()))
                .filter(|credential| credential.expires_at.is_none_or(|at| now < at))
                .map_or(Matched::No, Matched::yes)
        })
        .await
        .map_err(|_| Error::ShuttingDown)?;
        Ok(Some(if known { matched } else { Matched::No }))
    }

    fn key_of(&self, state: &RegistryState, user: &str, password: &str) -> Key {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&state.generation.to_be_bytes());
        context.update(&(user.len() as u64).to_be_bytes());
        context.update(user.as_bytes());
        context.update(password.as_bytes());
        let mut key = [0; 32];
        key.copy_from_slice(context.sign().as_ref());
        key
    }
}

enum Matched {
    No,
    Yes { until: i64 },
}

impl Matched {
    fn yes(credential: &Credential) -> Self {
        Self::Yes {
            until: credential.expires_at.unwrap_or(i64::MAX),
        }
    }
}
