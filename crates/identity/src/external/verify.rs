//! Whose tokens of others these are.

use std::sync::Arc;

use lazuli_db::Tx;
use lazuli_wire::Guid;
use lazuli_wire::entra::{Resource, WellKnown};
use serde_json::Value;

use super::fetch::Source;
use super::{Claims, Foreign, IssuerKind, TrustedIssuer, store};
use crate::directory::state::DirectoryState;
use crate::directory::{self, Audience, Caller, CallerKind, CallerParts, Directory, ObjectKind};
use crate::error::Error;
use crate::identity::AuthError;

/// The longest life of a token (microseconds): with continuous access evaluation Entra's live up to 28 hours.
const LONGEST: i64 = 29 * 3_600_000_000;

/// Most groups of a token that are looked at: Entra writes 200.
const MOST_GROUPS: usize = 1024;

fn refused(reason: &dyn std::fmt::Debug) -> AuthError {
    tracing::debug!(?reason, "token of another issuer refused");
    AuthError::InvalidToken
}

impl TrustedIssuer {
    /// The `iss` of Entra's version 1.
    fn v1_issuer(&self) -> String {
        let configured = self.rules.get("v1_issuer").and_then(Value::as_str);
        configured.map_or_else(
            || format!("https://sts.windows.net/{}/", self.tenant),
            str::to_owned,
        )
    }

    /// Where the keys are for tokens with this `iss`, if it is one of this issuer's.
    fn source(&self, iss: &str) -> Option<Source> {
        let document = |base: &str| {
            format!(
                "{}/.well-known/openid-configuration",
                base.trim_end_matches('/')
            )
        };
        let document = if iss == self.issuer {
            document(&self.issuer)
        } else if self.kind == IssuerKind::Entra && iss == self.v1_issuer() {
            document(self.issuer.trim_end_matches("/v2.0"))
        } else {
            return None;
        };
        Some(Source {
            document,
            issuer: iss.to_owned(),
            private: self.rules.get("private") == Some(&Value::Bool(true)),
            named: true,
        })
    }

    /// Whether a token for one of these is meant for us, and for this part of us. Tokens that Microsoft's services take count
    /// for the same service here only, and nothing but Graph's own audience for the directory.
    fn is_meant(&self, audiences: &[String], wanted: Audience) -> bool {
        audiences.iter().any(|given| {
            let is_ours = self.audiences.iter().any(|own| own == given);
            let known = Resource::parse(given).and_then(|resource| resource.well_known());
            let is_part = match known {
                Some(WellKnown::Management) => wanted == Audience::Management,
                Some(WellKnown::Registry) => wanted == Audience::Registry,
                Some(WellKnown::Graph) => wanted == Audience::Graph,
                None => wanted != Audience::Graph,
            };
            is_ours && is_part
        })
    }
}

impl Directory {
    /// The verified claims of a token by a source.
    pub(crate) async fn claims_by(&self, token: &Foreign<'_>, source: &Source) -> Option<Claims> {
        let (kid, algorithm) = (token.kid.as_deref(), token.algorithm);
        let keys = self
            .issuer_keys
            .of(source, self.clock.now_us(), |key| {
                key.is_for(kid, algorithm)
            })
            .await;
        // Without a name any key may be it; there are few.
        keys.iter()
            .take(16)
            .find_map(|key| token.verify(&key.key).ok())
    }

    /// The source of an issuer that a federated credential names: what the operator said of it counts.
    pub(crate) fn federation_source(state: &DirectoryState, issuer: &str) -> Source {
        let trusted = state.issuers.iter().filter(|known| known.enabled);
        let mut found = trusted.filter_map(|known| known.source(issuer));
        found.next().unwrap_or_else(|| Source {
            document: format!(
                "{}/.well-known/openid-configuration",
                issuer.trim_end_matches('/')
            ),
            issuer: issuer.to_owned(),
            private: false,
            named: false,
        })
    }

    /// The caller that a token of another issuer proves, and until when (microseconds).
    pub(crate) async fn verify_foreign(
        self: &Arc<Self>,
        state: &DirectoryState,
        token: &str,
        audience: Audience,
    ) -> Result<(Caller, i64), AuthError> {
        let foreign = Foreign::parse(token).map_err(|reason| refused(&reason))?;
        let iss = foreign
            .claimed_issuer()
            .ok_or_else(|| refused(&"no issuer"))?;
        let mut trusted = state.issuers.iter().filter(|known| known.enabled);
        let found = trusted.find_map(|known| Some((known, known.source(&iss)?)));
        let (issuer, source) = found.ok_or_else(|| refused(&"nobody trusts the issuer"))?;
        let claims = self.claims_by(&foreign, &source).await;
        let claims = claims.ok_or_else(|| refused(&"the signature"))?;
        let until = claims.good_until(self.clock.now_us(), LONGEST);
        let until = until.map_err(|reason| refused(&reason))?;
        if claims.text("iss") != Some(&iss) || !issuer.is_meant(&claims.audiences(), audience) {
            return Err(refused(&"the audience"));
        }
        let caller = match issuer.kind {
            IssuerKind::Entra => self.entra_caller(state, issuer, &claims, until).await?,
            IssuerKind::Oidc => self.oidc_caller(state, issuer, &claims, until).await?,
        };
        Ok((caller, until))
    }

    /// Whom Entra's token is of: tenant and object, never a name that its owner may change.
    async fn entra_caller(
        &self,
        state: &DirectoryState,
        issuer: &TrustedIssuer,
        claims: &Claims,
        until: i64,
    ) -> Result<Caller, AuthError> {
        let guid = |name: &str| claims.text(name).and_then(|text| Guid::parse(text).ok());
        let (Some(tenant), Some(object)) = (guid("tid"), guid("oid")) else {
            return Err(refused(&"tid or oid"));
        };
        if tenant != issuer.tenant || tenant == state.tenant {
            return Err(refused(&"the tenant"));
        }
        let name = [
            "preferred_username",
            "upn",
            "unique_name",
            "app_displayname",
            "name",
        ]
        .iter()
        .find_map(|name| claims.text(name))
        .unwrap_or("external");
        let name: String = name.chars().filter(|c| !c.is_control()).take(256).collect();
        let kind = if claims.text("idtyp") == Some("app") {
            "service_principal"
        } else {
            "user"
        };
        self.bind(object, tenant, kind, &name).await?;
        Ok(Caller::new(CallerParts {
            tenant,
            object,
            kind: CallerKind::External,
            application: guid("azp").or_else(|| guid("appid")),
            name: name.into(),
            groups: groups(claims).into(),
            expires_at_us: until,
        }))
    }

    /// Binds an object to the tenant that named it first. One of this directory is nobody else's.
    async fn bind(
        &self,
        object: Guid,
        tenant: Guid,
        kind: &'static str,
        name: &str,
    ) -> Result<(), AuthError> {
        let look = move |tx: &mut Tx<'_>| {
            let is_own = directory::store::get(tx, object)?.is_some();
            Ok::<_, lazuli_db::Error>((is_own, store::tenant_of(tx, object)?))
        };
        let (is_own, bound) = self.db.read(look).await.map_err(Error::from)?;
        let bound = match bound {
            Some(bound) => bound,
            None if is_own => String::new(),
            None => {
                let (name, now) = (name.to_owned(), self.clock.now_us());
                let write = move |tx: &mut Tx<'_>| {
                    store::bind(tx, object, tenant, kind, &name, now)?;
                    store::tenant_of(tx, object)
                };
                let bound = self.db.write(write).await.map_err(Error::from)?;
                bound.unwrap_or_default()
            }
        };
        if is_own || bound != tenant.to_string() {
            return Err(refused(&"the object is of another tenant"));
        }
        Ok(())
    }

    /// Whom of this directory a token of an issuer stands for, by the issuer's rules.
    async fn oidc_caller(
        &self,
        state: &DirectoryState,
        issuer: &TrustedIssuer,
        claims: &Claims,
        until: i64,
    ) -> Result<Caller, AuthError> {
        let subjects = issuer.rules.get("subjects").and_then(Value::as_array);
        let rule = subjects.into_iter().flatten().find(|rule| {
            let wanted = rule.get("claims").and_then(Value::as_object);
            wanted.is_some_and(|wanted| {
                !wanted.is_empty()
                    && wanted
                        .iter()
                        .all(|(name, value)| claims.get(name) == Some(value))
            })
        });
        let object = rule.and_then(|rule| rule.get("object")?.as_str());
        let object = object.and_then(|id| Guid::parse(id).ok());
        let object = object.ok_or_else(|| refused(&"no rule fits the claims"))?;
        let found = self
            .db
            .read(move |tx| directory::store::get(tx, object))
            .await;
        let found = found.map_err(Error::from)?.filter(|object| object.enabled);
        let found = found.ok_or_else(|| refused(&"the rule's object is gone or disabled"))?;
        let kind = match found.kind {
            ObjectKind::ServicePrincipal => CallerKind::ServicePrincipal,
            ObjectKind::ManagedIdentity => CallerKind::ManagedIdentity,
            _ => return Err(refused(&"the rule's object is no program")),
        };
        Ok(Caller::new(CallerParts {
            tenant: state.tenant,
            object,
            kind,
            application: found.app_id(),
            name: found.display_name.into(),
            groups: Arc::default(),
            expires_at_us: until,
        }))
    }
}

/// The groups a token names. When it says that there are more than it holds, none count: whoever is in too many groups has no
/// rights by them.
fn groups(claims: &Claims) -> Vec<Guid> {
    let in_names = claims
        .get("_claim_names")
        .and_then(|names| names.get("groups"));
    if in_names.is_some()
        || claims
            .get("hasgroups")
            .is_some_and(|value| *value != Value::Bool(false))
    {
        return Vec::new();
    }
    let list = claims.get("groups").and_then(Value::as_array);
    let list = list.into_iter().flatten().take(MOST_GROUPS);
    list.filter_map(|id| Guid::parse(id.as_str()?).ok())
        .collect()
}
