//! What programs prove themselves with.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{Method, Response, StatusCode};
use lazuli_identity::{Credential, CredentialKind, EXCHANGE_AUDIENCE, Federation, Object};
use lazuli_wire::Guid;
use lazuli_wire::graph::{Key, Set};
use lazuli_wire::rbac::parse_time;
use serde_json::{Map, Value};

use super::answer::{self, Refused};
use super::{Asked, shape};
use crate::body::Body;

/// Microseconds in the two years that a secret lives unless another time is asked for, as Graph's.
const TWO_YEARS: i64 = 2 * 365 * 86_400_000_000;

fn bad(text: impl Into<String>) -> Refused {
    Refused::Bad(text.into())
}

/// The certificates (DER) that a body brings along, with their names.
pub(super) fn new_keys(body: &Map<String, Value>) -> Result<Vec<(String, Vec<u8>)>, Refused> {
    let list = body.get("keyCredentials").and_then(Value::as_array);
    let mut keys = Vec::new();
    for key in list.into_iter().flatten() {
        let Some(text) = key.get("key").and_then(Value::as_str) else {
            continue;
        };
        let bare: String = text.split_ascii_whitespace().collect();
        let der = BASE64
            .decode(bare)
            .map_err(|_| bad("key of keyCredentials is a certificate in base64"))?;
        let name = key.get("displayName").and_then(Value::as_str);
        keys.push((name.unwrap_or_default().to_owned(), der));
    }
    Ok(keys)
}

/// A time as Graph has it, in microseconds.
fn time(body: &Map<String, Value>, name: &str) -> Result<Option<i64>, Refused> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => match parse_time(text) {
            Some(time) => Ok(Some(time)),
            None => Err(bad(format!(
                "{name} is a time such as 2030-01-31T12:00:00Z"
            ))),
        },
        Some(_) => Err(bad(format!(
            "{name} is a time such as 2030-01-31T12:00:00Z"
        ))),
    }
}

impl Asked<'_> {
    pub(super) async fn add_password(&self, object: &Object) -> Result<Response<Body>, Refused> {
        let nothing = Map::new();
        let asked = self.body.get("passwordCredential");
        let asked = asked.and_then(Value::as_object).unwrap_or(&nothing);
        let identity = &self.api.identity;
        let name = asked.get("displayName").and_then(Value::as_str);
        let starts = time(asked, "startDateTime")?;
        let ends = time(asked, "endDateTime")?.unwrap_or_else(|| identity.now_us() + TWO_YEARS);
        let made = identity.add_secret(
            self.may.write()?,
            object.id,
            name.unwrap_or_default(),
            starts,
            Some(ends),
        );
        let (known, secret) = made.await?;
        let mut shown = shape::password(&known);
        shown["secretText"] = Value::from(secret.expose());
        Ok(answer::json(StatusCode::OK, &shown))
    }

    pub(super) async fn remove_password(&self, object: &Object) -> Result<Response<Body>, Refused> {
        let id = self.body.get("keyId").and_then(Value::as_str);
        let id = id.and_then(|id| Guid::parse(id).ok());
        let id = id.ok_or_else(|| bad("keyId is the ID of a secret"))?;
        let identity = &self.api.identity;
        let known = identity.object_credentials(object.id).await?;
        let is_secret = |known: &Credential| known.id == id && known.kind == CredentialKind::Secret;
        if !known.iter().any(is_secret) {
            return Err(bad("No password credential found with keyId."));
        }
        identity
            .remove_credential(self.may.write()?, object.id, id)
            .await?;
        Ok(answer::done())
    }

    /// The certificates of an object become those of the body: those it names by `keyId` without a `key` stay.
    pub(super) async fn replace_keys(&self, object: &Object) -> Result<(), Refused> {
        let (identity, may) = (&self.api.identity, self.may.write()?);
        let list = self.body.get("keyCredentials").and_then(Value::as_array);
        let list = list.ok_or_else(|| bad("keyCredentials is a list"))?;
        let named: Vec<Guid> = list
            .iter()
            .filter_map(|key| Guid::parse(key.get("keyId")?.as_str()?).ok())
            .collect();
        let had = identity.object_credentials(object.id).await?;
        let had: Vec<Credential> = had
            .into_iter()
            .filter(|known| known.kind == CredentialKind::Certificate)
            .collect();
        for (name, der) in new_keys(&self.body)? {
            let is_known = had.iter().any(|known| {
                known.certificate() == Some(der.as_slice()) && named.contains(&known.id)
            });
            if !is_known {
                identity
                    .add_certificate(may, object.id, &name, &der)
                    .await?;
            }
        }
        for known in had.iter().filter(|known| !named.contains(&known.id)) {
            identity.remove_credential(may, object.id, known.id).await?;
        }
        Ok(())
    }

    async fn program(&self, key: &Key) -> Result<Object, Refused> {
        match self.find(Set::Applications, key).await {
            Ok(found) => Ok(found),
            Err(_) => self.find(Set::ServicePrincipals, key).await,
        }
    }

    fn asked_federation(&self, had: Option<&Credential>) -> Result<Federation, Refused> {
        let before = had.and_then(Credential::federation).unwrap_or_default();
        let text = |name: &str| -> Option<String> {
            let value = self.body.get(name).or_else(|| before.get(name))?;
            value.as_str().map(str::to_owned)
        };
        let need = |name: &str| {
            text(name).ok_or_else(|| bad(format!("A value is required for property '{name}'.")))
        };
        if self
            .body
            .get("claimsMatchingExpression")
            .is_some_and(|value| !value.is_null())
        {
            return Err(Refused::NotHere(
                "claimsMatchingExpression is not supported: give the exact subject.",
            ));
        }
        let audiences = self
            .body
            .get("audiences")
            .or_else(|| before.get("audiences"));
        let audiences = audiences.and_then(Value::as_array);
        let audience = match audiences.map(Vec::as_slice) {
            None | Some([]) => EXCHANGE_AUDIENCE.to_owned(),
            Some([Value::String(one)]) => one.clone(),
            Some(_) => return Err(bad("audiences has exactly one text")),
        };
        Ok(Federation {
            name: match had {
                Some(had) => had.name.clone(),
                None => need("name")?,
            },
            issuer: need("issuer")?,
            subject: need("subject")?,
            audience,
            description: text("description"),
        })
    }

    /// The federated credentials of an application: read, or another one added.
    pub(super) async fn federations(&self, key: &Key) -> Result<Response<Body>, Refused> {
        let object = self.program(key).await?;
        let identity = &self.api.identity;
        if self.method == Method::POST {
            let asked = self.asked_federation(None)?;
            let made = identity.put_federation(self.may.write()?, object.id, None, &asked);
            let shown = shape::federation(&made.await?);
            return Ok(answer::json(StatusCode::CREATED, &shown));
        }
        self.may.write()?;
        let known = identity.object_credentials(object.id).await?;
        let of_kind = known
            .iter()
            .filter(|known| known.kind == CredentialKind::Federated);
        Ok(self.page(
            "federatedIdentityCredentials",
            of_kind.map(shape::federation).collect(),
            None,
        ))
    }

    /// One federated credential: read, changed or removed.
    pub(super) async fn federation(
        &self,
        key: &Key,
        name: &str,
    ) -> Result<Response<Body>, Refused> {
        let object = self.program(key).await?;
        let (identity, may) = (&self.api.identity, self.may.write()?);
        let known = identity.object_credentials(object.id).await?;
        let id = Guid::parse(name).ok();
        let found = known.iter().find(|known| {
            known.kind == CredentialKind::Federated && (Some(known.id) == id || known.name == name)
        });
        let found = found.ok_or_else(|| Refused::NotFound(name.to_owned()))?;
        match self.method {
            Method::DELETE => {
                identity.remove_credential(may, object.id, found.id).await?;
                Ok(answer::done())
            }
            Method::PATCH => {
                let asked = self.asked_federation(Some(found))?;
                identity
                    .put_federation(may, object.id, Some(found.id), &asked)
                    .await?;
                Ok(answer::done())
            }
            _ => Ok(answer::json(StatusCode::OK, &shape::federation(found))),
        }
    }
}
