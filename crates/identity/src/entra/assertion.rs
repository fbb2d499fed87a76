//! Assertions of applications (RFC 7523): signed with the key of a certificate, or made by another issuer.

use lazuli_wire::entra::Failure;
use lazuli_wire::token::Secret;

use super::Authority;
use super::client::Client;
use crate::directory::state::DirectoryState;
use crate::identity::Identity;

impl Identity {
    /// The application, if the assertion is its own or one it trusts.
    pub(crate) async fn check_assertion(
        &self,
        _at: &Authority<'_>,
        _state: &DirectoryState,
        _client: Option<Client>,
        _client_id: &str,
        _assertion: &Secret,
    ) -> Result<Client, Failure> {
        Err(Failure::Assertion(
            "certificates and federated assertions are not taken yet",
        ))
    }
}
