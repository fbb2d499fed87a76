//! Requests as Azure's clients send them, and every field they read in the answers.

use lazuli_testkit::http::{Client, Response};
use serde_json::{Value, json};

use crate::server::{Server, send};

/// An answer with what differs between runs replaced by words.
pub(crate) fn golden(server: &Server, response: &Response) -> Value {
    let text = String::from_utf8(response.body.clone()).unwrap();
    let text = text.replace(&server.installed.subscription.id.to_string(), "SUB");
    let text = text.replace(&server.installed.subscription.tenant.to_string(), "TENANT");
    let text = text.replace(&server.address.to_string(), "HOST");
    let mut value = serde_json::from_str(&text).unwrap_or(Value::Null);
    generalize(&mut value);
    value
}

fn generalize(value: &mut Value) {
    match value {
        Value::String(text) => {
            let is_time = text.len() == 27 && text.ends_with('Z') && text.as_bytes()[10] == b'T';
            let is_password = text.len() == 52 && text.bytes().all(|b| b.is_ascii_alphanumeric());
            let is_guid = lazuli_wire::Guid::parse(text).is_ok();
            if is_time {
                "TIME".clone_into(text);
            } else if is_password {
                "PASSWORD".clone_into(text);
            } else if is_guid && text != "7f951dda-4ed3-4680-a7ca-43fe172d538d" {
                "GUID".clone_into(text);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(generalize),
        Value::Object(fields) => fields.values_mut().for_each(generalize),
        _ => {}
    }
}

pub(crate) fn expect(server: &Server, response: &Response, status: u16, body: impl Into<Value>) {
    assert_eq!(response.status, status, "{response:?}");
    assert_eq!(golden(server, response), body.into());
    for name in ["x-ms-request-id", "x-ms-correlation-request-id"] {
        assert_eq!(response.header(name).unwrap().len(), 36, "{name}");
    }
    assert_eq!(response.header("cache-control"), Some("no-store"));
}

pub(crate) fn setup() -> (Server, Client) {
    let server = Server::start();
    let admin = server.admin();
    let made = send(
        &admin,
        "PUT",
        &server.group("rg"),
        r#"{"location":"eastus"}"#,
    );
    assert_eq!(made.status, 201);
    (server, admin)
}

#[test]
fn what_az_reads_before_and_after_it_signs_in() {
    let server = Server::start();
    let response = server
        .anonymous()
        .get("/metadata/endpoints?api-version=2022-09-01");
    let found = response.json();
    for pointer in [
        "/name",
        "/authentication/loginEndpoint",
        "/authentication/audiences/0",
        "/suffixes/acrLoginServer",
        "/resourceManager",
        "/microsoftGraphResourceId",
    ] {
        assert!(
            found.pointer(pointer).is_some_and(Value::is_string),
            "{pointer}"
        );
    }
    let admin = server.admin();
    let answer = send(&admin, "GET", "//subscriptions", "");
    expect(
        &server,
        &answer,
        200,
        json!({"value": [{
            "id": "/subscriptions/SUB", "authorizationSource": "RoleBased", "subscriptionId": "SUB", "tenantId": "TENANT",
            "displayName": "Lazuli", "state": "Enabled", "managedByTenants": [],
            "subscriptionPolicies": {
                "locationPlacementId": "Public_2014-09-01", "quotaId": "PayAsYouGo_2014-09-01", "spendingLimit": "Off",
            },
        }]}),
    );
    let answer = send(&admin, "GET", "/tenants", "");
    expect(
        &server,
        &answer,
        200,
        json!({"value": [{
            "id": "/tenants/TENANT", "tenantId": "TENANT", "displayName": "Lazuli", "defaultDomain": "lazuli.test",
            "domains": ["lazuli.test"], "tenantCategory": "Home", "tenantType": "AAD",
        }]}),
    );
    let locations = send(
        &admin,
        "GET",
        &format!("{}/locations", server.subscription()),
        "",
    )
    .json();
    let names: Vec<_> = locations["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["name"])
        .collect();
    assert!(names.contains(&&json!("eastus")) && names.contains(&&json!("local")));
}

#[test]
fn a_group_is_made_shown_and_deleted() {
    let (server, admin) = setup();
    let group = json!({
        "id": "/subscriptions/SUB/resourceGroups/rg", "name": "rg", "type": "Microsoft.Resources/resourceGroups",
        "location": "eastus", "tags": {}, "properties": {"provisioningState": "Succeeded"},
    });
    let lower = server
        .group("rg")
        .replace("resourceGroups", "resourcegroups");
    expect(&server, &send(&admin, "GET", &lower, ""), 200, group);
    assert_eq!(send(&admin, "HEAD", &lower, "").status, 204);
    assert_eq!(send(&admin, "DELETE", &lower, "").status, 200);
    assert_eq!(send(&admin, "HEAD", &lower, "").status, 404);
    expect(
        &server,
        &send(&admin, "DELETE", &lower, ""),
        404,
        json!({"error": {"code": "ResourceGroupNotFound", "message": "Resource group 'rg' could not be found."}}),
    );
}

fn registry(name: &str, sku: &str, admin: bool) -> Value {
    json!({
        "id": format!("/subscriptions/SUB/resourceGroups/rg/providers/Microsoft.ContainerRegistry/registries/{name}"),
        "name": name, "type": "Microsoft.ContainerRegistry/registries", "location": "eastus", "tags": {},
        "sku": {"name": sku, "tier": sku},
        "systemData": {"createdAt": "TIME", "createdBy": "GUID", "lastModifiedAt": "TIME", "lastModifiedBy": "GUID"},
        "properties": {
            "loginServer": format!("{name}.azurecr.lazuli.test:PORT"), "creationDate": "TIME",
            "provisioningState": "Succeeded", "adminUserEnabled": admin, "anonymousPullEnabled": false,
            "roleAssignmentMode": "LegacyRegistryPermissions",
            "policies": {
                "quarantinePolicy": {"status": "disabled"}, "trustPolicy": {"type": "Notary", "status": "disabled"},
                "retentionPolicy": {"days": 7, "lastUpdatedTime": "TIME", "status": "disabled"},
                "exportPolicy": {"status": "enabled"}, "azureADAuthenticationAsArmPolicy": {"status": "enabled"},
                "softDeletePolicy": {"retentionDays": 7, "lastUpdatedTime": "TIME", "status": "disabled"},
            },
            "networkRuleSet": {"defaultAction": "Allow", "ipRules": [], "virtualNetworkRules": []},
            "publicNetworkAccess": "Enabled", "networkRuleBypassOptions": "AzureServices",
            "networkRuleBypassAllowedForTasks": false, "zoneRedundancy": "Disabled", "encryption": {"status": "disabled"},
            "dataEndpointEnabled": false, "dataEndpointHostNames": [], "regionalEndpoints": "Disabled",
            "regionalEndpointHostNames": [], "endpointProtocol": "IPv4", "metadataSearch": "Disabled",
            "writableCacheRepos": "Disabled", "autoGeneratedDomainNameLabelScope": "Unsecure",
            "privateEndpointConnections": [],
        },
    })
}

fn with_port(server: &Server, mut value: Value) -> Value {
    let port = format!(":{}", server.address.port());
    let login = &mut value["properties"]["loginServer"];
    *login = json!(login.as_str().unwrap().replace(":PORT", &port));
    value
}

#[test]
fn a_registry_is_made_listed_changed_and_deleted() {
    let (server, admin) = setup();
    let path = server.registry("rg", "myreg");
    let create = r#"{"location":"eastus","sku":{"name":"Premium"},"tags":{},"properties":{"adminUserEnabled":true}}"#;
    let made = send(&admin, "PUT", &path, create);
    let expected = with_port(&server, registry("myreg", "Premium", true));
    expect(&server, &made, 201, expected.clone());
    assert_eq!(made.header("etag"), Some("\"1\""));
    assert_eq!(made.header("azure-asyncoperation"), None);
    expect(
        &server,
        &send(&admin, "PUT", &path, create),
        200,
        expected.clone(),
    );
    expect(
        &server,
        &send(&admin, "GET", &path, ""),
        200,
        expected.clone(),
    );
    let in_group = server.group("rg") + "/providers/Microsoft.ContainerRegistry/registries";
    expect(
        &server,
        &send(&admin, "GET", &in_group, ""),
        200,
        json!({"value": [expected]}),
    );

    // How az finds the group of a registry.
    let filter = "%24filter=resourceType%20eq%20%27Microsoft.ContainerRegistry%2Fregistries%27&api-version=2024-11-01";
    let found = admin.get(&format!("{}/resources?{filter}", server.subscription()));
    let found = golden(&server, &found);
    assert_eq!(
        found["value"][1],
        json!({
            "id": "/subscriptions/SUB/resourceGroups/rg/providers/Microsoft.ContainerRegistry/registries/myreg",
            "name": "myreg", "type": "Microsoft.ContainerRegistry/registries", "location": "eastus",
            "sku": {"name": "Premium", "tier": "Premium"}, "tags": {},
        })
    );
    // The whole registry, sent back as it was read, changes nothing.
    let read = send(&admin, "GET", &path, "");
    let back = String::from_utf8(read.body.clone()).unwrap();
    for method in ["PUT", "PATCH"] {
        let same = send(&admin, method, &path, &back);
        assert_eq!(
            (same.status, same.header("etag")),
            (200, Some("\"1\"")),
            "{same:?}"
        );
    }
    let patched = send(
        &admin,
        "PATCH",
        &path,
        r#"{"properties":{"adminUserEnabled":false}}"#,
    );
    assert_eq!(
        (patched.status, patched.header("etag")),
        (200, Some("\"2\""))
    );
    let conditional = |tag: &str| {
        let headers = [("Content-Type", "application/json"), ("If-Match", tag)];
        admin
            .send("DELETE", &format!("{path}?api-version=x"), &headers, b"")
            .status
    };
    assert_eq!(conditional("\"1\""), 412);
    assert_eq!(conditional("\"2\""), 200);
    assert_eq!(send(&admin, "DELETE", &path, "").status, 204);
    let gone = send(&admin, "GET", &path, "");
    expect(
        &server,
        &gone,
        404,
        json!({"error": {"code": "ResourceNotFound", "message":
            "The Resource 'Microsoft.ContainerRegistry/registries/myreg' under resource group 'rg' was not found."}}),
    );
}

#[test]
fn names_usages_and_credentials_of_the_admin_user() {
    let (server, admin) = setup();
    let path = server.registry("rg", "myreg");
    let create =
        r#"{"location":"eastus","sku":{"name":"Basic"},"properties":{"adminUserEnabled":true}}"#;
    assert_eq!(send(&admin, "PUT", &path, create).status, 201);
    let check = |name: &str| {
        let path =
            server.subscription() + "/providers/Microsoft.ContainerRegistry/checkNameAvailability";
        let body = format!(
            r#"{{"name":"{name}","type":"Microsoft.ContainerRegistry/registries","autoGeneratedDomainNameLabelScope":"Unsecure"}}"#
        );
        golden(&server, &send(&admin, "POST", &path, &body))
    };
    let port = server.address.port();
    assert_eq!(
        check("fresh01"),
        json!({"availableLoginServerName": format!("fresh01.azurecr.lazuli.test:{port}"), "nameAvailable": true})
    );
    assert_eq!(
        check("myreg"),
        json!({"nameAvailable": false, "reason": "AlreadyExists", "message": "The registry myreg is already in use."})
    );
    assert_eq!(check("a-b")["reason"], "Invalid");

    let usage = send(&admin, "GET", &format!("{path}/listUsages"), "");
    let entry = |name: &str, limit: i64, unit: &str| json!({"name": name, "limit": limit, "currentValue": 0, "unit": unit});
    expect(
        &server,
        &usage,
        200,
        json!({"value": [
            entry("Size", 40 << 40, "Bytes"), entry("Webhooks", 2, "Count"), entry("Geo-replications", 0, "Count"),
            entry("IPRules", 0, "Count"), entry("VNetRules", 0, "Count"), entry("PrivateEndpointConnections", 0, "Count"),
            entry("ScopeMaps", 100, "Count"), entry("Tokens", 100, "Count"),
        ]}),
    );
    let shape = json!({"username": "myreg", "passwords": [
        {"name": "password", "value": "PASSWORD"}, {"name": "password2", "value": "PASSWORD"},
    ]});
    let first = send(&admin, "POST", &format!("{path}/listCredentials"), "");
    expect(&server, &first, 200, shape.clone());
    let renewed = send(
        &admin,
        "POST",
        &format!("{path}/regenerateCredential"),
        r#"{"name":"password2"}"#,
    );
    expect(&server, &renewed, 200, shape);
    assert_ne!(first.json()["passwords"][1], renewed.json()["passwords"][1]);
}

#[test]
fn lists_have_pages() {
    let (server, admin) = setup();
    for name in ["hub01", "hub02", "hub03"] {
        let made = send(
            &admin,
            "PUT",
            &server.registry("rg", name),
            r#"{"location":"eastus","sku":{"name":"Basic"}}"#,
        );
        assert_eq!(made.status, 201);
    }
    let list = server.subscription() + "/providers/Microsoft.ContainerRegistry/registries";
    let mut next = format!("{list}?api-version=2025-11-01&$top=2");
    let mut names = Vec::new();
    loop {
        let page = admin.get(&next).json();
        let items = page["value"].as_array().unwrap();
        assert!(items.len() <= 2);
        names.extend(
            items
                .iter()
                .map(|item| item["name"].as_str().unwrap().to_owned()),
        );
        let Some(link) = page["nextLink"].as_str() else {
            break;
        };
        assert!(link.contains("api-version=2025-11-01"), "{link}");
        let path = link.find("/subscriptions").unwrap();
        next = link[path..].to_owned();
    }
    assert_eq!(names, ["hub01", "hub02", "hub03", "lazuli"]);
}
