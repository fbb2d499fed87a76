//! JSON Web Tokens, the little of them this registry needs: three segments, keys of our own, each of which
//! has one algorithm.
//!
//! A payload is unreachable before its signature is verified: [`verify`] is the only maker of a [`Payload`].
//! A token cannot bring a key (`jwk`, `jku`, `x5u`, `x5c`) or an extension (`crit`): unknown header fields are refused.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::keys::{Algorithm, KeyError, SigningKey};

/// The longest token that is looked at, in bytes.
pub const MAX_TOKEN: usize = 16 * 1024;

/// The longest header segment, in base64 characters. Ours has about 130.
const MAX_HEADER_SEGMENT: usize = 512;

/// The longest signature, in bytes.
const LONGEST_SIGNATURE: usize = Algorithm::Rs256.signature_length();

/// The JOSE header (RFC 7515 §4). The order is that of ACR's tokens.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header<'a> {
    #[serde(borrow)]
    typ: &'a str,
    #[serde(borrow)]
    alg: &'a str,
    #[serde(borrow)]
    kid: &'a str,
}

/// Why a token is no signed token of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rejected {
    /// Longer than [`MAX_TOKEN`].
    TooLong,
    /// Not three segments of base64url of the right length.
    Segments,
    /// The header is not exactly `typ`, `alg` and `kid`, or not `JWT` and the key's algorithm.
    Header,
    /// The key is not one of this registry and purpose, or is retired.
    UnknownKey,
    /// The signature is not the key's.
    Signature,
}

/// The payload of a token whose signature was verified.
#[derive(Debug)]
pub(crate) struct Payload(Vec<u8>);

impl Payload {
    /// The JSON text.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Signs claims. Slow with keys whose algorithm is: call it in the blocking pool then.
pub(crate) fn sign(key: &SigningKey, claims: &impl Serialize) -> Result<String, KeyError> {
    let header = Header {
        typ: "JWT",
        alg: key.algorithm().as_str(),
        kid: key.kid(),
    };
    let header = serde_json::to_vec(&header).map_err(|_| KeyError::Library)?;
    let claims = serde_json::to_vec(claims).map_err(|_| KeyError::Library)?;
    sign_segments(key, &header, &claims)
}

pub(crate) fn sign_segments(
    key: &SigningKey,
    header: &[u8],
    claims: &[u8],
) -> Result<String, KeyError> {
    let signature_segment = segment_length(key.algorithm());
    let mut token =
        String::with_capacity((header.len() + claims.len()) * 4 / 3 + signature_segment + 8);
    URL_SAFE_NO_PAD.encode_string(header, &mut token);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut token);
    let signature = key.sign(token.as_bytes())?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Ok(token)
}

/// Verifies a token with the key that `find` knows by its name.
pub(crate) fn verify<'k>(
    token: &str,
    find: impl FnOnce(&str) -> Option<&'k SigningKey>,
) -> Result<Payload, Rejected> {
    if token.len() > MAX_TOKEN {
        return Err(Rejected::TooLong);
    }
    let (message, signature) = token.rsplit_once('.').ok_or(Rejected::Segments)?;
    let (header, payload) = message.split_once('.').ok_or(Rejected::Segments)?;
    if payload.contains('.')
        || header.len() > MAX_HEADER_SEGMENT
        || !Algorithm::ALL
            .map(segment_length)
            .contains(&signature.len())
    {
        return Err(Rejected::Segments);
    }
    let key = find_key(header, find)?;
    let mut bytes = [0; LONGEST_SIGNATURE + 2];
    let length = URL_SAFE_NO_PAD
        .decode_slice(signature, &mut bytes)
        .map_err(|_| Rejected::Segments)?;
    if !key.verifies(message.as_bytes(), &bytes[..length]) {
        return Err(Rejected::Signature);
    }
    URL_SAFE_NO_PAD
        .decode(payload)
        .map(Payload)
        .map_err(|_| Rejected::Segments)
}

/// Length of the signature segment: base64 without padding.
const fn segment_length(algorithm: Algorithm) -> usize {
    (algorithm.signature_length() * 4).div_ceil(3)
}

fn find_key<'k>(
    segment: &str,
    find: impl FnOnce(&str) -> Option<&'k SigningKey>,
) -> Result<&'k SigningKey, Rejected> {
    let json = URL_SAFE_NO_PAD
        .decode(segment)
        .map_err(|_| Rejected::Segments)?;
    // serde reads a struct from an array too.
    if json.first() != Some(&b'{') {
        return Err(Rejected::Header);
    }
    let header: Header<'_> = serde_json::from_slice(&json).map_err(|_| Rejected::Header)?;
    let known = Algorithm::ALL
        .iter()
        .any(|algorithm| algorithm.as_str() == header.alg);
    if header.typ != "JWT" || !known {
        return Err(Rejected::Header);
    }
    // Each key signs in one way, whatever the header would like.
    let key = find(header.kid).ok_or(Rejected::UnknownKey)?;
    if key.algorithm().as_str() != header.alg {
        return Err(Rejected::Header);
    }
    Ok(key)
}

#[cfg(test)]
#[path = "jwt_tests.rs"]
mod tests;
