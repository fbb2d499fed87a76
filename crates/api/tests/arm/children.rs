//! What is below a registry, and roles on it: shapes of answers.

use serde_json::{Value, json};

use crate::server::send;
use crate::shapes::{expect, golden, setup};

#[test]
fn scope_maps_tokens_and_their_passwords() {
    let (server, admin) = setup();
    let path = server.registry("rg", "myreg");
    let create = r#"{"location":"eastus","sku":{"name":"Basic"}}"#;
    assert_eq!(send(&admin, "PUT", &path, create).status, 201);
    let id = "/subscriptions/SUB/resourceGroups/rg/providers/Microsoft.ContainerRegistry/registries/myreg";
    let map = send(
        &admin,
        "PUT",
        &format!("{path}/scopeMaps/sm1"),
        r#"{"properties":{"actions":["repositories/hello/content/read","repositories/hello/metadata/read"],"description":null}}"#,
    );
    let shape = json!({
        "id": format!("{id}/scopeMaps/sm1"), "name": "sm1", "type": "Microsoft.ContainerRegistry/registries/scopeMaps",
        "systemData": {"createdAt": "TIME"},
        "properties": {
            "description": "", "type": "UserDefined", "creationDate": "TIME", "provisioningState": "Succeeded",
            "actions": ["repositories/hello/content/read", "repositories/hello/metadata/read"],
        },
    });
    expect(&server, &map, 201, shape);
    let body =
        format!(r#"{{"properties":{{"scopeMapId":"{path}/scopeMaps/sm1","status":"enabled"}}}}"#);
    let token = send(&admin, "PUT", &format!("{path}/tokens/tok1"), &body);
    let shape = |passwords: Value| {
        json!({
            "id": format!("{id}/tokens/tok1"), "name": "tok1", "type": "Microsoft.ContainerRegistry/registries/tokens",
            "systemData": {"createdAt": "TIME"},
            "properties": {
                "creationDate": "TIME", "provisioningState": "Succeeded", "scopeMapId": format!("{id}/scopeMaps/sm1"),
                "status": "enabled", "credentials": {"certificates": [], "passwords": passwords},
            },
        })
    };
    expect(&server, &token, 201, shape(json!([])));
    let never = "9999-12-31T23:59:59.9999999Z";
    let generate = |body: &str| send(&admin, "POST", &format!("{path}/generateCredentials"), body);
    let made = generate(&format!(r#"{{"tokenId":"{path}/tokens/tok1"}}"#));
    let password = |name: &str| json!({"name": name, "value": "PASSWORD", "creationTime": "TIME", "expiry": never});
    let both =
        json!({"username": "tok1", "passwords": [password("password1"), password("password2")]});
    expect(&server, &made, 200, both);
    // az reads the names, and sends back those that stay.
    let hidden = |name: &str| json!({"name": name, "creationTime": "TIME", "expiry": never});
    let read = send(&admin, "GET", &format!("{path}/tokens/tok1"), "");
    expect(
        &server,
        &read,
        200,
        shape(json!([hidden("password1"), hidden("password2")])),
    );
    let keep = r#"{"properties":{"credentials":{"passwords":[{"name":"password2"}]}}}"#;
    let kept = send(&admin, "PATCH", &format!("{path}/tokens/tok1"), keep);
    expect(&server, &kept, 200, shape(json!([hidden("password2")])));
    assert_eq!(
        send(&admin, "DELETE", &format!("{path}/tokens/tok1"), "").status,
        200
    );
    assert_eq!(
        send(&admin, "DELETE", &format!("{path}/tokens/tok1"), "").status,
        204
    );
}

#[test]
fn role_assignments_and_definitions_without_a_directory_look_up() {
    let (server, admin) = setup();
    let path = server.registry("rg", "myreg");
    assert_eq!(
        send(
            &admin,
            "PUT",
            &path,
            r#"{"location":"eastus","sku":{"name":"Basic"}}"#
        )
        .status,
        201
    );
    let auth = format!("{path}/providers/Microsoft.Authorization");
    let filter = "%24filter=roleName%20eq%20%27AcrPull%27&api-version=2022-05-01-preview";
    let found = admin.get(&format!("{auth}/roleDefinitions?{filter}"));
    let pull = "7f951dda-4ed3-4680-a7ca-43fe172d538d";
    let definition =
        format!("/subscriptions/SUB/providers/Microsoft.Authorization/roleDefinitions/{pull}");
    expect(
        &server,
        &found,
        200,
        json!({"value": [{
            "id": definition, "name": pull, "type": "Microsoft.Authorization/roleDefinitions",
            "properties": {
                "roleName": "AcrPull", "type": "BuiltInRole", "description": "acr pull", "assignableScopes": ["/"],
                "permissions": [{
                    "actions": ["Microsoft.ContainerRegistry/registries/pull/read"],
                    "notActions": [], "dataActions": [], "notDataActions": [],
                }],
                "createdOn": "TIME", "updatedOn": "TIME",
                "createdBy": null, "updatedBy": null,
            },
        }]}),
    );
    let id = "33333333-3333-3333-3333-333333333333";
    let role = found.json()["value"][0]["id"].as_str().unwrap().to_owned();
    let body = format!(
        r#"{{"properties":{{"roleDefinitionId":"{role}","principalId":"{id}","principalType":"ServicePrincipal"}}}}"#
    );
    let made = send(
        &admin,
        "PUT",
        &format!("{auth}/roleAssignments/{id}"),
        &body,
    );
    let scope = "/subscriptions/SUB/resourceGroups/rg/providers/Microsoft.ContainerRegistry/registries/myreg";
    let shape = json!({
        "id": format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{id}"), "name": "GUID",
        "type": "Microsoft.Authorization/roleAssignments",
        "properties": {
            "roleDefinitionId": definition, "principalId": "GUID", "principalType": "ServicePrincipal", "scope": scope,
            "description": null, "condition": null, "conditionVersion": null, "createdOn": "TIME", "updatedOn": "TIME",
            "createdBy": "GUID", "updatedBy": "GUID",
        },
    });
    expect(&server, &made, 201, shape.clone());
    let at = admin.get(&format!(
        "{auth}/roleAssignments?%24filter=atScope%28%29&api-version=2022-04-01"
    ));
    assert!(
        golden(&server, &at)["value"]
            .as_array()
            .unwrap()
            .contains(&shape)
    );
    expect(
        &server,
        &send(
            &admin,
            "DELETE",
            &format!("{auth}/roleAssignments/{id}"),
            "",
        ),
        200,
        shape,
    );
    assert_eq!(
        send(
            &admin,
            "DELETE",
            &format!("{auth}/roleAssignments/{id}"),
            ""
        )
        .status,
        204
    );
}
