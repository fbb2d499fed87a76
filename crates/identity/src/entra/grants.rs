//! What the token endpoint does for each kind of grant.

use lazuli_wire::entra::{Asked, Failure, Grant, TokenForm};

use super::client::Client;
use super::sign_ins::SignIn;
use super::tokens::Order;
use super::{Authority, TokenAnswer, refresh, unavailable, users};
use crate::directory::Object;
use crate::directory::state::DirectoryState;
use crate::identity::Identity;

impl Identity {
    /// POST `/{tenant}/oauth2/v2.0/token` and its kin: a token, for what the form proves.
    pub async fn directory_token(
        &self,
        at: &Authority<'_>,
        form: &TokenForm,
    ) -> Result<TokenAnswer, Failure> {
        self.tenant_named(at.tenant).await?;
        let state = self.inner().directory.state().await;
        let state = state.map_err(|error| unavailable(&error))?;
        match &form.grant {
            Grant::ClientCredentials => self.client_credentials(at, &state, form).await,
            Grant::Password { username, password } => {
                let (client, proof) = self
                    .client_for_users(at, &state, &form.client_id, &form.proof)
                    .await?;
                let asked = form.asked.as_ref().ok_or(Failure::Missing("scope"))?;
                at.audience_of(asked)?;
                let user = self
                    .user_with_password(&state, at.from, username, password)
                    .await?;
                self.for_user(at, &state, &user, &client, proof, asked, None, form)
                    .await
            }
            Grant::RefreshToken(token) => {
                let (client, proof) = self
                    .client_for_users(at, &state, &form.client_id, &form.proof)
                    .await?;
                let now = self.inner().clock.now_us();
                let renewal = refresh::open(&self.inner().master, token.expose())
                    .filter(|renewal| renewal.client == client.id && now < renewal.expires_at)
                    .ok_or(Failure::Expired)?;
                let user = users::still_there(self, renewal.object, renewal.made_at).await?;
                let mut asked = match &form.asked {
                    Some(asked) => asked.clone(),
                    None => Asked::parse(&renewal.scope).ok_or(Failure::Expired)?,
                };
                // The new one replaces the old one, whether or not it was asked for again.
                asked.offline = true;
                self.for_user(at, &state, &user, &client, proof, &asked, None, form)
                    .await
            }
            Grant::AuthorizationCode {
                code,
                redirect_uri,
                verifier,
            } => {
                let (client, proof) = self
                    .client_for_users(at, &state, &form.client_id, &form.proof)
                    .await?;
                let place = redirect_uri.as_deref();
                let sign_in = self
                    .redeem_code(client.id, code, place, verifier.as_ref())
                    .await?;
                self.signed_in(at, &state, &sign_in, &client, proof, form)
                    .await
            }
            Grant::DeviceCode(code) => {
                let client = self.client(&state, &form.client_id).await?;
                let client = client.ok_or_else(|| Failure::Application(form.client_id.clone()))?;
                let sign_in = self.poll_device(client.id, code).await?;
                self.signed_in(at, &state, &sign_in, &client, "0", form)
                    .await
            }
        }
    }

    /// Tokens for whoever signed in by browser or on another device.
    async fn signed_in(
        &self,
        at: &Authority<'_>,
        state: &DirectoryState,
        sign_in: &SignIn,
        client: &Client,
        proof: &'static str,
        form: &TokenForm,
    ) -> Result<TokenAnswer, Failure> {
        let (user, made_at) = sign_in.user.ok_or(Failure::Expired)?;
        let user = users::still_there(self, user, made_at).await?;
        let asked = match &form.asked {
            Some(asked) => asked.clone(),
            None => sign_in.asked()?,
        };
        let nonce = sign_in.nonce.as_deref();
        self.for_user(at, state, &user, client, proof, &asked, nonce, form)
            .await
    }

    async fn client_credentials(
        &self,
        at: &Authority<'_>,
        state: &DirectoryState,
        form: &TokenForm,
    ) -> Result<TokenAnswer, Failure> {
        let (client, proof) = self
            .proven_client(at, state, &form.client_id, &form.proof)
            .await?;
        let asked = form.asked.as_ref().ok_or(Failure::Missing("scope"))?;
        let audience = at.audience_of(asked)?;
        if audience.is_none() {
            return Err(Failure::Scope);
        }
        // An application without a service principal, or with one that must not sign in, is nobody here.
        let subject = client.principal.filter(|principal| principal.enabled);
        let subject = subject.ok_or_else(|| Failure::Application(form.client_id.clone()))?;
        let order = Order {
            subject: &subject,
            client: client.id,
            proof,
            audience,
            asked,
            nonce: None,
            client_info: false,
            renewable: false,
        };
        let made = self.make_tokens(at, state, order).await;
        made.map_err(|error| unavailable(&error))
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "each says something else of the token"
    )]
    async fn for_user(
        &self,
        at: &Authority<'_>,
        state: &DirectoryState,
        user: &Object,
        client: &Client,
        proof: &'static str,
        asked: &Asked,
        nonce: Option<&str>,
        form: &TokenForm,
    ) -> Result<TokenAnswer, Failure> {
        let order = Order {
            subject: user,
            client: client.id,
            proof,
            audience: at.audience_of(asked)?,
            asked,
            nonce,
            client_info: form.client_info,
            renewable: true,
        };
        let made = self.make_tokens(at, state, order).await;
        made.map_err(|error| unavailable(&error))
    }
}
