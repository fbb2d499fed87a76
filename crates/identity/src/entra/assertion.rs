//! Assertions of applications (RFC 7523): signed with the key of a certificate, or made by another issuer.

use lazuli_wire::entra::{Failure, Route, Tenant};
use lazuli_wire::token::Secret;

use super::Authority;
use super::client::Client;
use crate::directory::proofs::Certificate;
use crate::directory::state::DirectoryState;
use crate::directory::{CredentialKind, Directory};
use crate::external::{Claims, Foreign, PublicKey, Rejected};
use crate::identity::Identity;

/// The longest life of an assertion that an application signed itself, in microseconds. Until its end it can be used again,
/// as libraries do.
const LONGEST_OWN: i64 = 24 * 3_600_000_000;

/// The longest life of a token of another issuer.
const LONGEST_FEDERATED: i64 = 29 * 3_600_000_000;

fn malformed(_: Rejected) -> Failure {
    Failure::Assertion("it is no JSON Web Token signed with RS256, PS256 or ES256")
}

impl Identity {
    /// The application, if the assertion is its own or one it trusts.
    pub(crate) async fn check_assertion(
        &self,
        at: &Authority<'_>,
        state: &DirectoryState,
        client: Option<Client>,
        client_id: &str,
        assertion: &Secret,
    ) -> Result<Client, Failure> {
        let token = Foreign::parse(assertion.expose()).map_err(malformed)?;
        let issuer = token
            .claimed_issuer()
            .ok_or(Failure::Assertion("it names no issuer"))?;
        if issuer.eq_ignore_ascii_case(client_id) {
            return self.check_own(at, state, client, client_id, &token);
        }
        let client = client.ok_or(Failure::Federation)?;
        // Nobody is asked for keys whom the application does not trust.
        let is_trusted = client
            .credentials
            .iter()
            .filter_map(crate::directory::Credential::federation)
            .any(|data| data.get("issuer").and_then(serde_json::Value::as_str) == Some(&issuer));
        if !is_trusted {
            return Err(Failure::Federation);
        }
        let source = Directory::federation_source(state, &issuer);
        let claims = self.inner().directory.claims_by(&token, &source).await;
        let claims = claims.ok_or(Failure::Assertion(
            "its signature cannot be verified with the keys of its issuer",
        ))?;
        self.check_times(&claims, LONGEST_FEDERATED)?;
        let subject = claims.text("sub").unwrap_or_default();
        let audiences = claims.audiences();
        let fits = client
            .credentials
            .iter()
            .any(|known| known.is_for(&issuer, subject, &audiences));
        if fits && claims.text("iss") == Some(&issuer) {
            Ok(client)
        } else {
            Err(Failure::Federation)
        }
    }

    fn check_times(&self, claims: &Claims, longest: i64) -> Result<(), Failure> {
        claims
            .good_until(self.now_us(), longest)
            .map(drop)
            .map_err(|_| Failure::Assertion("it has expired, is not good yet, or lives too long"))
    }

    /// An assertion that the application signed itself.
    fn check_own(
        &self,
        at: &Authority<'_>,
        state: &DirectoryState,
        client: Option<Client>,
        client_id: &str,
        token: &Foreign<'_>,
    ) -> Result<Client, Failure> {
        let unknown = Failure::Assertion(
            "the application is unknown, or has no certificate with the thumbprint in its header (x5t) that is good now",
        );
        let client = client.ok_or_else(|| unknown.clone())?;
        let now = self.now_us();
        let certificates = client
            .credentials
            .iter()
            .filter(|known| known.kind == CredentialKind::Certificate && known.is_good_at(now))
            .filter_map(|known| Certificate::read(known.certificate()?).ok());
        let mut named = certificates.filter(|known| match (&token.x5t_s256, &token.x5t) {
            (Some(thumbprint), _) => *thumbprint == known.sha256,
            (None, Some(thumbprint)) => *thumbprint == known.sha1,
            (None, None) => false,
        });
        let certificate = named.next().ok_or(unknown)?;
        let claims = token
            .verify(&PublicKey::RsaDer(certificate.key))
            .map_err(|_| Failure::Assertion("its signature is not the certificate's"))?;
        self.check_times(&claims, LONGEST_OWN)?;
        let is_client = |name: &str| {
            claims
                .text(name)
                .is_some_and(|text| text.eq_ignore_ascii_case(client_id))
        };
        if !is_client("iss") || !is_client("sub") {
            return Err(Failure::Assertion("iss and sub are not the application"));
        }
        let is_here = |audience: &String| is_this_authority(at, state, audience);
        if !claims.audiences().iter().any(is_here) {
            return Err(Failure::Assertion(
                "aud is not the token endpoint that it was sent to",
            ));
        }
        Ok(client)
    }
}

/// Whether an audience is this authority: its token endpoint, by any of its names, or its issuer.
fn is_this_authority(at: &Authority<'_>, state: &DirectoryState, audience: &str) -> bool {
    let Some(path) = audience.strip_prefix(at.base) else {
        return false;
    };
    let is_tenant = |tenant: &Tenant| match tenant {
        Tenant::Id(id) => *id == state.tenant,
        Tenant::Domain(domain) => **domain == *state.domain,
        Tenant::Organizations | Tenant::Common | Tenant::Adfs => true,
    };
    match Route::parse(path) {
        Some(Route::Token(tenant, _)) => is_tenant(&tenant),
        _ => path == format!("/{}/v2.0", state.tenant) || path == format!("/{}/", state.tenant),
    }
}
