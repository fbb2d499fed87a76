//! Tokens that others signed (RFC 7515, RFC 7519). Nothing in one counts before its signature was verified, but the name of the
//! issuer, by which the keys are found.
//!
//! A token cannot bring its own key: `jwk`, `jku`, `x5u` and `x5c` are not looked at, `crit` is refused, and only the
//! algorithms of public keys are known.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::jwt::MAX_TOKEN;

/// The longest header, in base64 characters: Entra's brings certificates along.
const MAX_HEADER: usize = 8 * 1024;

/// How far clocks may differ, in microseconds.
pub(crate) const SKEW: i64 = 300_000_000;

/// An algorithm that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Rs256,
    Ps256,
    Es256,
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PublicKey {
    /// Modulus and exponent, big-endian.
    Rsa { n: Vec<u8>, e: Vec<u8> },
    /// RSAPublicKey of RFC 8017, in DER.
    RsaDer(Vec<u8>),
    /// A point on P-256, uncompressed.
    P256(Vec<u8>),
}

/// Why a token is refused. For logs: a client learns less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rejected {
    TooLong,
    Segments,
    Header,
    Algorithm,
    Signature,
    Claims,
    Times,
}

#[derive(Debug, Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    typ: Option<String>,
    #[serde(default)]
    crit: Option<Value>,
    #[serde(default)]
    b64: Option<Value>,
    #[serde(default)]
    x5t: Option<String>,
    #[serde(default, rename = "x5t#S256")]
    x5t_s256: Option<String>,
}

/// A token that is not verified.
#[derive(Debug)]
pub(crate) struct Foreign<'t> {
    message: &'t str,
    signature: Vec<u8>,
    payload: Vec<u8>,
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: Option<String>,
    /// Thumbprints of a certificate: SHA-1, SHA-256.
    pub(crate) x5t: Option<Vec<u8>>,
    pub(crate) x5t_s256: Option<Vec<u8>>,
}

/// Claims of a token whose signature was verified.
#[derive(Debug, Clone)]
pub(crate) struct Claims(Map<String, Value>);

/// Thumbprints come in either alphabet, with and without padding.
fn thumbprint(text: &str) -> Option<Vec<u8>> {
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    [&URL_SAFE, &STANDARD]
        .into_iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, config).decode(text).ok())
}

impl<'t> Foreign<'t> {
    pub(crate) fn parse(token: &'t str) -> Result<Self, Rejected> {
        if token.len() > MAX_TOKEN {
            return Err(Rejected::TooLong);
        }
        // Some libraries of Azure pad the parts; what is signed is the text as it came.
        let decode = |text: &str| {
            let bare = text.trim_end_matches('=');
            let padding = text.len() - bare.len();
            let bytes = URL_SAFE_NO_PAD.decode(bare).ok();
            let bytes =
                bytes.filter(|_| padding == 0 || (padding < 3 && text.len().is_multiple_of(4)));
            bytes.ok_or(Rejected::Segments)
        };
        let (message, signature) = token.rsplit_once('.').ok_or(Rejected::Segments)?;
        let (header, payload) = message.split_once('.').ok_or(Rejected::Segments)?;
        if header.len() > MAX_HEADER || payload.contains('.') {
            return Err(Rejected::Segments);
        }
        let header = decode(header)?;
        if header.first() != Some(&b'{') {
            return Err(Rejected::Header);
        }
        let header: Header = serde_json::from_slice(&header).map_err(|_| Rejected::Header)?;
        let is_jwt = header.typ.as_deref().is_none_or(|typ| {
            typ.eq_ignore_ascii_case("JWT") || typ.eq_ignore_ascii_case("at+jwt")
        });
        if header.crit.is_some() || header.b64.is_some() || !is_jwt {
            return Err(Rejected::Header);
        }
        let algorithm = match header.alg.as_str() {
            "RS256" => Algorithm::Rs256,
            "PS256" => Algorithm::Ps256,
            "ES256" => Algorithm::Es256,
            _ => return Err(Rejected::Algorithm),
        };
        Ok(Self {
            message,
            signature: decode(signature)?,
            payload: decode(payload)?,
            algorithm,
            kid: header.kid.filter(|kid| kid.len() <= 512),
            x5t: header.x5t.as_deref().and_then(thumbprint),
            x5t_s256: header.x5t_s256.as_deref().and_then(thumbprint),
        })
    }

    /// The issuer that the token names, which is nothing but a place to look for keys.
    pub(crate) fn claimed_issuer(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Issuer {
            iss: String,
        }
        if self.payload.first() != Some(&b'{') {
            return None;
        }
        let read: Issuer = serde_json::from_slice(&self.payload).ok()?;
        (read.iss.len() <= 600).then_some(read.iss)
    }

    /// The claims, if the signature is the key's.
    pub(crate) fn verify(&self, key: &PublicKey) -> Result<Claims, Rejected> {
        let message = self.message.as_bytes();
        let outcome =
            match (self.algorithm, key) {
                (Algorithm::Rs256, PublicKey::Rsa { n, e }) => RsaPublicKeyComponents { n, e }
                    .verify(&RSA_PKCS1_2048_8192_SHA256, message, &self.signature),
                (Algorithm::Rs256, PublicKey::RsaDer(der)) => {
                    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der)
                        .verify(message, &self.signature)
                }
                (Algorithm::Ps256, PublicKey::Rsa { n, e }) => RsaPublicKeyComponents { n, e }
                    .verify(&RSA_PSS_2048_8192_SHA256, message, &self.signature),
                (Algorithm::Ps256, PublicKey::RsaDer(der)) => {
                    UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, der)
                        .verify(message, &self.signature)
                }
                (Algorithm::Es256, PublicKey::P256(point)) => {
                    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                        .verify(message, &self.signature)
                }
                // A key is for one kind of algorithm.
                _ => return Err(Rejected::Algorithm),
            };
        outcome.map_err(|_| Rejected::Signature)?;
        if self.payload.first() != Some(&b'{') {
            return Err(Rejected::Claims);
        }
        let claims = serde_json::from_slice(&self.payload).map_err(|_| Rejected::Claims)?;
        Ok(Claims(claims))
    }
}

impl Claims {
    /// A claim that is a text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// `aud`: one text, or several.
    pub(crate) fn audiences(&self) -> Vec<String> {
        match self.0.get("aud") {
            Some(Value::String(one)) => vec![one.clone()],
            Some(Value::Array(many)) => {
                let texts = many.iter().take(32).filter_map(Value::as_str);
                texts.map(str::to_owned).collect()
            }
            _ => Vec::new(),
        }
    }

    /// A time in microseconds; some libraries write fractions.
    fn time(&self, name: &str) -> Result<Option<i64>, Rejected> {
        match self.0.get(name) {
            None => Ok(None),
            Some(value) => match value.as_f64() {
                Some(seconds) if (0.0..=1e11).contains(&seconds) => {
                    Ok(Some((seconds * 1e6) as i64))
                }
                _ => Err(Rejected::Times),
            },
        }
    }

    /// When it ends, if it is good at `now`, and neither lives longer than `longest` nor ends later than that from now (all
    /// in microseconds).
    pub(crate) fn good_until(&self, now: i64, longest: i64) -> Result<i64, Rejected> {
        let until = self.time("exp")?.ok_or(Rejected::Times)?;
        let begins = self.time("nbf")?.unwrap_or(0);
        let made = self.time("iat")?;
        let is_good = now < until + SKEW
            && begins <= now + SKEW
            && made.is_none_or(|made| made <= now + SKEW && until - made <= longest)
            && until - now <= longest + SKEW;
        if is_good {
            Ok(until)
        } else {
            Err(Rejected::Times)
        }
    }
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
