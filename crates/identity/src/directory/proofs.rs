//! What programs prove themselves with: secrets, certificates, federated credentials.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use lazuli_db::Tx;
use lazuli_wire::Guid;
use lazuli_wire::token::Secret;
use serde_json::{Map, Value, json};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::admin::{DirectoryError, DirectoryWrite};
use super::object::{Credential, CredentialKind, ObjectKind};
use super::passwords::{self, Kept};
use super::store;
use crate::identity::Identity;
use crate::random;

/// Most credentials of one kind that an object has.
const MOST: usize = 100;

/// Most federated credentials of an application, as Entra's.
const MOST_FEDERATED: usize = 20;

/// The largest certificate, in bytes.
const MAX_CERTIFICATE: usize = 16 * 1024;

/// The audience of tokens that other issuers make for Entra.
pub const EXCHANGE_AUDIENCE: &str = "api://AzureADTokenExchange";

/// A certificate, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// The public key: RSAPublicKey of RFC 8017.
    pub(crate) key: Vec<u8>,
    pub(crate) sha1: Vec<u8>,
    pub(crate) sha256: Vec<u8>,
    /// Seconds since the Unix epoch.
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
}

impl Certificate {
    /// Reads a certificate (DER) with an RSA key of at least 2048 bits; the error says what is wrong.
    pub(crate) fn read(der: &[u8]) -> Result<Self, &'static str> {
        if der.len() > MAX_CERTIFICATE {
            return Err("the certificate is larger than 16 KiB");
        }
        let Ok(([], parsed)) = X509Certificate::from_der(der) else {
            return Err("this is no X.509 certificate in DER form");
        };
        let info = parsed.public_key();
        match info.parsed() {
            Ok(x509_parser::public_key::PublicKey::RSA(key)) if key.key_size() >= 2048 => {}
            Ok(x509_parser::public_key::PublicKey::RSA(_)) => {
                return Err("the RSA key of the certificate has fewer than 2048 bits");
            }
            _ => return Err("the key of the certificate is no RSA key"),
        }
        Ok(Self {
            key: info.subject_public_key.data.to_vec(),
            sha1: digest(&SHA1_FOR_LEGACY_USE_ONLY, der).as_ref().to_vec(),
            sha256: digest(&SHA256, der).as_ref().to_vec(),
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
        })
    }
}

/// A thumbprint as people see it.
fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

/// A federated credential that is to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Federation {
    /// Its name, once per application.
    pub name: String,
    /// The `iss` of tokens.
    pub issuer: String,
    /// The `sub` of tokens.
    pub subject: String,
    /// The `aud` of tokens: one.
    pub audience: String,
    /// What it is for.
    pub description: Option<String>,
}

impl Federation {
    fn check(&self) -> Result<(), DirectoryError> {
        let invalid = |text: &str| Err(DirectoryError::Invalid(text.to_owned()));
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if self.name.len() < 3 || self.name.len() > 120 || !self.name.chars().all(is_name) {
            return invalid("name has 3 to 120 letters, digits, - and _");
        }
        if !self.issuer.starts_with("https://") && !self.issuer.starts_with("http://") {
            return invalid("issuer is an https:// URL");
        }
        for (what, text) in [
            ("issuer", &self.issuer),
            ("subject", &self.subject),
            ("audience", &self.audience),
        ] {
            if text.is_empty() || text.len() > 600 || text.chars().any(char::is_control) {
                return Err(DirectoryError::Invalid(format!(
                    "{what} has between 1 and 600 characters"
                )));
            }
        }
        Ok(())
    }

    fn data(&self) -> Vec<u8> {
        let data = json!({
            "issuer": self.issuer, "subject": self.subject, "audiences": [self.audience], "description": self.description,
        });
        data.to_string().into_bytes()
    }
}

impl Credential {
    /// Whether a federated credential is for exactly this issuer, subject and audience.
    pub(crate) fn is_for(&self, issuer: &str, subject: &str, audiences: &[String]) -> bool {
        let data: Option<Map<String, Value>> = self.federation();
        let Some(data) = data else { return false };
        let is = |name: &str, text: &str| data.get(name).and_then(Value::as_str) == Some(text);
        let wanted = data.get("audiences").and_then(Value::as_array);
        let mut wanted = wanted.into_iter().flatten().filter_map(Value::as_str);
        is("issuer", issuer)
            && is("subject", subject)
            && wanted.any(|audience| audiences.iter().any(|given| given == audience))
    }
}

impl Identity {
    /// Makes a secret for an application, service principal or managed identity. It is returned and kept nowhere else.
    pub async fn add_secret(
        &self,
        _may: &DirectoryWrite,
        object: Guid,
        name: &str,
        starts_at: Option<i64>,
        expires_at: Option<i64>,
    ) -> Result<(Credential, Secret), DirectoryError> {
        let secret = passwords::generate_secret()?;
        let credential = Credential {
            id: random::guid().map_err(crate::Error::from)?,
            kind: CredentialKind::Secret,
            name: name.chars().take(120).collect(),
            hint: secret.expose().chars().take(3).collect(),
            starts_at: starts_at.unwrap_or_else(|| self.now_us()),
            expires_at,
            data: Kept::of_generated(secret.expose())?.to_row(),
        };
        self.add_proof(object, credential.clone(), MOST).await?;
        Ok((credential, secret))
    }

    /// Makes the header secret of a managed identity's endpoint. There is one at a time.
    pub async fn enable_endpoint(
        &self,
        _may: &DirectoryWrite,
        object: Guid,
    ) -> Result<Secret, DirectoryError> {
        let secret = passwords::generate_secret()?;
        let credential = Credential {
            // One at a time: its number is the object's.
            id: object,
            kind: CredentialKind::Endpoint,
            name: "endpoint".to_owned(),
            hint: secret.expose().chars().take(3).collect(),
            starts_at: self.now_us(),
            expires_at: None,
            data: Kept::of_generated(secret.expose())?.to_row(),
        };
        self.add_proof(object, credential, MOST).await?;
        Ok(Secret::new(format!("{object}.{}", secret.expose())))
    }

    /// Adds a certificate (DER), whose holder may sign assertions.
    pub async fn add_certificate(
        &self,
        _may: &DirectoryWrite,
        object: Guid,
        name: &str,
        der: &[u8],
    ) -> Result<Credential, DirectoryError> {
        let read = Certificate::read(der);
        let read = read.map_err(|why| DirectoryError::Invalid(why.to_owned()))?;
        let credential = Credential {
            id: random::guid().map_err(crate::Error::from)?,
            kind: CredentialKind::Certificate,
            name: name.chars().take(120).collect(),
            hint: hex(&read.sha1),
            starts_at: read.not_before.saturating_mul(1_000_000),
            expires_at: Some(read.not_after.saturating_mul(1_000_000)),
            data: der.to_vec(),
        };
        self.add_proof(object, credential.clone(), MOST).await?;
        Ok(credential)
    }

    /// Adds a federated credential, or replaces the one with the number `replaced`.
    pub async fn put_federation(
        &self,
        _may: &DirectoryWrite,
        object: Guid,
        replaced: Option<Guid>,
        federation: &Federation,
    ) -> Result<Credential, DirectoryError> {
        federation.check()?;
        let id = match replaced {
            Some(id) => id,
            None => random::guid().map_err(crate::Error::from)?,
        };
        let credential = Credential {
            id,
            kind: CredentialKind::Federated,
            name: federation.name.clone(),
            hint: String::new(),
            starts_at: 0,
            expires_at: None,
            data: federation.data(),
        };
        self.add_proof(object, credential.clone(), MOST_FEDERATED)
            .await?;
        Ok(credential)
    }

    /// Removes a credential.
    pub async fn remove_credential(
        &self,
        _may: &DirectoryWrite,
        object: Guid,
        id: Guid,
    ) -> Result<(), DirectoryError> {
        let work = move |tx: &mut Tx<'_>| {
            if store::delete_credential(tx, object, id)? {
                Ok(())
            } else {
                Err(DirectoryError::NotFound("credential"))
            }
        };
        self.inner().db.write(work).await?;
        self.policy_changed().await?;
        Ok(())
    }

    async fn add_proof(
        &self,
        object: Guid,
        credential: Credential,
        most: usize,
    ) -> Result<(), DirectoryError> {
        let now = self.now_us();
        let work = move |tx: &mut Tx<'_>| {
            let found = store::get(tx, object)?;
            let found = found.ok_or(DirectoryError::NotFound("application"))?;
            if matches!(found.kind, ObjectKind::User | ObjectKind::Group) {
                let text = format!("A {} has no such credentials.", found.kind);
                return Err(DirectoryError::Invalid(text));
            }
            let known = store::credentials(tx, object)?;
            let others = || {
                known
                    .iter()
                    .filter(|known| known.kind == credential.kind && known.id != credential.id)
            };
            if others().count() >= most {
                let text = format!("There are {most} of these already; remove one first.");
                return Err(DirectoryError::Invalid(text));
            }
            if credential.kind == CredentialKind::Federated
                && others().any(|known| known.name == credential.name)
            {
                let name = &credential.name;
                let text = format!("FederatedIdentityCredential with name {name} already exists.");
                return Err(DirectoryError::Exists(text));
            }
            store::put_credential(tx, object, &credential, now)?;
            Ok(())
        };
        self.inner().db.write(work).await?;
        self.policy_changed().await?;
        Ok(())
    }
}
