//! What is changed of objects and groups.

use http::{Response, StatusCode};
use lazuli_identity::{DirectoryError, Object, ObjectKind, random_guid};
use lazuli_wire::Guid;
use lazuli_wire::graph::{Relation, Set};
use lazuli_wire::token::Secret;
use serde_json::{Map, Value};

use super::answer::{self, Refused};
use super::{Asked, shape};
use crate::body::Body;

/// Most members that a group is made with.
const MOST_REFERENCES: usize = 20;

/// Properties that say what is so anyway, and are ignored.
const HARMLESS: [(&str, &[Value]); 4] = [
    ("mailEnabled", &[Value::Bool(false), Value::Null]),
    ("securityEnabled", &[Value::Bool(true), Value::Null]),
    ("isAssignableToRole", &[Value::Bool(false), Value::Null]),
    ("servicePrincipalType", &[Value::Null]),
];

fn bad(text: impl Into<String>) -> Refused {
    Refused::Bad(text.into())
}

/// A property that is a text.
fn text<'b>(body: &'b Map<String, Value>, name: &str) -> Result<Option<&'b str>, Refused> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(bad(format!("{name} is a text"))),
    }
}

/// A property that is a truth.
fn truth(body: &Map<String, Value>, name: &str) -> Result<Option<bool>, Refused> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(truth)) => Ok(Some(*truth)),
        Some(_) => Err(bad(format!("{name} is true or false"))),
    }
}

/// The password in a profile.
fn password(body: &Map<String, Value>) -> Result<Option<Secret>, Refused> {
    let Some(profile) = body.get("passwordProfile").and_then(Value::as_object) else {
        return Ok(None);
    };
    for name in [
        "forceChangePasswordNextSignIn",
        "forceChangePasswordNextSignInWithMfa",
    ] {
        if truth(profile, name)? == Some(true) {
            return Err(bad(format!(
                "{name} cannot be true: nobody is asked for a new password here. Set one that the user may keep."
            )));
        }
    }
    Ok(text(profile, "password")?.map(Secret::new))
}

/// What a body says that an object keeps. `taken`: what the caller of this has read by itself.
fn attributes(
    kind: ObjectKind,
    body: &Map<String, Value>,
    taken: &[&str],
) -> Result<Map<String, Value>, Refused> {
    let mut kept = Map::new();
    for (name, value) in body {
        let is_harmless = HARMLESS
            .iter()
            .any(|(known, values)| known == name && values.contains(value));
        if name.starts_with('@') || taken.contains(&name.as_str()) || is_harmless {
            continue;
        }
        if name == "groupTypes" && value.as_array().is_some_and(Vec::is_empty) {
            continue;
        }
        if !shape::free_attributes(kind).contains(&name.as_str()) {
            return Err(bad(format!(
                "Property '{name}' is read-only, unknown, or not supported on a {kind} of this directory."
            )));
        }
        kept.insert(name.clone(), value.clone());
    }
    Ok(kept)
}

impl Asked<'_> {
    fn created(&self, object: &Object, mut shown: Map<String, Value>) -> Response<Body> {
        let context = format!(
            "{}/v1.0/$metadata#{}/$entity",
            self.graph,
            object.kind.as_str()
        );
        shown.insert("@odata.context".to_owned(), Value::from(context));
        answer::json(StatusCode::CREATED, &Value::Object(shown))
    }

    fn new_object(&self, kind: ObjectKind, name: &str, display: &str) -> Result<Object, Refused> {
        let id = random_guid().map_err(|_| Refused::Internal)?;
        let now = self.api.identity.now_us();
        let name = if name.is_empty() {
            id.to_string()
        } else {
            name.to_owned()
        };
        Ok(Object::new(id, kind, &name, display, now))
    }

    /// POST on a set.
    pub(super) async fn create(&self, set: Set) -> Result<Response<Body>, Refused> {
        let object = match set {
            Set::Users => self.create_user().await?,
            Set::Groups => self.create_group().await?,
            Set::Applications => self.create_application().await?,
            Set::ServicePrincipals => self.create_principal().await?,
        };
        let shown = self.shown(&object).await?;
        Ok(self.created(&object, shown))
    }

    async fn create_user(&self) -> Result<Object, Refused> {
        let kind = ObjectKind::User;
        let need = |name: &str| {
            text(&self.body, name)?.map(str::to_owned).ok_or_else(|| {
                bad(format!(
                    "A value is required for property '{name}' of resource 'User'."
                ))
            })
        };
        let (name, display) = (need("userPrincipalName")?, need("displayName")?);
        let secret = password(&self.body)?;
        let secret =
            secret.ok_or_else(|| bad("A password must be specified to create a new user."))?;
        let mut user = self.new_object(kind, &name, &display)?;
        let taken = [
            "userPrincipalName",
            "displayName",
            "passwordProfile",
            "accountEnabled",
        ];
        user.attributes = attributes(kind, &self.body, &taken)?;
        user.attributes
            .insert("userPrincipalName".to_owned(), Value::from(name));
        user.enabled = truth(&self.body, "accountEnabled")?.unwrap_or(true);
        let identity = &self.api.identity;
        let added = identity.add_object(self.may.write()?, user, Some(secret));
        Ok(added.await?)
    }

    async fn create_group(&self) -> Result<Object, Refused> {
        let kind = ObjectKind::Group;
        let display = text(&self.body, "displayName")?;
        let display = display.ok_or_else(|| {
            bad("A value is required for property 'displayName' of resource 'Group'.")
        })?;
        let mut group = self.new_object(kind, "", display)?;
        let taken = ["displayName", "members@odata.bind", "owners@odata.bind"];
        group.attributes = attributes(kind, &self.body, &taken)?;
        let members = self
            .body
            .get("members@odata.bind")
            .and_then(Value::as_array);
        let members: Vec<Guid> = members
            .into_iter()
            .flatten()
            .take(MOST_REFERENCES)
            .map(|url| {
                url.as_str()
                    .and_then(referred)
                    .ok_or_else(|| bad("members@odata.bind"))
            })
            .collect::<Result<_, _>>()?;
        let (identity, may) = (&self.api.identity, self.may.write()?);
        let group = identity.add_object(may, group, None).await?;
        for member in members {
            identity.add_group_member(may, group.id, member).await?;
        }
        Ok(group)
    }

    async fn create_application(&self) -> Result<Object, Refused> {
        let kind = ObjectKind::Application;
        let display = text(&self.body, "displayName")?;
        let display = display.ok_or_else(|| {
            bad("A value is required for property 'displayName' of resource 'Application'.")
        })?;
        let app_id = random_guid().map_err(|_| Refused::Internal)?;
        let mut app = self.new_object(kind, &app_id.to_string(), display)?;
        let taken = ["displayName", "keyCredentials", "passwordCredentials"];
        app.attributes = attributes(kind, &self.body, &taken)?;
        Self::check_application(&app)?;
        let (identity, may) = (&self.api.identity, self.may.write()?);
        let keys = super::credentials::new_keys(&self.body)?;
        let app = identity.add_object(may, app, None).await?;
        for (name, der) in keys {
            let added = identity.add_certificate(may, app.id, &name, &der).await;
            if let Err(error) = added {
                // Nothing is left behind of what cannot be made whole.
                let _ = identity.remove_object(may, app.id).await;
                return Err(error.into());
            }
        }
        Ok(app)
    }

    fn check_application(app: &Object) -> Result<(), Refused> {
        if app
            .text("signInAudience")
            .is_some_and(|audience| audience != "AzureADMyOrg")
        {
            return Err(bad(
                "signInAudience is AzureADMyOrg: only this directory signs in here. (az: --sign-in-audience AzureADMyOrg)",
            ));
        }
        Ok(())
    }

    async fn create_principal(&self) -> Result<Object, Refused> {
        let kind = ObjectKind::ServicePrincipal;
        let identity = &self.api.identity;
        let app_id = text(&self.body, "appId")?;
        let app_id = app_id.ok_or_else(|| {
            bad("A value is required for property 'appId' of resource 'ServicePrincipal'.")
        })?;
        let app = identity
            .object_named(ObjectKind::Application, app_id)
            .await?;
        let app = app.ok_or_else(|| {
            bad(format!(
                "The appId '{app_id}' of the service principal does not reference a valid application object."
            ))
        })?;
        if identity.object_named(kind, &app.name_key).await?.is_some() {
            return Err(Refused::Conflict(format!(
                "The service principal cannot be created, updated, or restored because the service principal name {app_id} is already in use."
            )));
        }
        let mut principal = self.new_object(kind, &app.name_key, &app.display_name)?;
        let taken = ["appId", "accountEnabled", "displayName"];
        principal.attributes = attributes(kind, &self.body, &taken)?;
        principal.enabled = truth(&self.body, "accountEnabled")?.unwrap_or(true);
        let added = identity.add_object(self.may.write()?, principal, None);
        Ok(added.await?)
    }

    /// PATCH of an object.
    pub(super) async fn change(&self, set: Set, object: Object) -> Result<Response<Body>, Refused> {
        let (identity, may) = (&self.api.identity, self.may.write()?);
        let display = text(&self.body, "displayName")?.map(str::to_owned);
        let enabled = truth(&self.body, "accountEnabled")?;
        let (mut taken, mut name, mut secret) = (vec!["displayName"], None, None);
        match set {
            Set::Users => {
                taken.extend(["accountEnabled", "userPrincipalName", "passwordProfile"]);
                name = text(&self.body, "userPrincipalName")?.map(str::to_owned);
                secret = password(&self.body)?;
            }
            Set::ServicePrincipals => taken.extend(["accountEnabled", "keyCredentials"]),
            Set::Applications => taken.push("keyCredentials"),
            Set::Groups => {}
        }
        let attributes = attributes(object.kind, &self.body, &taken)?;
        if let Some(secret) = secret {
            identity
                .set_user_password(may, object.id, Some(secret))
                .await?;
        }
        if self.body.contains_key("keyCredentials") {
            self.replace_keys(&object).await?;
        }
        let change = move |object: &mut Object| {
            if let Some(display) = &display {
                object.display_name.clone_from(display);
            }
            if let Some(enabled) = enabled {
                object.enabled = enabled;
            }
            if let Some(name) = &name {
                let value = Value::from(name.as_str());
                object
                    .attributes
                    .insert("userPrincipalName".to_owned(), value);
            }
            for (name, value) in &attributes {
                merge(&mut object.attributes, name, value);
            }
            Ok::<_, DirectoryError>(())
        };
        let changed = identity.change_object(may, object.id, change).await?;
        if changed.kind == ObjectKind::Application {
            Self::check_application(&changed)?;
        }
        Ok(answer::done())
    }

    /// DELETE of an object.
    pub(super) async fn remove(&self, object: Object) -> Result<Response<Body>, Refused> {
        if object.id == self.may.caller.object() {
            return Err(bad(
                "You cannot delete yourself: let another administrator do it.",
            ));
        }
        let identity = &self.api.identity;
        identity.remove_object(self.may.write()?, object.id).await?;
        Ok(answer::done())
    }

    /// POST on `members/$ref`.
    pub(super) async fn add_related(
        &self,
        object: &Object,
        relation: Relation,
    ) -> Result<Response<Body>, Refused> {
        only_members(object, relation)?;
        let url = text(&self.body, "@odata.id")?.and_then(referred);
        let member = url.ok_or_else(|| bad("@odata.id is the URL of an object"))?;
        let identity = &self.api.identity;
        identity
            .add_group_member(self.may.write()?, object.id, member)
            .await?;
        Ok(answer::done())
    }

    /// DELETE of `members/{id}/$ref`.
    pub(super) async fn remove_related(
        &self,
        object: &Object,
        relation: Relation,
        member: Guid,
    ) -> Result<Response<Body>, Refused> {
        only_members(object, relation)?;
        let identity = &self.api.identity;
        identity
            .remove_group_member(self.may.write()?, object.id, member)
            .await?;
        Ok(answer::done())
    }

    /// Ends all sessions of an object.
    pub(super) async fn revoke(&self, object: &Object) -> Result<Response<Body>, Refused> {
        let (identity, may) = (&self.api.identity, self.may.write()?);
        let now = identity.now_us();
        let change = move |object: &mut Object| {
            object.sessions_valid_from = now;
            Ok::<_, DirectoryError>(())
        };
        identity.change_object(may, object.id, change).await?;
        Ok(answer::json(
            StatusCode::OK,
            &serde_json::json!({ "value": true }),
        ))
    }
}

fn only_members(object: &Object, relation: Relation) -> Result<(), Refused> {
    if relation == Relation::Members && object.kind == ObjectKind::Group {
        return Ok(());
    }
    Err(Refused::NotHere(
        "Objects have no owners here: who has the role Owner at '/' manages the directory.",
    ))
}

/// The object that a URL ends with.
fn referred(url: &str) -> Option<Guid> {
    let last = url.rsplit('/').next()?;
    Guid::parse(last).ok()
}

/// Sets a property: objects in place of whole are changed where the new one says something.
fn merge(attributes: &mut Map<String, Value>, name: &str, value: &Value) {
    match (attributes.get_mut(name), value) {
        (Some(Value::Object(had)), Value::Object(new)) => {
            for (name, value) in new {
                had.insert(name.clone(), value.clone());
            }
        }
        _ => {
            attributes.insert(name.to_owned(), value.clone());
        }
    }
}
