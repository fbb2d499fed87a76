//! Other directories and issuers whose tokens are taken: Microsoft Entra ID tenants, and any OpenID Connect issuer.

mod fetch;
mod keys;
pub(crate) mod store;
mod token;
mod verify;

use lazuli_db::Tx;
use lazuli_wire::Guid;
use serde_json::{Map, Value};

use crate::directory::{DirectoryError, DirectoryWrite};
use crate::identity::Identity;

pub(crate) use fetch::IssuerKeys;
pub(crate) use token::{Claims, Foreign, PublicKey, Rejected};

/// Reads a discovery document and a key set, as every issuer's are read.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn read_documents(bytes: &[u8]) {
    let _ = (keys::discovery(bytes), keys::key_set(bytes));
}

/// What kind of issuer is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IssuerKind {
    /// A tenant of Microsoft Entra ID: its users and programs have roles here by themselves.
    Entra,
    /// Any issuer of OpenID Connect: its tokens stand for objects of this directory.
    Oidc,
}

impl IssuerKind {
    /// The word in rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Entra => "entra",
            Self::Oidc => "oidc",
        }
    }

    /// The kind of a word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Entra, Self::Oidc]
            .into_iter()
            .find(|kind| kind.as_str() == word)
    }
}

/// An issuer whose tokens are taken.
#[derive(Debug, Clone, PartialEq)]
pub struct TrustedIssuer {
    /// What the operator calls it.
    pub name: String,
    /// What it is.
    pub kind: IssuerKind,
    /// The `iss` of its tokens; of Entra, that of version 2.
    pub issuer: String,
    /// The tenant, of Entra.
    pub tenant: Guid,
    /// The `aud` of tokens that are meant for this installation.
    pub audiences: Vec<String>,
    /// `private`: it may be in a private network. `v1_issuer`: the `iss` of version 1. `subjects`: a list of
    /// `{"claims": {…}, "object": ID}`: whom of this directory a token with exactly these claims stands for.
    pub rules: Map<String, Value>,
    /// Whether it is trusted now.
    pub enabled: bool,
}

impl TrustedIssuer {
    fn check(&self) -> Result<(), DirectoryError> {
        let invalid = |text: &str| Err(DirectoryError::Invalid(text.to_owned()));
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if self.name.is_empty() || self.name.len() > 64 || !self.name.chars().all(is_name) {
            return invalid("the name has 1 to 64 letters, digits, - _ and .");
        }
        let is_loopback = ["http://127.0.0.1", "http://localhost", "http://[::1]"]
            .iter()
            .any(|start| self.issuer.starts_with(start));
        if self.issuer.len() > 600 || !(self.issuer.starts_with("https://") || is_loopback) {
            return invalid("the issuer is an https:// URL");
        }
        if self.audiences.is_empty() || self.audiences.iter().any(String::is_empty) {
            return invalid("an issuer is trusted for at least one audience");
        }
        if self.kind == IssuerKind::Entra && self.tenant == Guid::ZERO {
            return invalid("a tenant of Entra has a number");
        }
        Ok(())
    }
}

impl Identity {
    /// The issuers that are trusted.
    pub async fn trusted_issuers(&self) -> Result<Vec<TrustedIssuer>, crate::Error> {
        Ok(self.inner().db.read(store::list).await?)
    }

    /// Trusts an issuer, or changes what the one of this name is trusted for.
    pub async fn put_issuer(
        &self,
        _may: &DirectoryWrite,
        issuer: TrustedIssuer,
    ) -> Result<(), DirectoryError> {
        issuer.check()?;
        if issuer.tenant == self.tenant().await?.id {
            let text = "this is the tenant of this installation itself";
            return Err(DirectoryError::Invalid(text.to_owned()));
        }
        let now = self.now_us();
        let written = self
            .inner()
            .db
            .write(move |tx| store::put(tx, &issuer, now));
        written.await?;
        self.policy_changed().await?;
        Ok(())
    }

    /// Trusts an issuer no more.
    pub async fn remove_issuer(
        &self,
        _may: &DirectoryWrite,
        name: &str,
    ) -> Result<(), DirectoryError> {
        let name = name.to_owned();
        let work = move |tx: &mut Tx<'_>| {
            if store::delete(tx, &name)? {
                Ok(())
            } else {
                Err(DirectoryError::NotFound("trusted issuer"))
            }
        };
        self.inner().db.write(work).await?;
        self.policy_changed().await?;
        Ok(())
    }
}
