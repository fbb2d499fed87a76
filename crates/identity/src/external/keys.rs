//! What an issuer publishes: OpenID Connect Discovery §4, RFC 7517. Foreign bytes, bounded before they are read.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::Deserialize;
use serde_json::Value;

use super::token::{Algorithm, PublicKey};

/// The largest discovery document and key set, in bytes.
pub(crate) const MAX_DOCUMENT: u64 = 256 * 1024;

/// Most keys of one issuer that are looked at.
const MOST_KEYS: usize = 256;

/// What of a discovery document counts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Discovery {
    pub(crate) issuer: String,
    pub(crate) jwks_uri: String,
}

/// A key of an issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IssuerKey {
    pub(crate) kid: Option<String>,
    pub(crate) key: PublicKey,
    /// The one algorithm it is for, if the issuer says.
    algorithm: Option<String>,
}

impl IssuerKey {
    /// Whether a token with this name and algorithm may be this key's.
    pub(crate) fn is_for(&self, kid: Option<&str>, algorithm: Algorithm) -> bool {
        let word = match algorithm {
            Algorithm::Rs256 => "RS256",
            Algorithm::Ps256 => "PS256",
            Algorithm::Es256 => "ES256",
        };
        (kid.is_none() || self.kid.as_deref() == kid)
            && self.algorithm.as_deref().is_none_or(|only| only == word)
    }
}

/// Reads a discovery document.
pub(crate) fn discovery(bytes: &[u8]) -> Option<Discovery> {
    if bytes.len() as u64 > MAX_DOCUMENT {
        return None;
    }
    let read: Discovery = serde_json::from_slice(bytes).ok()?;
    (read.issuer.len() <= 600 && read.jwks_uri.len() <= 2048).then_some(read)
}

/// Reads a key set. Keys of kinds that are not known are left out, as RFC 7517 §5 wants.
pub(crate) fn key_set(bytes: &[u8]) -> Option<Vec<IssuerKey>> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }
    if bytes.len() as u64 > MAX_DOCUMENT {
        return None;
    }
    let set: Set = serde_json::from_slice(bytes).ok()?;
    Some(set.keys.iter().take(MOST_KEYS).filter_map(key).collect())
}

fn key(jwk: &Value) -> Option<IssuerKey> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    let bytes = |name: &str| BASE64.decode(text(name)?.trim_end_matches('=')).ok();
    if text("use").is_some_and(|purpose| purpose != "sig") {
        return None;
    }
    let key = match text("kty")? {
        "RSA" => {
            let n = bytes("n")?;
            let zeros = n.iter().take_while(|byte| **byte == 0).count();
            let n = n[zeros..].to_vec();
            let e = bytes("e")?;
            // 2048 to 8192 bits.
            let is_sound = (256..=1024).contains(&n.len()) && (1..=8).contains(&e.len());
            is_sound.then_some(PublicKey::Rsa { n, e })?
        }
        "EC" if text("crv") == Some("P-256") => {
            let (x, y) = (bytes("x")?, bytes("y")?);
            if x.len() != 32 || y.len() != 32 {
                return None;
            }
            PublicKey::P256([&[4], x.as_slice(), y.as_slice()].concat())
        }
        _ => return None,
    };
    Some(IssuerKey {
        kid: text("kid").map(str::to_owned),
        key,
        algorithm: text("alg").map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_of_known_kinds_are_read_and_others_left_out() {
        let n = BASE64.encode([0xff; 256]);
        let small = BASE64.encode([0xff; 128]);
        let set = format!(
            r#"{{"keys":[{{"kty":"RSA","kid":"a","use":"sig","n":"{n}","e":"AQAB"}},
            {{"kty":"RSA","kid":"small","n":"{small}","e":"AQAB"}},
            {{"kty":"RSA","kid":"enc","use":"enc","n":"{n}","e":"AQAB"}},
            {{"kty":"oct","kid":"b","k":"AAAA"}},{{"kty":"OKP"}},7]}}"#
        );
        let keys = key_set(set.as_bytes()).unwrap();
        assert_eq!(keys.len(), 1);
        assert!(keys[0].is_for(Some("a"), Algorithm::Rs256));
        assert!(!keys[0].is_for(Some("b"), Algorithm::Rs256));
        assert_eq!(key_set(b"[]"), None);
        assert_eq!(key_set(&vec![b' '; 300 * 1024]), None);
        let many = format!(
            r#"{{"keys":[{}]}}"#,
            vec![format!(r#"{{"kty":"RSA","n":"{n}","e":"AQAB"}}"#); 300].join(",")
        );
        assert!(key_set(many.as_bytes()).is_none_or(|keys| keys.len() <= MOST_KEYS));
    }

    proptest! {
        #[test]
        fn foreign_documents_never_panic(text in "[{}\\[\\]\":,a-zA-Z0-9_ -]{0,200}") {
            let _ = key_set(text.as_bytes());
            let _ = discovery(text.as_bytes());
        }
    }
}
