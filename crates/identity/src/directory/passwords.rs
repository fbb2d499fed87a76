//! How the directory keeps passwords and secrets.
//!
//! What people choose is made slow to guess by Argon2id; what is made here has 238 bits of entropy, so one salted SHA-256
//! is enough, and a sign-in of a program costs nothing.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use lazuli_wire::token::Secret;
use subtle::ConstantTimeEq;

use crate::error::Error;
use crate::random;

/// Memory (KiB), passes and lanes of Argon2id (OWASP's recommendation).
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);

/// Length of generated secrets in characters, as Entra's.
const SECRET_LENGTH: usize = 40;

/// The longest password worth hashing, in bytes.
const MAX_PRESENTED: usize = 1024;

/// The kept form of a password or secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Argon2id with these costs.
    Slow {
        cost: (u32, u32, u32),
        salt: Vec<u8>,
        hash: [u8; 32],
    },
    /// SHA-256 of salt and secret.
    Fast { salt: Vec<u8>, hash: [u8; 32] },
}

/// A fresh secret: letters, digits and the few marks Entra uses that no shell minds. It begins as Entra's do, with three
/// characters that its list shows.
pub(crate) fn generate_secret() -> Result<Secret, Error> {
    Ok(Secret::new(random::alphanumeric(SECRET_LENGTH)?))
}

impl Kept {
    /// Hashes a password that a person chose. Slow: call it in the blocking pool.
    pub(crate) fn of_chosen(password: &str) -> Result<Self, Error> {
        let salt = random::bytes::<16>()?.to_vec();
        let hash = slow(password, &salt, COST).ok_or(Error::ShuttingDown)?;
        Ok(Self::Slow {
            cost: COST,
            salt,
            hash,
        })
    }

    /// Hashes a secret that was made here.
    pub(crate) fn of_generated(secret: &str) -> Result<Self, Error> {
        let salt = random::bytes::<16>()?.to_vec();
        let hash = fast(secret, &salt);
        Ok(Self::Fast { salt, hash })
    }

    /// Nobody's: compared with when there is nothing else, so that this takes as long.
    pub(crate) fn nobody() -> Self {
        Self::Slow {
            cost: COST,
            salt: vec![0; 16],
            hash: [0; 32],
        }
    }

    /// The text in a row.
    pub(crate) fn to_row(&self) -> Vec<u8> {
        let encode = |bytes: &[u8]| BASE64.encode(bytes);
        match self {
            Self::Slow {
                cost: (m, t, p),
                salt,
                hash,
            } => format!("argon2id${m}${t}${p}${}${}", encode(salt), encode(hash)),
            Self::Fast { salt, hash } => format!("sha256${}${}", encode(salt), encode(hash)),
        }
        .into_bytes()
    }

    /// Reads a row; `None` when it is not ours.
    pub(crate) fn from_row(row: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(row).ok()?;
        let bytes = |part: &str| BASE64.decode(part).ok();
        let parts: Vec<&str> = text.split('$').collect();
        match parts[..] {
            ["argon2id", m, t, p, salt, hash] => {
                let cost = (m.parse().ok()?, t.parse().ok()?, p.parse().ok()?);
                // Rows are ours, but a restored one must not fill the memory.
                let is_bounded = cost.0 <= 1 << 20 && cost.1 <= 64 && cost.2 <= 16;
                Some(Self::Slow {
                    cost,
                    salt: bytes(salt)?,
                    hash: bytes(hash)?.try_into().ok()?,
                })
                .filter(|_| is_bounded)
            }
            ["sha256", salt, hash] => Some(Self::Fast {
                salt: bytes(salt)?,
                hash: bytes(hash)?.try_into().ok()?,
            }),
            _ => None,
        }
    }

    pub(crate) fn is_slow(&self) -> bool {
        matches!(self, Self::Slow { .. })
    }

    /// Whether this is the hash of the text. The comparison takes the same time for every wrong one.
    pub(crate) fn matches(&self, presented: &str) -> bool {
        if presented.len() > MAX_PRESENTED {
            return false;
        }
        match self {
            Self::Slow { cost, salt, hash } => {
                slow(presented, salt, *cost).is_some_and(|derived| derived.ct_eq(hash).into())
            }
            Self::Fast { salt, hash } => fast(presented, salt).ct_eq(hash).into(),
        }
    }
}

/// So many KiB are asked for at least, more than 32 MiB: the C library goes back to the system with them at once. From a smaller block
/// it learns to keep what is as large, which then holds all bodies of requests, for good. What is not written to costs nothing.
const OWN_MAPPING: usize = 33 << 10;

fn slow(password: &str, salt: &[u8], (m, t, p): (u32, u32, u32)) -> Option<[u8; 32]> {
    let params = Params::new(m, t, p, Some(32)).ok()?;
    let mut memory = Vec::with_capacity(params.block_count().max(OWN_MAPPING));
    memory.resize(params.block_count(), Block::default());
    let mut out = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(password.as_bytes(), salt, &mut out, &mut memory)
        .ok()?;
    Some(out)
}

fn fast(secret: &str, salt: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(salt);
    context.update(secret.as_bytes());
    out.copy_from_slice(context.finish().as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_matches_itself_only_also_after_its_row_was_read() {
        let kept = Kept::of_chosen("correct horse").unwrap();
        let again = Kept::from_row(&kept.to_row()).unwrap();
        assert_eq!(again, kept);
        assert!(again.is_slow() && again.matches("correct horse"));
        assert!(!again.matches("correct horsf") && !again.matches(""));
    }

    #[test]
    fn secrets_differ_and_are_compared_fast() {
        let (one, two) = (generate_secret().unwrap(), generate_secret().unwrap());
        assert_ne!(one, two);
        let kept = Kept::from_row(&Kept::of_generated(one.expose()).unwrap().to_row()).unwrap();
        assert!(!kept.is_slow() && kept.matches(one.expose()) && !kept.matches(two.expose()));
    }

    #[test]
    fn rows_that_are_not_ours_are_refused() {
        for row in [
            "",
            "argon2id$1$1$1$$",
            "argon2id$4294967295$2$1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "sha256$AAAA",
            "md5$a$b",
        ] {
            assert_eq!(Kept::from_row(row.as_bytes()), None, "{row}");
        }
        assert!(!Kept::nobody().matches("x"));
    }
}
