//! Which application asks, and whether it is the one it says.

use lazuli_wire::Guid;
use lazuli_wire::entra::{ClientProof, Failure};
use lazuli_wire::token::Secret;

use super::{Authority, unavailable};
use crate::directory::passwords::Kept;
use crate::directory::state::DirectoryState;
use crate::directory::{Credential, CredentialKind, Object, ObjectKind, store};
use crate::identity::Identity;

/// Programs of Microsoft's that people sign in with and that hold no secret: the Azure CLI (and the Azure SDKs), Azure
/// PowerShell, Visual Studio Code, Visual Studio.
const PUBLIC_CLIENTS: [&str; 4] = [
    "04b07795-8ddb-461a-bbee-02f9e1bf7b46",
    "1950a258-227b-4e31-a9cf-717495945fc2",
    "aebc6443-996d-45c2-90f0-388ff96faa56",
    "872cd9fa-d31f-45e0-9eab-6e460a02d1f1",
];

/// An application that asks for a token.
pub(crate) struct Client {
    pub(crate) id: Guid,
    /// Its registration; `None` for Microsoft's own.
    pub(crate) application: Option<Object>,
    /// Its standing here.
    pub(crate) principal: Option<Object>,
    /// Those of both.
    pub(crate) credentials: Vec<Credential>,
}

impl Client {
    /// Whether people may sign in with it although it proves nothing.
    pub(crate) fn is_public(&self) -> bool {
        let Some(application) = &self.application else {
            return true;
        };
        let flag = application.attributes.get("isFallbackPublicClient");
        flag.and_then(serde_json::Value::as_bool) == Some(true)
            || places(application, "publicClient").next().is_some()
            || places(application, "spa").next().is_some()
    }

    /// The places it may send browsers to.
    pub(crate) fn redirects(&self) -> impl Iterator<Item = &str> {
        let application = self.application.iter();
        application.flat_map(|application| {
            ["publicClient", "web", "spa"]
                .into_iter()
                .flat_map(|platform| places(application, platform))
        })
    }
}

fn places<'a>(application: &'a Object, platform: &str) -> impl Iterator<Item = &'a str> {
    let list = application
        .attributes
        .get(platform)
        .and_then(|platform| platform.get("redirectUris"))
        .and_then(serde_json::Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(serde_json::Value::as_str)
}

impl Identity {
    /// What people know an application as.
    pub(crate) async fn application_name(&self, id: Guid) -> Result<String, Failure> {
        let name = id.to_string();
        let known = self.object_named(ObjectKind::Application, &name);
        let known = known.await.map_err(|error| unavailable(&error))?;
        Ok(match known {
            Some(application) => application.display_name,
            None => match id.as_bytes()[0] {
                0x04 => "Microsoft Azure CLI".to_owned(),
                0x19 => "Microsoft Azure PowerShell".to_owned(),
                0xae => "Visual Studio Code".to_owned(),
                _ => "Visual Studio".to_owned(),
            },
        })
    }
}

/// Whether a program is one of Microsoft's that everybody may sign in with.
fn is_well_known(id: Guid) -> bool {
    PUBLIC_CLIENTS
        .iter()
        .any(|known| Guid::parse(known) == Ok(id))
}

impl Identity {
    /// What is known of an application.
    pub(crate) async fn client(
        &self,
        state: &DirectoryState,
        client_id: &str,
    ) -> Result<Option<Client>, Failure> {
        let Ok(id) = Guid::parse(client_id) else {
            return Ok(None);
        };
        let (tenant, name) = (state.tenant, id.to_string());
        let found = self.inner().db.read(move |tx| {
            let application = store::find(tx, tenant, ObjectKind::Application, &name)?;
            let principal = store::find(tx, tenant, ObjectKind::ServicePrincipal, &name)?;
            // Asked for in any case: it takes the same time for nobody.
            let mut credentials = Vec::new();
            for object in [&application, &principal] {
                let of = object.as_ref().map_or(tenant, |object| object.id);
                credentials.extend(store::credentials(tx, of)?);
            }
            Ok::<_, lazuli_db::Error>((application, principal, credentials))
        });
        let (application, principal, credentials) =
            found.await.map_err(|error| unavailable(&error.into()))?;
        let is_known = application.is_some() || principal.is_some() || is_well_known(id);
        Ok(is_known.then_some(Client {
            id,
            application,
            principal,
            credentials,
        }))
    }

    /// The application, once it has proven itself. The text says by what: `1` a secret, `2` an assertion.
    pub(crate) async fn proven_client(
        &self,
        at: &Authority<'_>,
        state: &DirectoryState,
        client_id: &str,
        proof: &ClientProof,
    ) -> Result<(Client, &'static str), Failure> {
        let inner = self.inner();
        let throttle = &inner.directory.throttle;
        throttle
            .check(client_id, at.from, inner.clock.now_us())
            .map_err(Failure::Locked)?;
        let client = self.client(state, client_id).await?;
        let outcome = match proof {
            ClientProof::None => return Err(Failure::ProofNeeded),
            ClientProof::Secret(secret) => self.check_secret(client, secret).map(|ok| (ok, "1")),
            ClientProof::Assertion(assertion) => self
                .check_assertion(at, state, client, client_id, assertion)
                .await
                .map(|ok| (ok, "2")),
        };
        match &outcome {
            Ok(_) => throttle.right(client_id, at.from),
            Err(Failure::Unavailable | Failure::Busy(_)) => {}
            Err(_) => throttle.wrong(client_id, at.from, inner.clock.now_us()),
        }
        outcome
    }

    /// As [`Self::proven_client`], but a client that may keep no secret is taken at its word.
    pub(crate) async fn client_for_users(
        &self,
        at: &Authority<'_>,
        state: &DirectoryState,
        client_id: &str,
        proof: &ClientProof,
    ) -> Result<(Client, &'static str), Failure> {
        if *proof != ClientProof::None {
            return self.proven_client(at, state, client_id, proof).await;
        }
        let client = self.client(state, client_id).await?;
        let client = client.ok_or_else(|| Failure::Application(client_id.to_owned()))?;
        if client.is_public() {
            Ok((client, "0"))
        } else {
            Err(Failure::ProofNeeded)
        }
    }

    fn check_secret(&self, client: Option<Client>, secret: &Secret) -> Result<Client, Failure> {
        let now = self.inner().clock.now_us();
        let credentials = client.as_ref().map(|client| client.credentials.as_slice());
        let mut matches = false;
        for known in credentials.unwrap_or_default() {
            if known.kind == CredentialKind::Secret && known.is_good_at(now) {
                let kept = Kept::from_row(&known.data);
                // Secrets are made here: never a slow one, which would block this thread.
                matches |=
                    kept.is_some_and(|kept| !kept.is_slow() && kept.matches(secret.expose()));
            }
        }
        client.filter(|_| matches).ok_or(Failure::ClientSecret)
    }
}
