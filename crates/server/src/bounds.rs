//! The bounds on what clients may take, from the settings.

use lazuli_api::{Limits, Quota, Quotas, Rate};

use crate::config::{QuotaTier, Settings};
use crate::wire_up::to_usize;

/// The limits of the HTTP server.
pub(crate) fn limits(settings: &Settings) -> Limits {
    let limits = &settings.limits;
    let rate = f64::from(limits.requests_per_second);
    let burst = match limits.requests_burst {
        0 => rate * 2.0,
        burst => f64::from(burst),
    };
    Limits {
        max_connections: limits.max_connections as usize,
        max_header_bytes: to_usize(limits.request_header_bytes.0),
        header_timeout: limits.header_timeout.0,
        handshake_timeout: limits.handshake_timeout.0,
        keep_alive: limits.idle_timeout.0,
        body_stall: limits.body_stall_timeout.0,
        write_stall: limits.response_stall_timeout.0,
        max_manifest_bytes: limits.manifest_bytes.0,
        max_blob_bytes: limits.blob_bytes.0,
        buffered_bodies: to_usize(limits.buffered_bytes.0),
        max_uploads: limits.max_concurrent_uploads as usize,
        rate: (limits.requests_per_second > 0).then_some(Rate {
            per_second: rate,
            burst,
        }),
        quotas: quotas(settings),
        shutdown_grace: limits.shutdown_grace.0,
        ..Limits::default()
    }
}

fn quotas(settings: &Settings) -> Quotas {
    let given = &settings.quotas;
    let tier = match given.tier {
        QuotaTier::Off => Quotas::default(),
        QuotaTier::Standard => Quotas::STANDARD,
        QuotaTier::Premium => Quotas::PREMIUM,
    };
    let or = |number: u32, tier: Option<u32>| if number > 0 { Some(number) } else { tier };
    let quota = |registry: u32, identity: u32, tier: Quota| Quota {
        registry: or(registry, tier.registry),
        identity: or(identity, tier.identity),
    };
    Quotas {
        read: quota(given.read_per_registry, given.read_per_identity, tier.read),
        write: quota(
            given.write_per_registry,
            given.write_per_identity,
            tier.write,
        ),
        delete: quota(
            given.delete_per_registry,
            given.delete_per_identity,
            tier.delete,
        ),
        referrers: quota(
            given.referrers_per_registry,
            given.referrers_per_identity,
            tier.referrers,
        ),
        token: quota(given.tokens_per_registry, 0, tier.token),
    }
}
