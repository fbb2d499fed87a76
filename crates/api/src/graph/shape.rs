//! Objects of the directory, as Graph writes them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use lazuli_identity::{Credential, CredentialKind, Object, ObjectKind};
use lazuli_wire::acr::Time;
use serde_json::{Map, Value, json};

/// What of an object may be set besides its name, by kind. Kept as given.
pub(super) fn free_attributes(kind: ObjectKind) -> &'static [&'static str] {
    match kind {
        ObjectKind::User => &[
            "businessPhones",
            "city",
            "companyName",
            "country",
            "department",
            "employeeId",
            "givenName",
            "jobTitle",
            "mail",
            "mailNickname",
            "mobilePhone",
            "officeLocation",
            "onPremisesImmutableId",
            "otherMails",
            "postalCode",
            "preferredLanguage",
            "state",
            "streetAddress",
            "surname",
            "usageLocation",
            "userType",
        ],
        ObjectKind::Group => &["description", "mailNickname", "visibility"],
        ObjectKind::Application => &[
            "api",
            "appRoles",
            "description",
            "groupMembershipClaims",
            "identifierUris",
            "info",
            "isFallbackPublicClient",
            "notes",
            "optionalClaims",
            "publicClient",
            "requiredResourceAccess",
            "serviceManagementReference",
            "signInAudience",
            "spa",
            "tags",
            "web",
        ],
        ObjectKind::ServicePrincipal | ObjectKind::ManagedIdentity => &[
            "alternativeNames",
            "appRoleAssignmentRequired",
            "description",
            "homepage",
            "loginUrl",
            "notes",
            "notificationEmailAddresses",
            "preferredSingleSignOnMode",
            "replyUrls",
            "tags",
        ],
    }
}

/// The name of a kind in answers that mix them.
pub(super) const fn odata_type(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::User => "#microsoft.graph.user",
        ObjectKind::Group => "#microsoft.graph.group",
        ObjectKind::Application => "#microsoft.graph.application",
        ObjectKind::ServicePrincipal | ObjectKind::ManagedIdentity => {
            "#microsoft.graph.servicePrincipal"
        }
    }
}

fn time(micros: i64) -> Value {
    let text = Time(micros).to_string();
    Value::from(format!("{}Z", text.get(..19).unwrap_or_default()))
}

/// What everybody of the directory may know of an object. `uris`: of the application behind a service principal.
pub(super) fn names(object: &Object, uris: &[String]) -> Map<String, Value> {
    let mut shown = Map::new();
    let mut put = |name: &str, value: Value| {
        shown.insert(name.to_owned(), value);
    };
    put("id", Value::from(object.id.to_string()));
    put("displayName", Value::from(object.display_name.as_str()));
    match object.kind {
        ObjectKind::User => {
            put("userPrincipalName", Value::from(object.principal_name()));
            let mail = object.text("mail").map_or(Value::Null, Value::from);
            put("mail", mail);
        }
        ObjectKind::Group => {
            let nickname = object.text("mailNickname").map(str::to_owned);
            put("mailNickname", Value::from(nickname));
            put("securityEnabled", Value::Bool(true));
            put("mailEnabled", Value::Bool(false));
            put("groupTypes", json!([]));
        }
        ObjectKind::Application => {
            put("appId", Value::from(object.name_key.as_str()));
        }
        ObjectKind::ServicePrincipal | ObjectKind::ManagedIdentity => {
            put("appId", Value::from(object.name_key.as_str()));
            put("appDisplayName", Value::from(object.display_name.as_str()));
            let mut all = vec![object.name_key.clone()];
            all.extend_from_slice(uris);
            put("servicePrincipalNames", Value::from(all));
            let kind = if object.kind == ObjectKind::ManagedIdentity {
                "ManagedIdentity"
            } else {
                "Application"
            };
            put("servicePrincipalType", Value::from(kind));
        }
    }
    shown
}

/// Everything that may be known of an object.
pub(super) fn whole(
    object: &Object,
    uris: &[String],
    credentials: &[Credential],
    tenant: lazuli_wire::Guid,
) -> Map<String, Value> {
    let mut shown = defaults(object.kind);
    shown.extend(object.attributes.clone());
    shown.extend(names(object, uris));
    let mut put = |name: &str, value: Value| {
        shown.insert(name.to_owned(), value);
    };
    put("createdDateTime", time(object.created_at));
    match object.kind {
        ObjectKind::User => put("accountEnabled", Value::Bool(object.enabled)),
        ObjectKind::Group => {}
        ObjectKind::Application => {
            put("passwordCredentials", passwords(credentials));
            put("keyCredentials", keys(credentials));
        }
        ObjectKind::ServicePrincipal | ObjectKind::ManagedIdentity => {
            put("accountEnabled", Value::Bool(object.enabled));
            put("appOwnerOrganizationId", Value::from(tenant.to_string()));
            put("passwordCredentials", passwords(credentials));
            put("keyCredentials", keys(credentials));
        }
    }
    shown
}

fn defaults(kind: ObjectKind) -> Map<String, Value> {
    let value = match kind {
        ObjectKind::User => json!({
            "businessPhones": [], "givenName": null, "jobTitle": null, "mobilePhone": null, "officeLocation": null,
            "preferredLanguage": null, "surname": null,
        }),
        ObjectKind::Group => {
            json!({ "description": null, "visibility": null, "deletedDateTime": null })
        }
        ObjectKind::Application => json!({
            "identifierUris": [], "signInAudience": "AzureADMyOrg", "tags": [], "isFallbackPublicClient": null,
            "web": { "redirectUris": [], "homePageUrl": null, "logoutUrl": null,
                     "implicitGrantSettings": { "enableIdTokenIssuance": false, "enableAccessTokenIssuance": false } },
            "publicClient": { "redirectUris": [] }, "spa": { "redirectUris": [] },
            "api": { "acceptMappedClaims": null, "knownClientApplications": [], "oauth2PermissionScopes": [],
                     "preAuthorizedApplications": [], "requestedAccessTokenVersion": null },
            "appRoles": [], "requiredResourceAccess": [], "optionalClaims": null, "deletedDateTime": null,
            "description": null, "notes": null,
        }),
        ObjectKind::ServicePrincipal | ObjectKind::ManagedIdentity => json!({
            "alternativeNames": [], "appRoleAssignmentRequired": false, "appRoles": [], "oauth2PermissionScopes": [],
            "replyUrls": [], "tags": [], "notes": null, "description": null, "homepage": null, "deletedDateTime": null,
            "signInAudience": "AzureADMyOrg",
        }),
    };
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// A secret, without its text.
pub(super) fn password(known: &Credential) -> Value {
    json!({
        "customKeyIdentifier": null,
        "displayName": known.name,
        "endDateTime": known.expires_at.map(time),
        "hint": known.hint,
        "keyId": known.id,
        "secretText": null,
        "startDateTime": time(known.starts_at),
    })
}

fn passwords(credentials: &[Credential]) -> Value {
    let of_kind = credentials
        .iter()
        .filter(|known| known.kind == CredentialKind::Secret);
    of_kind.map(password).collect()
}

fn keys(credentials: &[Credential]) -> Value {
    let of_kind = credentials
        .iter()
        .filter(|known| known.kind == CredentialKind::Certificate);
    of_kind
        .map(|known| {
            json!({
                "customKeyIdentifier": known.hint,
                "displayName": known.name,
                "endDateTime": known.expires_at.map(time),
                "key": known.certificate().map(|der| BASE64.encode(der)),
                "keyId": known.id,
                "startDateTime": time(known.starts_at),
                "type": "AsymmetricX509Cert",
                "usage": "Verify",
            })
        })
        .collect()
}

/// A federated credential.
pub(super) fn federation(known: &Credential) -> Value {
    let mut shown = known.federation().unwrap_or_default();
    shown.insert("id".to_owned(), Value::from(known.id.to_string()));
    shown.insert("name".to_owned(), Value::from(known.name.as_str()));
    Value::Object(shown)
}
