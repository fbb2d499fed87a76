//! What a registry is told to be, beside what has a column: kept as one JSON object.

use lazuli_wire::arm::{RegistryBody, Sku};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The properties of a registry that have no column of their own. Those whose effect this server does not have yet can only be
/// at their defaults, see `Settings::missing`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Settings {
    /// `policies.trustPolicy`
    pub trust: bool,
    /// `policies.quarantinePolicy`
    pub quarantine: bool,
    /// `policies.exportPolicy`
    pub export: bool,
    /// `policies.retentionPolicy`: whether untagged manifests go, and after how many days.
    pub retention: bool,
    /// Days, 0 to 365.
    pub retention_days: i64,
    /// `policies.softDeletePolicy`
    pub soft_delete: bool,
    /// Days, 1 to 90.
    pub soft_delete_days: i64,
    /// `publicNetworkAccess`
    pub public_network: bool,
    /// `networkRuleSet.defaultAction` is `Allow`.
    pub default_allow: bool,
    /// `networkRuleSet.ipRules`
    pub ip_rules: Vec<String>,
    /// `networkRuleBypassOptions` is `AzureServices`.
    pub bypass: bool,
    /// `networkRuleBypassAllowedForTasks`
    pub bypass_for_tasks: bool,
    /// `zoneRedundancy`
    pub zones: bool,
    /// `dataEndpointEnabled`
    pub data_endpoint: bool,
    /// `regionalEndpoints`
    pub regional_endpoints: bool,
    /// `endpointProtocol` is `IPv4AndIPv6`.
    pub dual_stack: bool,
    /// `metadataSearch`
    pub metadata_search: bool,
    /// `writableCacheRepos`
    pub writable_cache: bool,
    /// The name as its maker wrote it, if it has upper-case letters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            trust: false,
            quarantine: false,
            export: true,
            retention: false,
            retention_days: 7,
            soft_delete: false,
            soft_delete_days: 7,
            public_network: true,
            default_allow: true,
            ip_rules: Vec::new(),
            bypass: true,
            bypass_for_tasks: false,
            zones: false,
            data_endpoint: false,
            regional_endpoints: false,
            dual_stack: false,
            metadata_search: false,
            writable_cache: false,
            name: None,
        }
    }
}

fn set<T: Clone>(value: &mut T, wanted: Option<&T>) {
    if let Some(wanted) = wanted {
        *value = wanted.clone();
    }
}

impl Settings {
    /// Takes over what a body says.
    pub(crate) fn merge(&mut self, body: &RegistryBody) {
        set(&mut self.trust, body.trust.as_ref());
        set(&mut self.quarantine, body.quarantine.as_ref());
        set(&mut self.export, body.export.as_ref());
        set(&mut self.retention, body.retention.as_ref());
        set(&mut self.retention_days, body.retention_days.as_ref());
        set(&mut self.soft_delete, body.soft_delete.as_ref());
        set(&mut self.soft_delete_days, body.soft_delete_days.as_ref());
        set(&mut self.public_network, body.public_network.as_ref());
        // az says so itself; others do not, and the two belong together.
        if body.public_network == Some(false) && body.default_allow.is_none() {
            self.default_allow = false;
        }
        set(&mut self.default_allow, body.default_allow.as_ref());
        set(&mut self.ip_rules, body.ip_rules.as_ref());
        set(&mut self.bypass, body.bypass.as_ref());
        set(&mut self.bypass_for_tasks, body.bypass_for_tasks.as_ref());
        set(&mut self.zones, body.zones.as_ref());
        set(&mut self.data_endpoint, body.data_endpoint.as_ref());
        set(
            &mut self.regional_endpoints,
            body.regional_endpoints.as_ref(),
        );
        set(&mut self.dual_stack, body.dual_stack.as_ref());
        set(&mut self.metadata_search, body.metadata_search.as_ref());
        set(&mut self.writable_cache, body.writable_cache.as_ref());
    }

    /// Checks what belongs together, and what the tier allows.
    pub(crate) fn check(&self, sku: Sku, anonymous_pull: bool) -> Result<()> {
        let invalid =
            |message: &str, target: &str| Err(Error::invalid("InvalidParameter", message, target));
        if !(0..=365).contains(&self.retention_days) {
            return invalid(
                "untagged manifests are kept for 0 to 365 days",
                "properties.policies.retentionPolicy.days",
            );
        }
        if !(1..=90).contains(&self.soft_delete_days) {
            return invalid(
                "what was deleted is kept for 1 to 90 days",
                "properties.policies.softDeletePolicy.retentionDays",
            );
        }
        if !self.export && self.public_network {
            return invalid(
                "exportPolicy can only be disabled while publicNetworkAccess is Disabled",
                "properties.policies.exportPolicy",
            );
        }
        if self.ip_rules.len() > 200 {
            return invalid(
                "a registry has at most 200 rules for addresses",
                "properties.networkRuleSet.ipRules",
            );
        }
        if anonymous_pull && sku == Sku::Basic {
            return not_in_tier(sku, "anonymous pull", "Standard or Premium");
        }
        let premium = [
            (self.retention, "the retention policy"),
            (self.trust, "content trust"),
            (self.data_endpoint, "dedicated data endpoints"),
            (self.regional_endpoints, "regional endpoints"),
            (!self.public_network, "private networking"),
            (
                !self.default_allow || !self.ip_rules.is_empty(),
                "network rules",
            ),
            (!self.export, "the export policy"),
        ];
        match premium.iter().find(|(is_on, _)| *is_on) {
            Some((_, feature)) if sku != Sku::Premium => not_in_tier(sku, feature, "Premium"),
            _ => Ok(()),
        }
    }

    /// Fails for what this server does not have yet: nothing is accepted that would have no effect.
    pub(crate) fn missing(&self) -> Result<()> {
        let default = Self::default();
        let features: [(bool, &'static str, &'static str); 13] = [
            (self.trust, "content trust", "policies.trustPolicy"),
            (self.quarantine, "quarantine", "policies.quarantinePolicy"),
            (
                self.retention,
                "the retention policy",
                "policies.retentionPolicy",
            ),
            (self.soft_delete, "soft delete", "policies.softDeletePolicy"),
            (
                !self.public_network || !self.export,
                "private networking",
                "publicNetworkAccess",
            ),
            (
                self.default_allow != default.default_allow || !self.ip_rules.is_empty(),
                "network rules",
                "networkRuleSet",
            ),
            (
                !self.bypass || self.bypass_for_tasks,
                "network rules",
                "networkRuleBypassOptions",
            ),
            (self.zones, "zone redundancy", "zoneRedundancy"),
            (
                self.data_endpoint,
                "dedicated data endpoints",
                "dataEndpointEnabled",
            ),
            (
                self.regional_endpoints,
                "regional endpoints",
                "regionalEndpoints",
            ),
            (
                self.dual_stack,
                "a choice of address families",
                "endpointProtocol",
            ),
            (self.metadata_search, "metadata search", "metadataSearch"),
            (
                self.writable_cache,
                "writable cache repositories",
                "writableCacheRepos",
            ),
        ];
        match features.into_iter().find(|(is_on, ..)| *is_on) {
            Some((_, feature, target)) => Err(Error::NotAvailable {
                feature,
                target: Some(target),
            }),
            None => Ok(()),
        }
    }
}

fn not_in_tier(sku: Sku, feature: &str, tiers: &str) -> Result<()> {
    let message = format!(
        "{feature} is not part of the {} SKU. Use the SKU {tiers}.",
        sku.as_str()
    );
    Err(Error::invalid("SkuNotSupported", message, "sku.name"))
}

/// What a body asks for beyond the settings that this server does not have yet.
pub(crate) fn missing_in(body: &RegistryBody) -> Result<()> {
    let features: [(bool, &'static str, &'static str); 4] = [
        (
            body.identity
                .as_ref()
                .is_some_and(|identity| identity.is_wanted),
            "managed identities of registries",
            "identity",
        ),
        (
            body.encryption == Some(true),
            "encryption with keys of customers",
            "encryption",
        ),
        (
            body.hashed_name == Some(true),
            "generated domain name labels",
            "autoGeneratedDomainNameLabelScope",
        ),
        (
            body.network_rules == Some(true),
            "rules for virtual networks",
            "networkRuleSet.virtualNetworkRules",
        ),
    ];
    match features.into_iter().find(|(is_on, ..)| *is_on) {
        Some((_, feature, target)) => Err(Error::NotAvailable {
            feature,
            target: Some(target),
        }),
        None => Ok(()),
    }
}
