//! What each tier allows. The numbers are Azure's.

use lazuli_db::{Tx, params};
use lazuli_identity::RegistryId;
use lazuli_wire::arm::Sku;

use crate::{Error, Result};

/// The limits of a tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that can be stored.
    pub size: i64,
    /// Webhooks.
    pub webhooks: i64,
    /// Replications; -1: as many as there are locations.
    pub replications: i64,
    /// Rules for addresses.
    pub ip_rules: i64,
    /// Rules for virtual networks.
    pub network_rules: i64,
    /// Private endpoints.
    pub private_endpoints: i64,
    /// Scope maps, and as many tokens.
    pub scope_maps: i64,
}

const TIB: i64 = 1 << 40;

/// The limits of a tier.
pub const fn limits(sku: Sku) -> Limits {
    let basic = Limits {
        size: 40 * TIB,
        webhooks: 2,
        replications: 0,
        ip_rules: 0,
        network_rules: 0,
        private_endpoints: 0,
        scope_maps: 100,
    };
    match sku {
        Sku::Basic => basic,
        Sku::Standard => Limits {
            webhooks: 10,
            scope_maps: 500,
            ..basic
        },
        Sku::Premium => Limits {
            size: 100 * TIB,
            webhooks: 500,
            replications: -1,
            ip_rules: 200,
            network_rules: 100,
            private_endpoints: 200,
            scope_maps: 50_000,
        },
    }
}

/// How many scope maps that people made, and tokens, a registry has.
pub(crate) fn counts(tx: &mut Tx<'_>, registry: RegistryId) -> lazuli_db::Result<(i64, i64)> {
    let id = registry.get();
    let maps = tx.query_one(
        "SELECT COUNT(*) FROM scope_maps WHERE registry_id = ?1",
        params![id],
        |row| row.get_i64(0),
    )?;
    let tokens = tx.query_one(
        "SELECT COUNT(*) FROM registry_tokens WHERE registry_id = ?1",
        params![id],
        |row| row.get_i64(0),
    )?;
    Ok((maps.unwrap_or(0), tokens.unwrap_or(0)))
}

/// Fails if a registry has more than a tier allows.
pub(crate) fn fits(tx: &mut Tx<'_>, registry: RegistryId, sku: Sku) -> Result<()> {
    let (maps, tokens) = counts(tx, registry)?;
    let limit = limits(sku).scope_maps;
    for (count, what) in [(maps, "scope maps"), (tokens, "tokens")] {
        if count > limit {
            let message = format!(
                "The registry has {count} {what}, and the {} SKU allows {limit}. Delete some first.",
                sku.as_str()
            );
            return Err(Error::conflict("SkuLimitExceeded", message));
        }
    }
    Ok(())
}

/// Fails if a registry may not have one more.
pub(crate) fn room(sku: Sku, count: i64, what: &str) -> Result<()> {
    let limit = limits(sku).scope_maps;
    if count < limit {
        return Ok(());
    }
    let message = format!(
        "The {} SKU allows {limit} {what}, and the registry has as many. Delete one, or choose a larger SKU.",
        sku.as_str()
    );
    Err(Error::conflict("SkuLimitExceeded", message))
}
