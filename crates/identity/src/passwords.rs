//! Passwords: how they are kept, and how a presented one is compared.
//!
//! A password a person chose is guessable, so its hash is made slow (PBKDF2). A generated one has more than 300 bits of
//! entropy, so one salted SHA-256 is enough and a log-in costs nothing.

use std::num::NonZeroU32;

use aws_lc_rs::{digest, pbkdf2};
use subtle::ConstantTimeEq;

use crate::random::{self, NoEntropy};
use lazuli_wire::token::Secret;

/// Iterations of PBKDF2-HMAC-SHA256 for passwords chosen by people (OWASP's recommendation).
pub const DEFAULT_PBKDF2_ITERATIONS: NonZeroU32 = NonZeroU32::new(600_000).unwrap();

/// Length of generated passwords in characters, as Azure Container Registry's.
pub const GENERATED_LENGTH: usize = 52;

/// Shortest and longest password a person may choose, in bytes.
const CHOSEN_LENGTH: std::ops::RangeInclusive<usize> = 8..=256;

/// The longest password worth hashing, in bytes: a longer one is wrong without looking.
const MAX_PRESENTED: usize = 1024;

/// Why a password cannot be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Shorter than 8 bytes.
    #[error("a password has at least 8 characters")]
    TooShort,
    /// Longer than 256 bytes.
    #[error("a password has at most 256 bytes")]
    TooLong,
    /// Holds a line break or another control character, which no client could type.
    #[error("a password holds no control characters")]
    ControlCharacter,
}

/// A fresh password of [`GENERATED_LENGTH`] letters and digits.
pub(crate) fn generate_password() -> Result<Secret, NoEntropy> {
    random::alphanumeric(GENERATED_LENGTH).map(Secret::new)
}

/// Whether a person may choose this password.
pub(crate) fn check_chosen(password: &str) -> Result<(), PasswordError> {
    if password.len() < *CHOSEN_LENGTH.start() {
        return Err(PasswordError::TooShort);
    }
    if password.len() > *CHOSEN_LENGTH.end() {
        return Err(PasswordError::TooLong);
    }
    if password.chars().any(char::is_control) {
        return Err(PasswordError::ControlCharacter);
    }
    Ok(())
}

/// The kept form of a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PasswordHash {
    salt: Vec<u8>,
    /// `None`: one round of salted SHA-256.
    iterations: Option<NonZeroU32>,
    hash: [u8; 32],
}

impl PasswordHash {
    /// Hashes a password chosen by a person. Slow on purpose: call it in the blocking pool.
    pub(crate) fn of_chosen(password: &str, iterations: NonZeroU32) -> Result<Self, NoEntropy> {
        Self::make(password, Some(iterations))
    }

    /// Hashes a generated password.
    pub(crate) fn of_generated(password: &str) -> Result<Self, NoEntropy> {
        Self::make(password, None)
    }

    fn make(password: &str, iterations: Option<NonZeroU32>) -> Result<Self, NoEntropy> {
        let salt = random::bytes::<16>()?.to_vec();
        let hash = derive(password, &salt, iterations);
        Ok(Self {
            salt,
            iterations,
            hash,
        })
    }

    /// Reads the columns of a row; `None` when they are not ours.
    pub(crate) fn from_columns(salt: Vec<u8>, iterations: i64, hash: &[u8]) -> Option<Self> {
        let iterations = NonZeroU32::new(u32::try_from(iterations).ok()?);
        Some(Self {
            salt,
            iterations,
            hash: hash.try_into().ok()?,
        })
    }

    pub(crate) fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// The column: 0 means one round of salted SHA-256.
    pub(crate) fn iterations(&self) -> i64 {
        self.iterations
            .map_or(0, |iterations| i64::from(iterations.get()))
    }

    pub(crate) fn hash(&self) -> &[u8] {
        &self.hash
    }

    /// Whether a comparison takes so long that it belongs in the blocking pool.
    pub(crate) fn is_slow(&self) -> bool {
        self.iterations.is_some()
    }

    /// Whether this is the hash of the password. The comparison takes the same time for every wrong password.
    pub(crate) fn matches(&self, password: &str) -> bool {
        password.len() <= MAX_PRESENTED
            && bool::from(derive(password, &self.salt, self.iterations).ct_eq(&self.hash))
    }
}

fn derive(password: &str, salt: &[u8], iterations: Option<NonZeroU32>) -> [u8; 32] {
    let mut out = [0; 32];
    if let Some(iterations) = iterations {
        let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
        pbkdf2::derive(algorithm, iterations, salt, password.as_bytes(), &mut out);
    } else {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(salt);
        context.update(password.as_bytes());
        out.copy_from_slice(context.finish().as_ref());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEW: NonZeroU32 = NonZeroU32::new(1000).unwrap();

    #[test]
    fn the_right_password_matches_and_others_do_not() {
        let generated = generate_password().unwrap();
        for hash in [
            PasswordHash::of_chosen(generated.expose(), FEW).unwrap(),
            PasswordHash::of_generated(generated.expose()).unwrap(),
        ] {
            assert!(hash.matches(generated.expose()));
            assert!(!hash.matches(""));
            assert!(!hash.matches("wrong"));
            assert!(!hash.matches(&generated.expose().to_lowercase()));
            assert!(!hash.matches(&format!("{}x", generated.expose())));
        }
    }

    #[test]
    fn equal_passwords_have_different_hashes() {
        let one = PasswordHash::of_chosen("correct horse", FEW).unwrap();
        let two = PasswordHash::of_chosen("correct horse", FEW).unwrap();
        assert_ne!(one.hash(), two.hash());
        assert_ne!(one.salt(), two.salt());
    }

    #[test]
    fn columns_bring_the_hash_back() {
        for hash in [
            PasswordHash::of_chosen("correct horse", FEW).unwrap(),
            PasswordHash::of_generated("correct horse").unwrap(),
        ] {
            let read =
                PasswordHash::from_columns(hash.salt().to_vec(), hash.iterations(), hash.hash());
            assert_eq!(read, Some(hash));
        }
        assert_eq!(PasswordHash::from_columns(vec![], -1, &[0; 32]), None);
        assert_eq!(PasswordHash::from_columns(vec![], 0, &[0; 31]), None);
    }

    #[test]
    fn a_known_answer_keeps_stored_hashes_readable() {
        // RFC 7914, section 11: PBKDF2-HMAC-SHA256 of "Password" with the salt "NaCl", 80 000 iterations.
        let expected = [
            0x4d, 0xdc, 0xd8, 0xf6, 0x0b, 0x98, 0xbe, 0x21, 0x83, 0x0c, 0xee, 0x5e, 0xf2, 0x27,
            0x01, 0xf9, 0x64, 0x1a, 0x44, 0x18, 0xd0, 0x4c, 0x04, 0x14, 0xae, 0xff, 0x08, 0x87,
            0x6b, 0x34, 0xab, 0x56,
        ];
        let hash = PasswordHash::from_columns(b"NaCl".to_vec(), 80_000, &expected).unwrap();
        assert!(hash.matches("Password"));
    }

    #[test]
    fn passwords_that_nobody_can_type_or_anybody_can_guess_are_refused() {
        assert_eq!(check_chosen("1234567"), Err(PasswordError::TooShort));
        assert_eq!(check_chosen(&"x".repeat(257)), Err(PasswordError::TooLong));
        assert_eq!(
            check_chosen("12345678\n"),
            Err(PasswordError::ControlCharacter)
        );
        assert_eq!(check_chosen("pass word: ö"), Ok(()));
    }
}
