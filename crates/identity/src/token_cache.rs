//! Tokens that were verified, by their text, so that a repeated token costs one look-up.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::keys::Purpose;
use crate::principal::Principal;
use crate::state::RegistryState;

/// Bytes the cache may hold: texts, and what was concluded from them.
const CAPACITY: u64 = 2 * 1024 * 1024;

/// What an entry costs besides the texts: the principal, its grants, the cache's own slot.
const ENTRY_OVERHEAD: usize = 512;

/// What was concluded from a token, and all that the conclusion rests on.
struct Verified {
    service: Box<str>,
    purpose: Purpose,
    /// Of the [`RegistryState`]: other keys, other passwords, another name make it differ.
    generation: u64,
    /// Microseconds.
    expires_at: i64,
    principal: Principal,
}

#[derive(Clone)]
struct Weight;

impl Weighter<Box<[u8]>, Arc<Verified>> for Weight {
    fn weight(&self, token: &Box<[u8]>, verified: &Arc<Verified>) -> u64 {
        (token.len() + verified.service.len() + ENTRY_OVERHEAD) as u64
    }
}

/// A bounded cache of verified tokens. Only tokens with a good signature get in, so nobody can flood it for free.
pub(crate) struct TokenCache(Cache<Box<[u8]>, Arc<Verified>, Weight>);

impl TokenCache {
    pub(crate) fn new() -> Self {
        Self(Cache::with_weighter(1024, CAPACITY, Weight))
    }

    /// The principal of a token that was verified before, if every condition still holds at a time and with a generation of the
    /// policy.
    pub(crate) fn get(
        &self,
        state: &RegistryState,
        service: &str,
        purpose: Purpose,
        token: &[u8],
        (now, policy): (i64, i64),
    ) -> Option<Principal> {
        let verified = self.0.get(token)?;
        let holds = verified.purpose == purpose
            && verified.generation == state.generation
            && now < verified.expires_at
            && verified.principal.registry() == state.registry
            && verified.principal.is_current(policy)
            && *verified.service == *service;
        holds.then(|| verified.principal.clone())
    }

    /// Remembers a verified token.
    pub(crate) fn insert(
        &self,
        state: &RegistryState,
        service: &str,
        purpose: Purpose,
        token: &[u8],
        expires_at: i64,
        principal: &Principal,
    ) {
        let verified = Verified {
            service: service.into(),
            purpose,
            generation: state.generation,
            expires_at,
            principal: principal.clone(),
        };
        self.0.insert(token.into(), Arc::new(verified));
    }

    #[cfg(test)]
    pub(crate) fn usage(&self) -> (usize, u64) {
        (self.0.len(), self.0.weight())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::principal::{Proof, RegistryId, Who};

    #[test]
    fn the_cache_is_bounded_in_bytes_whatever_the_tokens_look_like() {
        let cache = TokenCache::new();
        let state = RegistryState::with_keys(RegistryId::DEFAULT, false, &[]);
        let principal = Principal::new(RegistryId::DEFAULT, Who::Admin, "lazuli", Proof::Password);
        for length in [1000, 16_000, 10] {
            for index in 0..10_000 {
                let token = format!("{index:0length$}").into_bytes();
                cache.insert(
                    &state,
                    "service",
                    Purpose::Access,
                    &token,
                    i64::MAX,
                    &principal,
                );
            }
            let (entries, bytes) = cache.usage();
            assert!(bytes <= CAPACITY, "{bytes} bytes");
            assert!(
                entries as u64 <= CAPACITY / ENTRY_OVERHEAD as u64,
                "{entries} entries"
            );
            assert!(entries > 50, "{entries} entries");
        }
    }

    #[test]
    fn a_hit_needs_every_condition_under_which_the_token_was_verified() {
        let cache = TokenCache::new();
        let mut state = RegistryState::with_keys(RegistryId::DEFAULT, false, &[]);
        let principal = Principal::new(RegistryId::DEFAULT, Who::Admin, "lazuli", Proof::Password);
        cache.insert(
            &state,
            "service",
            Purpose::Access,
            b"token",
            100,
            &principal,
        );
        let hit = |state: &RegistryState, service, purpose, token, now| {
            cache
                .get(state, service, purpose, token, (now, 0))
                .is_some()
        };
        assert!(hit(&state, "service", Purpose::Access, b"token", 99));
        assert!(!hit(&state, "service", Purpose::Access, b"token", 100));
        assert!(!hit(&state, "servicf", Purpose::Access, b"token", 99));
        assert!(!hit(&state, "service", Purpose::Refresh, b"token", 99));
        assert!(!hit(&state, "service", Purpose::Access, b"tokem", 99));
        let other = RegistryState::with_keys(RegistryId::new(2), false, &[]);
        assert!(!hit(&other, "service", Purpose::Access, b"token", 99));
        state.generation += 1;
        assert!(!hit(&state, "service", Purpose::Access, b"token", 99));
    }
}
