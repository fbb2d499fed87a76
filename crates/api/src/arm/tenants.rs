//! Tenants, subscriptions, locations.

use lazuli_control::Subscription;
use lazuli_wire::Guid;
use serde_json::{Value, json};

use super::Task;
use super::answer::{Answer, Refused};

/// Where things can be: names that clients know. A location says nothing about this server; it is kept and shown.
const LOCATIONS: [(&str, &str); 42] = [
    ("local", "Local"),
    ("australiacentral", "Australia Central"),
    ("australiaeast", "Australia East"),
    ("australiasoutheast", "Australia Southeast"),
    ("austriaeast", "Austria East"),
    ("brazilsouth", "Brazil South"),
    ("canadacentral", "Canada Central"),
    ("canadaeast", "Canada East"),
    ("centralindia", "Central India"),
    ("centralus", "Central US"),
    ("eastasia", "East Asia"),
    ("eastus", "East US"),
    ("eastus2", "East US 2"),
    ("francecentral", "France Central"),
    ("germanywestcentral", "Germany West Central"),
    ("israelcentral", "Israel Central"),
    ("italynorth", "Italy North"),
    ("japaneast", "Japan East"),
    ("japanwest", "Japan West"),
    ("koreacentral", "Korea Central"),
    ("koreasouth", "Korea South"),
    ("mexicocentral", "Mexico Central"),
    ("newzealandnorth", "New Zealand North"),
    ("northcentralus", "North Central US"),
    ("northeurope", "North Europe"),
    ("norwayeast", "Norway East"),
    ("polandcentral", "Poland Central"),
    ("qatarcentral", "Qatar Central"),
    ("southafricanorth", "South Africa North"),
    ("southcentralus", "South Central US"),
    ("southeastasia", "Southeast Asia"),
    ("southindia", "South India"),
    ("spaincentral", "Spain Central"),
    ("swedencentral", "Sweden Central"),
    ("switzerlandnorth", "Switzerland North"),
    ("uaenorth", "UAE North"),
    ("uksouth", "UK South"),
    ("ukwest", "UK West"),
    ("westcentralus", "West Central US"),
    ("westeurope", "West Europe"),
    ("westus", "West US"),
    ("westus2", "West US 2"),
];

/// The display names, as providers tell of them.
pub(super) fn location_names() -> Vec<&'static str> {
    LOCATIONS.iter().map(|(_, display)| *display).collect()
}

/// The tenants the caller belongs to: one.
pub(super) async fn tenants(task: &Task<'_>) -> Result<Answer, Refused> {
    let tenant = task.api.identity.tenant().await;
    let tenant = tenant.map_err(lazuli_control::Error::from)?;
    let id = tenant.id.to_string();
    Ok(Answer::list(vec![json!({
        "id": format!("/tenants/{id}"),
        "tenantId": id,
        "displayName": "Lazuli",
        "defaultDomain": tenant.domain,
        "domains": [tenant.domain],
        "tenantCategory": "Home",
        "tenantType": "AAD",
    })]))
}

fn render(subscription: &Subscription) -> Value {
    let id = subscription.id.to_string();
    json!({
        "id": format!("/subscriptions/{id}"),
        "authorizationSource": "RoleBased",
        "subscriptionId": id,
        "tenantId": subscription.tenant.to_string(),
        "displayName": subscription.name,
        "state": "Enabled",
        "managedByTenants": [],
        "subscriptionPolicies": {"locationPlacementId": "Public_2014-09-01", "quotaId": "PayAsYouGo_2014-09-01", "spendingLimit": "Off"},
    })
}

pub(super) async fn subscriptions(task: &Task<'_>) -> Result<Answer, Refused> {
    let found = task.control.subscriptions(&task.caller).await?;
    Ok(Answer::list(found.iter().map(render).collect()))
}

pub(super) async fn subscription(task: &Task<'_>, id: Guid) -> Result<Answer, Refused> {
    let found = task.control.subscription(&task.caller, id).await?;
    Ok(Answer::ok(render(&found)))
}

pub(super) async fn locations(task: &Task<'_>, id: Guid) -> Result<Answer, Refused> {
    let subscription = task.control.subscription(&task.caller, id).await?;
    let items = LOCATIONS.iter().map(|(name, display)| {
        json!({
            "id": format!("/subscriptions/{}/locations/{name}", subscription.id),
            "name": name,
            "type": "Region",
            "displayName": display,
            "regionalDisplayName": display,
            "metadata": {"regionType": "Physical", "regionCategory": "Recommended"},
        })
    });
    Ok(Answer::list(items.collect()))
}
