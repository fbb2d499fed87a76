//! Refresh tokens: sealed notes to ourselves. Nothing is stored, and only what holds the master key can make or read one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use lazuli_wire::Guid;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::keys::MasterKey;

/// What binds the notes to their use.
const CONTEXT: &[u8] = b"lazuli directory refresh token/1";

/// What the token begins with, so that people know one when they see one in a place where it should not be.
const PREFIX: &str = "1.lz";

/// How long a refresh token lives, in microseconds: 90 days, as Entra's.
pub(crate) const LIFE: i64 = 90 * 24 * 3600 * 1_000_000;

/// What a refresh token stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Renewal {
    /// The user.
    pub(crate) object: Guid,
    /// The application it was given to.
    pub(crate) client: Guid,
    /// When it was made, in microseconds.
    pub(crate) made_at: i64,
    /// When it ends, in microseconds.
    pub(crate) expires_at: i64,
    /// What was asked for at first.
    pub(crate) scope: String,
}

pub(crate) fn seal(master: &MasterKey, renewal: &Renewal) -> Result<String, Error> {
    // Texts and numbers: serialising into memory has no way to fail.
    let plain = serde_json::to_vec(renewal).unwrap_or_default();
    let sealed = master.seal(CONTEXT, &plain)?;
    Ok(format!("{PREFIX}{}", BASE64.encode(sealed)))
}

/// What a token stands for; `None` when it is none of ours. Whether it still counts is for the caller to see.
pub(crate) fn open(master: &MasterKey, token: &str) -> Option<Renewal> {
    let sealed = BASE64.decode(token.strip_prefix(PREFIX)?).ok()?;
    let plain = master.open(CONTEXT, &sealed).ok()?;
    serde_json::from_slice(&plain).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_sealed_opens() {
        let (master, other) = (
            MasterKey::new(&[1; 32]).unwrap(),
            MasterKey::new(&[2; 32]).unwrap(),
        );
        let renewal = Renewal {
            object: Guid::from_bytes([1; 16]),
            client: Guid::from_bytes([2; 16]),
            made_at: 1,
            expires_at: 2,
            scope: "openid".to_owned(),
        };
        let token = seal(&master, &renewal).unwrap();
        assert_eq!(open(&master, &token), Some(renewal));
        assert_eq!(open(&other, &token), None);
        for position in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[position] = if changed[position] == b'A' {
                b'B'
            } else {
                b'A'
            };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(open(&master, &changed), None, "{position}");
        }
        assert_eq!(open(&master, ""), None);
    }
}
