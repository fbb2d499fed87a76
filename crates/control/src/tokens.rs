//! Tokens of registries and their passwords.

use lazuli_db::Tx;
use lazuli_identity::random_guid;
use lazuli_identity::scope_maps::GeneratedTokenPassword;
use lazuli_identity::scope_maps::store::{self, RegistryToken, TokenPassword, TokenPasswordName};
use lazuli_wire::arm::{GenerateCredentials, RegistryPath, TokenBody, check_token_name};
use lazuli_wire::arm_scope::ArmScope;
use lazuli_wire::token::{Secret, TOKEN_USERNAME};

use crate::actor::{Actor, Precondition};
use crate::control::{Control, Made};
use crate::locks::Change;
use crate::registries::{RegistryResource, require};
use crate::scope_maps::deleted;
use crate::{Error, Result, tiers};

const KIND: &str = "Microsoft.ContainerRegistry/registries/tokens";

/// A token as a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenResource {
    /// The registry it belongs to.
    pub registry: RegistryResource,
    /// The token.
    pub token: RegistryToken,
    /// The name of its scope map, as its maker wrote it.
    pub scope_map: String,
    /// What is told of its passwords.
    pub passwords: Vec<TokenPassword>,
}

/// Passwords that were made just now, told once.
#[derive(Debug, Clone)]
pub struct GeneratedCredentials {
    /// The token's name, with which it signs in.
    pub username: String,
    /// The passwords with their values, if they are new.
    pub passwords: Vec<(TokenPassword, Option<Secret>)>,
}

fn with_passwords(
    tx: &mut Tx<'_>,
    registry: RegistryResource,
    token: RegistryToken,
) -> Result<TokenResource> {
    let map = store::map(tx, registry.id, &token.scope_map)?;
    Ok(TokenResource {
        scope_map: map.map_or_else(|| token.scope_map.clone(), |map| map.name),
        passwords: store::list_passwords(tx, registry.id, &token.name)?,
        registry,
        token,
    })
}

impl Control {
    /// The tokens of a registry.
    pub async fn tokens(&self, actor: &Actor, path: &RegistryPath) -> Result<Vec<TokenResource>> {
        actor.check(&path.scope()?)?;
        let path = path.clone();
        self.read(move |tx| {
            let registry = require(tx, &path)?;
            let tokens = store::list_tokens(tx, registry.id)?;
            tokens
                .into_iter()
                .map(|token| with_passwords(tx, registry.clone(), token))
                .collect()
        })
        .await
    }

    /// A token.
    pub async fn token(
        &self,
        actor: &Actor,
        path: &RegistryPath,
        name: &str,
    ) -> Result<TokenResource> {
        actor.check(&path.child("tokens", name)?)?;
        let (path, name) = (path.clone(), name.to_owned());
        self.read(move |tx| {
            let registry = require(tx, &path)?;
            let token = store::token(tx, registry.id, &name)?;
            let token = token.ok_or_else(|| Error::no_resource(KIND, &name, &path.group.name))?;
            with_passwords(tx, registry, token)
        })
        .await
    }

    /// Makes a token, or changes it. `patch`: it has to be there. Returns whether it is new.
    pub async fn put_token(
        &self,
        actor: &Actor,
        path: &RegistryPath,
        name: &str,
        body: TokenBody,
        condition: Precondition,
        patch: bool,
    ) -> Result<(TokenResource, bool)> {
        let scope = path.child("tokens", name)?;
        if body.has_certificates {
            return Err(Error::NotAvailable {
                feature: "certificates of tokens",
                target: Some("properties.credentials.certificates"),
            });
        }
        let keep = body.passwords.as_deref().map(password_names).transpose()?;
        let object = random_guid()?;
        let (path, name) = (path.clone(), name.to_owned());
        self.change(actor, &scope, Change::Write, move |tx, now| {
            let registry = require(tx, &path)?;
            let known = store::token(tx, registry.id, &name)?;
            condition.check(known.as_ref().map(|known| known.version))?;
            if known.is_none() {
                if patch {
                    return Err(Error::no_resource(KIND, &name, &path.group.name));
                }
                check_token_name(&name)?;
                not_taken(&name, &registry)?;
                let (_, count) = tiers::counts(tx, registry.id)?;
                tiers::room(registry.sku, count, "tokens")?;
            }
            let map = match (&body.scope_map_id, &known) {
                (Some(id), _) => scope_map_of(id, &registry)?,
                (None, Some(known)) => known.scope_map.clone(),
                (None, None) => {
                    let message = "A token needs a scope map: its identifier in scopeMapId.";
                    return Err(Error::invalid(
                        "MissingParameter",
                        message,
                        "properties.scopeMapId",
                    ));
                }
            };
            let wanted = RegistryToken {
                name: known
                    .as_ref()
                    .map_or_else(|| name.clone(), |known| known.name.clone()),
                object_id: known.as_ref().map_or(object, |known| known.object_id),
                scope_map: map.to_lowercase(),
                enabled: body
                    .is_enabled
                    .or(known.as_ref().filter(|_| patch).map(|known| known.enabled))
                    .unwrap_or(true),
                version: known.as_ref().map_or(1, |known| known.version),
                created_at: known.as_ref().map_or(now, |known| known.created_at),
            };
            let (id, is_new) = (registry.id, known.is_none());
            let kept = keep_passwords(tx, &registry, &name, keep.as_deref())?;
            if known.as_ref() == Some(&wanted) && !kept {
                let token = with_passwords(tx, registry, wanted)?;
                return Ok(Made::nothing((token, false)));
            }
            store::put_token(tx, registry.id, &wanted)?;
            let stored = store::token(tx, registry.id, &name)?.unwrap_or(wanted);
            let token = with_passwords(tx, registry, stored)?;
            Ok(Made::change((token, is_new)).of(id))
        })
        .await
    }

    /// Removes a token; `false` when there is none.
    pub async fn delete_token(
        &self,
        actor: &Actor,
        path: &RegistryPath,
        name: &str,
    ) -> Result<bool> {
        let scope = path.child("tokens", name)?;
        let (path, name) = (path.clone(), name.to_owned());
        self.change(actor, &scope, Change::Delete, move |tx, _| {
            let registry = require(tx, &path)?;
            Ok(deleted(
                store::delete_token(tx, registry.id, &name)?,
                registry.id,
            ))
        })
        .await
    }

    /// Makes new passwords for a token.
    pub async fn generate_credentials(
        &self,
        actor: &Actor,
        path: &RegistryPath,
        body: GenerateCredentials,
    ) -> Result<GeneratedCredentials> {
        let which = match &body.name {
            Some(name) => password_names(std::slice::from_ref(name))?,
            None => vec![TokenPasswordName::First, TokenPasswordName::Second],
        };
        let expires_at = body.expiry.as_deref().map(time).transpose()?;
        let now = self.now();
        if expires_at.is_some_and(|at| at <= now) {
            let message = "The expiry lies in the past.";
            return Err(Error::invalid("InvalidParameter", message, "expiry"));
        }
        let mut fresh = Vec::with_capacity(which.len());
        for name in which {
            let password =
                GeneratedTokenPassword::generate().map_err(lazuli_identity::Error::from)?;
            fresh.push((name, password));
        }
        let path = path.clone();
        let scope = path.scope()?;
        self.change(actor, &scope, Change::Write, move |tx, now| {
            let registry = require(tx, &path)?;
            let name = child_of(&body.token_id, "tokens", &registry).ok_or_else(|| {
                let message = format!(
                    "'{}' is not the identifier of a token of this registry.",
                    body.token_id
                );
                Error::invalid("InvalidParameter", message, "tokenId")
            })?;
            let token = store::token(tx, registry.id, &name)?;
            let token = token.ok_or_else(|| Error::no_resource(KIND, &name, &path.group.name))?;
            for (which, password) in &fresh {
                store::put_password(
                    tx,
                    registry.id,
                    &token.name,
                    *which,
                    password,
                    expires_at,
                    now,
                )?;
            }
            let passwords = store::list_passwords(tx, registry.id, &token.name)?;
            let passwords = passwords.into_iter().map(|password| {
                let new = fresh.iter().find(|(name, _)| *name == password.name);
                (password, new.map(|(_, new)| new.secret().clone()))
            });
            let credentials = GeneratedCredentials {
                username: token.name.clone(),
                passwords: passwords.collect(),
            };
            Ok(Made::change(credentials)
                .of(registry.id)
                .detail(serde_json::json!({"token": token.name})))
        })
        .await
    }
}

/// Keeps the passwords that are named; returns whether any went.
fn keep_passwords(
    tx: &mut Tx<'_>,
    registry: &RegistryResource,
    name: &str,
    keep: Option<&[TokenPasswordName]>,
) -> Result<bool> {
    let Some(keep) = keep else {
        return Ok(false);
    };
    let known = store::list_passwords(tx, registry.id, name)?;
    let keep: Vec<_> = known
        .iter()
        .filter(|password| keep.contains(&password.name))
        .map(|password| (password.name, password.expires_at))
        .collect();
    if keep.len() == known.len() {
        return Ok(false);
    }
    store::keep_passwords(tx, registry.id, name, &keep)?;
    Ok(true)
}

/// A token signs in by its name, where the admin user and holders of registry tokens sign in too.
fn not_taken(name: &str, registry: &RegistryResource) -> Result<()> {
    if name.eq_ignore_ascii_case(TOKEN_USERNAME)
        || name.to_ascii_lowercase() == registry.login_name()
    {
        let message = format!("A token cannot be called '{name}': others sign in with this name.");
        return Err(Error::invalid("InvalidResourceName", message, "name"));
    }
    Ok(())
}

fn password_names(names: &[String]) -> Result<Vec<TokenPasswordName>> {
    let names = names.iter().map(|name| {
        TokenPasswordName::parse(name).ok_or_else(|| {
            let message =
                format!("'{name}' is not the name of a password: password1 or password2.");
            Error::invalid("InvalidParameter", message, "name")
        })
    });
    names.collect()
}

fn scope_map_of(id: &str, registry: &RegistryResource) -> Result<String> {
    child_of(id, "scopeMaps", registry).ok_or_else(|| {
        let message = format!("'{id}' is not the identifier of a scope map of this registry.");
        Error::invalid("InvalidParameter", message, "properties.scopeMapId")
    })
}

/// The name of what is directly below a registry.
fn child_of(id: &str, kind: &str, registry: &RegistryResource) -> Option<String> {
    let id = ArmScope::parse(id).ok()?;
    let below = registry.path.child(kind, id.name()).ok()?;
    (below == id).then(|| id.name().to_owned())
}

/// Microseconds since the Unix epoch, of RFC 3339; a time without a zone is UTC, as Azure's clients mean it.
fn time(text: &str) -> Result<i64> {
    let with_zone = text.parse::<jiff::Timestamp>();
    let parsed = with_zone.or_else(|_| format!("{text}Z").parse::<jiff::Timestamp>());
    parsed.map(jiff::Timestamp::as_microsecond).map_err(|_| {
        let message = format!("'{text}' is not a time such as 2030-01-31T12:00:00Z.");
        Error::invalid("InvalidParameter", message, "expiry")
    })
}
