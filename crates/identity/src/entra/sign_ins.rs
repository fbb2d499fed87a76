//! Signing in through a browser, or on another device: what is between its beginning and its tokens, as rows that are used
//! once.

mod rows;
mod typed;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use lazuli_db::params;
use lazuli_wire::Guid;
use lazuli_wire::entra::{Asked, AuthorizeRequest, Failure, Resource, ResponseMode};
use lazuli_wire::token::Secret;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use self::rows::{Polled, insert, poll, take_code, waiting};
use self::typed::{typed, user_code};
use super::{Authority, unavailable};
use crate::error::Error;
use crate::identity::Identity;
use crate::random;

/// How long a code is good, in microseconds: a browser brings it back at once.
const CODE_LIFE: i64 = 300_000_000;

/// How long there is to sign in on another device, in seconds, as Entra's.
const DEVICE_LIFE: i64 = 900;

/// Seconds between two questions of a device.
const INTERVAL: i64 = 5;

/// What is remembered of a sign-in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SignIn {
    pub(crate) client: Guid,
    pub(crate) scope: String,
    pub(crate) redirect_uri: Option<String>,
    pub(crate) nonce: Option<String>,
    pub(crate) challenge: Option<String>,
    /// Who signed in, and when (microseconds).
    pub(crate) user: Option<(Guid, i64)>,
    pub(crate) declined: bool,
    /// Version 1 asks for a resource in place of scopes.
    pub(crate) resource: Option<String>,
}

/// The answer to the beginning of a sign-in on another device (RFC 8628 §3.2).
#[derive(Clone, Serialize)]
pub struct DeviceAnswer {
    user_code: String,
    device_code: String,
    verification_uri: String,
    /// Version 1 calls it so.
    verification_url: String,
    expires_in: i64,
    interval: i64,
    message: String,
}

impl std::fmt::Debug for DeviceAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DeviceAnswer([secret])")
    }
}

/// Where a browser goes with its answer.
#[derive(Clone)]
pub struct Landing {
    /// The place.
    pub redirect_uri: String,
    /// Scheme, host and port of it.
    pub origin: String,
    /// How the answer is brought.
    pub mode: ResponseMode,
    /// The answer.
    pub fields: Vec<(&'static str, String)>,
}

impl std::fmt::Debug for Landing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Landing")
            .field("redirect_uri", &self.redirect_uri)
            .finish_non_exhaustive()
    }
}

fn hash(text: &str) -> Vec<u8> {
    digest(&SHA256, text.as_bytes()).as_ref().to_vec()
}

/// The name of what a device's typed code is counted under.
const GUESSED: &str = "\u{1}device";

impl Identity {
    async fn add_sign_in(
        &self,
        id: Vec<u8>,
        kind: &'static str,
        user_code: Option<Vec<u8>>,
        sign_in: SignIn,
        life: i64,
    ) -> Result<(), Failure> {
        let now = self.now_us();
        let added = self.inner().db.write(move |tx| {
            insert(
                tx,
                &id,
                kind,
                user_code.as_deref(),
                &sign_in,
                now,
                now + life,
            )
        });
        let added = added.await.map_err(|error| unavailable(&error.into()))?;
        if added {
            Ok(())
        } else {
            Err(Failure::Busy(30))
        }
    }

    /// POST `/{tenant}/oauth2/v2.0/devicecode`: begins a sign-in on another device.
    pub async fn begin_device_sign_in(
        &self,
        at: &Authority<'_>,
        client_id: &str,
        asked: &Asked,
    ) -> Result<DeviceAnswer, Failure> {
        self.tenant_named(at.tenant).await?;
        let state = self.inner().directory.state().await;
        let state = state.map_err(|error| unavailable(&error))?;
        let client = self.client(&state, client_id).await?;
        let client = client.ok_or_else(|| Failure::Application(client_id.to_owned()))?;
        at.audience_of(asked)?;
        let broken = |error: Error| unavailable(&error);
        let code = user_code().map_err(broken)?;
        let secret = random::bytes::<32>().map_err(|error| unavailable(&error.into()))?;
        let device_code = BASE64.encode(secret);
        let sign_in = SignIn {
            client: client.id,
            scope: asked.scope.clone(),
            redirect_uri: None,
            nonce: None,
            challenge: None,
            user: None,
            declined: false,
            resource: asked
                .resource
                .as_ref()
                .map(|known| known.as_str().to_owned()),
        };
        let (id, typed) = (hash(&device_code), hash(&code));
        self.add_sign_in(id, "device", Some(typed), sign_in, DEVICE_LIFE * 1_000_000)
            .await?;
        let page = format!("{}/devicelogin", at.base);
        Ok(DeviceAnswer {
            message: format!(
                "To sign in, use a web browser to open the page {page} and enter the code {code} to authenticate."
            ),
            user_code: code,
            device_code,
            verification_uri: page.clone(),
            verification_url: page,
            expires_in: DEVICE_LIFE,
            interval: INTERVAL,
        })
    }

    /// The program that waits for somebody to sign in with this typed code.
    pub async fn waiting_device(&self, at: &Authority<'_>, code: &str) -> Result<String, Failure> {
        let throttle = &self.inner().directory.throttle;
        let now = self.now_us();
        throttle
            .check(GUESSED, at.from, now)
            .map_err(Failure::Locked)?;
        let id = typed(code).map(|code| hash(&code));
        let found = match id {
            Some(id) => self.inner().db.read(move |tx| waiting(tx, &id, now)).await,
            None => Ok(None),
        };
        let found = found.map_err(|error| unavailable(&error.into()))?;
        let Some(sign_in) = found else {
            throttle.wrong(GUESSED, at.from, now);
            return Err(Failure::DeviceExpired);
        };
        self.application_name(sign_in.client).await
    }

    /// Signs a user in for the device that waits with this typed code, or tells it that nobody will.
    pub async fn answer_device(
        &self,
        at: &Authority<'_>,
        code: &str,
        user: Option<(&str, &Secret)>,
    ) -> Result<(), Failure> {
        self.waiting_device(at, code).await?;
        let id = hash(&typed(code).ok_or(Failure::DeviceExpired)?);
        let state = self.inner().directory.state().await;
        let state = state.map_err(|error| unavailable(&error))?;
        let signed_in = match user {
            Some((name, password)) => {
                let user = self.user_with_password(&state, at.from, name, password);
                Some((user.await?.id, self.now_us()))
            }
            None => None,
        };
        let now = self.now_us();
        let written = self.inner().db.write(move |tx| {
            let Some(mut sign_in) = waiting(tx, &id, now)? else {
                return Ok::<_, lazuli_db::Error>(false);
            };
            sign_in.user = signed_in;
            sign_in.declined = signed_in.is_none();
            let state = serde_json::to_string(&sign_in).unwrap_or_default();
            tx.execute(
                "UPDATE sign_ins SET state = ?2 WHERE user_code = ?1",
                params![&id, &state],
            )?;
            Ok(true)
        });
        let written = written.await.map_err(|error| unavailable(&error.into()))?;
        if written {
            Ok(())
        } else {
            Err(Failure::DeviceExpired)
        }
    }

    /// What a device that asks with its code gets.
    pub(crate) async fn poll_device(&self, client: Guid, code: &Secret) -> Result<SignIn, Failure> {
        let (id, now) = (hash(code.expose()), self.now_us());
        let polled = self.inner().db.write(move |tx| poll(tx, &id, now)).await;
        match polled.map_err(|error| unavailable(&error.into()))? {
            Polled::Over => Err(Failure::DeviceExpired),
            Polled::TooSoon => Err(Failure::SlowDown),
            Polled::Pending => Err(Failure::Pending),
            Polled::Declined => Err(Failure::Declined),
            Polled::SignedIn(sign_in) if sign_in.client == client => Ok(*sign_in),
            Polled::SignedIn(_) => Err(Failure::WrongCode),
        }
    }

    /// Whether a browser may be shown the page to sign in on; the name of the application.
    pub async fn check_authorize(
        &self,
        at: &Authority<'_>,
        request: &AuthorizeRequest,
    ) -> Result<String, Failure> {
        self.tenant_named(at.tenant).await?;
        let state = self.inner().directory.state().await;
        let state = state.map_err(|error| unavailable(&error))?;
        let client = self.client(&state, &request.client_id).await?;
        let client = client.ok_or_else(|| Failure::Application(request.client_id.clone()))?;
        let uri = &request.redirect_uri;
        let is_registered = client.redirects().any(|known| uri.is_allowed_by(known));
        // Microsoft's programs are not registered here: they run on people's own computers.
        let is_own_computer = client.application.is_none() && uri.is_loopback();
        if !is_registered && !is_own_computer {
            return Err(Failure::RedirectUri);
        }
        if client.is_public() && request.challenge.is_none() {
            return Err(Failure::Missing("code_challenge"));
        }
        at.audience_of(&request.asked)?;
        self.application_name(client.id).await
    }

    /// Signs a user in who came by browser.
    pub async fn authorize_user(
        &self,
        at: &Authority<'_>,
        request: &AuthorizeRequest,
        name: &str,
        password: &Secret,
    ) -> Result<Landing, Failure> {
        self.check_authorize(at, request).await?;
        let state = self.inner().directory.state().await;
        let state = state.map_err(|error| unavailable(&error))?;
        let user = self
            .user_with_password(&state, at.from, name, password)
            .await?;
        let secret = random::bytes::<32>().map_err(|error| unavailable(&error.into()))?;
        let code = BASE64.encode(secret);
        let asked = &request.asked;
        let sign_in = SignIn {
            client: Guid::parse(&request.client_id)
                .map_err(|_| Failure::Application(request.client_id.clone()))?,
            scope: asked.scope.clone(),
            redirect_uri: Some(request.redirect_uri.as_str().to_owned()),
            nonce: request.nonce.clone(),
            challenge: request.challenge.clone(),
            user: Some((user.id, self.now_us())),
            declined: false,
            resource: asked
                .resource
                .as_ref()
                .map(|known| known.as_str().to_owned()),
        };
        self.add_sign_in(hash(&code), "code", None, sign_in, CODE_LIFE)
            .await?;
        let mut fields = vec![("code", code)];
        if let Some(state) = &request.state {
            fields.push(("state", state.clone()));
        }
        if request.client_info {
            let info = serde_json::json!({ "uid": user.id, "utid": state.tenant });
            fields.push(("client_info", BASE64.encode(info.to_string())));
        }
        Ok(Landing {
            redirect_uri: request.redirect_uri.as_str().to_owned(),
            origin: request.redirect_uri.origin().to_owned(),
            mode: request.response_mode,
            fields,
        })
    }

    /// What a code stands for. It is used up, whether or not it is the client's.
    pub(crate) async fn redeem_code(
        &self,
        client: Guid,
        code: &Secret,
        redirect_uri: Option<&str>,
        verifier: Option<&Secret>,
    ) -> Result<SignIn, Failure> {
        let (id, now) = (hash(code.expose()), self.now_us());
        let taken = self
            .inner()
            .db
            .write(move |tx| take_code(tx, &id, now))
            .await;
        let sign_in = taken.map_err(|error| unavailable(&error.into()))?;
        let sign_in = sign_in.ok_or(Failure::Expired)?;
        let is_proven = match (&sign_in.challenge, verifier) {
            (Some(challenge), Some(verifier)) => {
                let made = BASE64.encode(hash(verifier.expose()));
                bool::from(made.as_bytes().ct_eq(challenge.as_bytes()))
            }
            (None, None) => true,
            _ => false,
        };
        let is_place = redirect_uri == sign_in.redirect_uri.as_deref();
        if sign_in.client == client && is_place && is_proven {
            Ok(sign_in)
        } else {
            Err(Failure::WrongCode)
        }
    }
}

impl SignIn {
    /// What was asked for at the beginning.
    pub(crate) fn asked(&self) -> Result<Asked, Failure> {
        let by_scope = Asked::parse(&self.scope).filter(|asked| {
            asked.resource.as_ref().map(Resource::as_str) == self.resource.as_deref()
        });
        match (by_scope, &self.resource) {
            (Some(asked), _) => Ok(asked),
            (None, Some(resource)) => Asked::of_resource(resource).ok_or(Failure::Expired),
            (None, None) => Err(Failure::Expired),
        }
    }
}
