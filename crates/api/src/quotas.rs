//! Requests a minute by kind, of a registry and of one identity in it: as Azure Container Registry limits them, so that
//! clients meet here what they meet there. Off unless configured.

use lazuli_wire::oci::{Permission, Route};

use crate::limits::{Rate, TryLater};
use crate::rate::{Caller, RateLimiter};

/// Requests a minute of one kind; `None` for no bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quota {
    /// Of all callers of a registry together.
    pub registry: Option<u32>,
    /// Of one identity; of one address, if anonymous.
    pub identity: Option<u32>,
}

impl Quota {
    const fn of(registry: u32, identity: u32) -> Self {
        Self {
            registry: Some(registry),
            identity: Some(identity),
        }
    }
}

/// What counts as what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quotas {
    /// GET and HEAD.
    pub read: Quota,
    /// PUT, PATCH, POST.
    pub write: Quota,
    /// DELETE.
    pub delete: Quota,
    /// Lists of referrers, which count as reads too.
    pub referrers: Quota,
    /// Tokens asked for. Whose they are is not known before: only the registry's bound counts.
    pub token: Quota,
}

impl Quotas {
    /// Those of the tiers Basic and Standard.
    pub const STANDARD: Self = Self {
        read: Quota::of(10_000, 5_000),
        write: Quota::of(2_000, 1_000),
        delete: Quota::of(1_000, 500),
        referrers: Quota::of(500, 250),
        token: Quota {
            registry: Some(10_000),
            identity: None,
        },
    };

    /// Those of the tier Premium.
    pub const PREMIUM: Self = Self {
        read: Quota::of(20_000, 10_000),
        write: Quota::of(4_000, 2_000),
        delete: Quota::of(4_000, 2_000),
        referrers: Quota::of(2_000, 1_000),
        token: Quota {
            registry: Some(20_000),
            identity: None,
        },
    };
}

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Read,
    Write,
    Delete,
    Referrers,
    Token,
}

impl Kind {
    /// What a request counts as: once, or twice.
    pub(crate) fn of(route: &Route, permission: Permission) -> &'static [Self] {
        match route {
            Route::Referrers { .. } => &[Self::Referrers, Self::Read],
            _ => Self::of_permission(permission),
        }
    }

    /// What a request counts as that needs this permission.
    pub(crate) fn of_permission(permission: Permission) -> &'static [Self] {
        match permission {
            Permission::Delete => &[Self::Delete],
            Permission::Push | Permission::MetadataWrite | Permission::DeletedRestore => {
                &[Self::Write]
            }
            Permission::Authenticated
            | Permission::Catalog
            | Permission::DeletedCatalog
            | Permission::DeletedRead
            | Permission::MetadataRead
            | Permission::Pull => &[Self::Read],
        }
    }
}

/// The buckets of all kinds.
#[derive(Debug)]
pub(crate) struct QuotaLimiter {
    kinds: [Bounds; 5],
}

#[derive(Debug)]
struct Bounds {
    registry: Option<RateLimiter>,
    identity: Option<RateLimiter>,
}

impl Bounds {
    fn new(quota: Quota) -> Self {
        let bucket = |per_minute: u32| {
            let burst = f64::from(per_minute.max(1));
            RateLimiter::new(Rate {
                per_second: burst / 60.0,
                burst,
            })
        };
        Self {
            registry: quota.registry.map(bucket),
            identity: quota.identity.map(bucket),
        }
    }
}

impl QuotaLimiter {
    /// `None`: nothing is bounded.
    pub(crate) fn new(quotas: Quotas) -> Option<Self> {
        let Quotas {
            read,
            write,
            delete,
            referrers,
            token,
        } = quotas;
        (quotas != Quotas::default()).then(|| Self {
            kinds: [read, write, delete, referrers, token].map(Bounds::new),
        })
    }

    /// Counts a request of that kind. `caller`: `None` where it is not known.
    pub(crate) fn take(
        &self,
        kind: Kind,
        registry: i64,
        caller: Option<Caller<'_>>,
    ) -> Result<(), TryLater> {
        let bounds = &self.kinds[kind as usize];
        // One's own first: who is over it must not use up what is everybody's.
        if let (Some(identity), Some(caller)) = (&bounds.identity, caller) {
            identity.take(caller)?;
        }
        match &bounds.registry {
            Some(all) => all.take(Caller::Registry(registry)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn nothing_is_bounded_unless_asked_for() {
        assert!(QuotaLimiter::new(Quotas::default()).is_none());
    }

    #[tokio::test]
    async fn one_identity_has_its_part_and_all_together_theirs() {
        let quotas = Quotas {
            write: Quota::of(5, 3),
            ..Quotas::default()
        };
        let limiter = QuotaLimiter::new(quotas).unwrap();
        let caller = |name: &'static str| Some(Caller::Identity(1, name));
        for _ in 0..3 {
            limiter.take(Kind::Write, 1, caller("a")).unwrap();
        }
        let refused = limiter.take(Kind::Write, 1, caller("a")).unwrap_err();
        assert_eq!(refused.after, 20, "three a minute");
        for _ in 0..2 {
            limiter.take(Kind::Write, 1, caller("b")).unwrap();
        }
        // Now the registry's five are used up; other registries and kinds have theirs.
        assert!(limiter.take(Kind::Write, 1, caller("c")).is_err());
        assert!(limiter.take(Kind::Write, 2, caller("c")).is_ok());
        assert!(limiter.take(Kind::Read, 1, caller("a")).is_ok());
    }

    #[test]
    fn a_request_counts_as_what_it_is() {
        let kinds = |method: http::Method, path: &str| {
            let route = Route::parse(&method, path).unwrap();
            let permission = route.permission(&method).unwrap();
            Kind::of(&route, permission).to_vec()
        };
        let digest = format!("sha256:{}", "a".repeat(64));
        use http::Method;
        assert_eq!(kinds(Method::GET, "/v2/a/tags/list"), [Kind::Read]);
        assert_eq!(kinds(Method::HEAD, "/v2/a/manifests/v1"), [Kind::Read]);
        assert_eq!(kinds(Method::PUT, "/v2/a/manifests/v1"), [Kind::Write]);
        assert_eq!(kinds(Method::POST, "/v2/a/blobs/uploads/"), [Kind::Write]);
        assert_eq!(kinds(Method::DELETE, "/v2/a/manifests/v1"), [Kind::Delete]);
        let referrers = kinds(Method::GET, &format!("/v2/a/referrers/{digest}"));
        assert_eq!(referrers, [Kind::Referrers, Kind::Read]);
    }
}
