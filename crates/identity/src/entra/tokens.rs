//! Tokens that the directory makes.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use lazuli_wire::Guid;
use lazuli_wire::entra::{Asked, Flavor};
use serde::Serialize;
use serde_json::{Value, json};

use super::refresh::{self, Renewal};
use super::{Authority, TokenAnswer};
use crate::directory::state::DirectoryState;
use crate::directory::{AccessClaims, Audience, Object, ObjectKind};
use crate::error::Error;
use crate::identity::Identity;
use crate::random;

/// How long an access token lives, in seconds.
pub(crate) const LIFE: i64 = 3600;

/// How far `nbf` lies back, in seconds, for clients whose clock is behind.
const BACKDATED: i64 = 300;

/// Claims of our ID tokens, named as Entra's of version 2.
#[derive(Serialize)]
struct IdClaims<'a> {
    aud: Guid,
    iss: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
    oid: Guid,
    preferred_username: &'a str,
    sub: Guid,
    tid: Guid,
    upn: &'a str,
    unique_name: &'a str,
    uti: &'a str,
    ver: &'static str,
}

/// For whom and what a token is made.
pub(crate) struct Order<'a> {
    pub(crate) subject: &'a Object,
    pub(crate) client: Guid,
    /// `0` nothing, `1` a secret, `2` an assertion.
    pub(crate) proof: &'static str,
    /// `None`: an ID token is all that is wanted.
    pub(crate) audience: Option<Audience>,
    pub(crate) asked: &'a Asked,
    pub(crate) nonce: Option<&'a str>,
    pub(crate) client_info: bool,
    /// Whether the client may renew it.
    pub(crate) renewable: bool,
}

/// The name of the issuer, as its documents say.
pub(crate) fn issuer(base: &str, tenant: Guid, flavor: Flavor) -> String {
    match flavor {
        Flavor::V2 => format!("{base}/{tenant}/v2.0"),
        Flavor::V1 | Flavor::Adfs => format!("{base}/{tenant}/"),
    }
}

impl Identity {
    /// Makes the tokens.
    pub(crate) async fn make_tokens(
        &self,
        at: &Authority<'_>,
        state: &DirectoryState,
        order: Order<'_>,
    ) -> Result<TokenAnswer, Error> {
        let now_us = self.inner().clock.now_us();
        let now = now_us.div_euclid(1_000_000);
        let is_user = order.subject.kind == ObjectKind::User;
        let uti = BASE64.encode(random::bytes::<16>()?);
        let name = order.subject.principal_name();
        let (nbf, exp) = (now - BACKDATED, now + LIFE);
        let audience = order.audience.unwrap_or(Audience::Graph);
        let claims = AccessClaims {
            aud: audience.canonical().to_owned(),
            iss: issuer(at.base, state.tenant, Flavor::V1),
            iat: nbf,
            nbf,
            exp,
            appid: Some(order.client),
            appidacr: Some(order.proof.to_owned()),
            idtyp: if is_user { "user" } else { "app" }.to_owned(),
            name: is_user.then(|| order.subject.display_name.clone()),
            oid: order.subject.id,
            scp: is_user.then(|| "user_impersonation".to_owned()),
            sub: order.subject.id,
            tid: state.tenant,
            unique_name: is_user.then(|| name.to_owned()),
            upn: is_user.then(|| name.to_owned()),
            uti: uti.clone(),
            ver: "1.0".to_owned(),
            lz_iat: now_us,
        };
        let key = state.signing_key()?;
        let access_token = self.sign(Arc::clone(&key), claims).await?;
        let mut answer = TokenAnswer {
            token_type: "Bearer",
            scope: None,
            expires_in: json!(LIFE - 1),
            ext_expires_in: json!(LIFE - 1),
            expires_on: None,
            not_before: None,
            resource: None,
            access_token,
            refresh_token: None,
            id_token: None,
            client_info: None,
        };
        // Numbers in words are the first version's own; az adds them up.
        if at.flavor == Flavor::V1 {
            answer.expires_in = Value::from((LIFE - 1).to_string());
            answer.ext_expires_in = Value::from((LIFE - 1).to_string());
            answer.expires_on = Some(exp.to_string());
            answer.not_before = Some(nbf.to_string());
            let resource = order.asked.resource.as_ref();
            answer.resource = resource.map(|resource| resource.as_str().to_owned());
        }
        if !is_user {
            return Ok(answer);
        }
        answer.scope = Some(order.asked.scope.clone());
        if order.asked.openid {
            let claims = IdClaims {
                aud: order.client,
                iss: issuer(at.base, state.tenant, Flavor::V2),
                iat: nbf,
                nbf,
                exp,
                name: &order.subject.display_name,
                nonce: order.nonce,
                oid: order.subject.id,
                preferred_username: name,
                sub: order.subject.id,
                tid: state.tenant,
                upn: name,
                unique_name: name,
                uti: &uti,
                ver: "2.0",
            };
            let claims = serde_json::to_value(claims).unwrap_or_default();
            answer.id_token = Some(self.sign(key, claims).await?);
        }
        if order.client_info {
            let info = json!({ "uid": order.subject.id, "utid": state.tenant });
            answer.client_info = Some(BASE64.encode(info.to_string()));
        }
        if order.asked.offline && order.renewable {
            let renewal = Renewal {
                object: order.subject.id,
                client: order.client,
                made_at: now_us,
                expires_at: now_us + refresh::LIFE,
                scope: order.asked.scope.clone(),
            };
            answer.refresh_token = Some(refresh::seal(&self.inner().master, &renewal)?);
        }
        Ok(answer)
    }
}
