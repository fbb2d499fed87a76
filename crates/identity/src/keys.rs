//! Keys that sign tokens: made, named, sealed for storage, opened again.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::ParsedPublicKey;

mod pair;

pub(crate) use pair::Algorithm;
use pair::Pair;

use crate::principal::RegistryId;
use crate::random;

/// What a key signs. A token of one purpose never verifies as another, because the keys differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    Access,
    Refresh,
    /// Tokens of the embedded directory. Not among the keys that each registry has.
    Directory,
}

impl Purpose {
    /// Those that each registry has keys for.
    pub(crate) const ALL: [Self; 2] = [Self::Access, Self::Refresh];

    /// The word in rows.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Refresh => "refresh",
            Self::Directory => "directory",
        }
    }

    /// How new keys of the purpose sign.
    pub(crate) const fn algorithm(self) -> Algorithm {
        match self {
            Self::Access | Self::Refresh => Algorithm::Es256,
            Self::Directory => Algorithm::Rs256,
        }
    }

    /// The purpose of a word.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|purpose| purpose.as_str() == word)
    }
}

/// Why a key cannot be made, sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The cryptographic library failed to make a key or a signature.
    #[error("the cryptographic library failed")]
    Library,
    /// The stored key does not open: the master key is another one, or the row was changed or moved.
    #[error("a stored signing key does not open with this master key")]
    WrongMasterKey,
}

/// The key that seals what the database keeps (AES-256-GCM).
pub(crate) struct MasterKey(LessSafeKey);

const SEALED_VERSION: u8 = 1;

impl MasterKey {
    pub(crate) fn new(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let key = UnboundKey::new(&AES_256_GCM, bytes).map_err(|_| KeyError::Library)?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// Seals: a version byte, a random nonce, the ciphertext with its tag. `context` is needed to open it again.
    pub(crate) fn seal(&self, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, KeyError> {
        // Random nonces: this key seals a handful of signing keys, far below the 2^32 where they could repeat.
        let nonce = random::bytes::<NONCE_LEN>().map_err(|_| KeyError::Library)?;
        let mut body = plain.to_vec();
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context),
                &mut body,
            )
            .map_err(|_| KeyError::Library)?;
        let mut sealed = vec![SEALED_VERSION];
        sealed.extend_from_slice(&nonce);
        sealed.append(&mut body);
        Ok(sealed)
    }

    pub(crate) fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, KeyError> {
        let (nonce, body) = sealed
            .strip_prefix(&[SEALED_VERSION])
            .and_then(|rest| rest.split_first_chunk::<NONCE_LEN>())
            .ok_or(KeyError::WrongMasterKey)?;
        let mut body = body.to_vec();
        let length = self
            .0
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(context),
                &mut body,
            )
            .map_err(|_| KeyError::WrongMasterKey)?
            .len();
        body.truncate(length);
        Ok(body)
    }
}

/// Binds a sealed key to its row, so that rows cannot be swapped.
fn context(registry: RegistryId, purpose: Purpose, kid: &str) -> Vec<u8> {
    format!("lazuli signing key/{registry}/{}/{kid}", purpose.as_str()).into_bytes()
}

/// A private key, and the name its tokens carry.
pub(crate) struct SigningKey {
    kid: Box<str>,
    purpose: Purpose,
    pair: Pair,
    public: ParsedPublicKey,
}

impl SigningKey {
    /// Makes a key of the purpose's kind. One of RSA takes around 100 ms: call it in the blocking pool.
    pub(crate) fn generate(purpose: Purpose) -> Result<Self, KeyError> {
        Self::from_pair(purpose, Pair::generate(purpose.algorithm())?)
    }

    /// Makes a key as registries of old have them.
    #[cfg(test)]
    pub(crate) fn generate_as(purpose: Purpose, algorithm: Algorithm) -> Result<Self, KeyError> {
        Self::from_pair(purpose, Pair::generate(algorithm)?)
    }

    fn from_pair(purpose: Purpose, pair: Pair) -> Result<Self, KeyError> {
        let (der, public) = pair.public()?;
        Ok(Self {
            kid: libtrust_id(&der).into(),
            purpose,
            pair,
            public,
        })
    }

    /// The form for the database.
    pub(crate) fn seal(
        &self,
        master: &MasterKey,
        registry: RegistryId,
    ) -> Result<Vec<u8>, KeyError> {
        let context = context(registry, self.purpose, &self.kid);
        master.seal(&context, &self.pair.to_pkcs8()?)
    }

    /// Opens a row of the database.
    pub(crate) fn unseal(
        master: &MasterKey,
        registry: RegistryId,
        purpose: Purpose,
        kid: &str,
        sealed: &[u8],
    ) -> Result<Self, KeyError> {
        let private = master.open(&context(registry, purpose, kid), sealed)?;
        Self::from_pair(purpose, Pair::from_pkcs8(&private)?)
    }

    pub(crate) fn kid(&self) -> &str {
        &self.kid
    }

    pub(crate) const fn algorithm(&self) -> Algorithm {
        self.pair.algorithm()
    }

    /// Modulus and exponent of the public key, big-endian, as a JSON Web Key has them (RFC 7518 §6.3.1).
    pub(crate) fn public_numbers(&self) -> (&[u8], &[u8]) {
        // RSAPublicKey of RFC 8017 §A.1.1 for 2048 bits: its lengths are always these.
        let der = self.pair.rsa_public();
        match der {
            [0x30, 0x82, _, _, 0x02, 0x82, 0x01, 0x01, 0, rest @ ..] if rest.len() > 258 => {
                (&rest[..256], &rest[258..])
            }
            _ => (&[], &[]),
        }
    }

    pub(crate) fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// Signs. RS256 takes around 700 µs, ES256 around 25.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.pair.sign(message)
    }

    /// Whether the signature is this key's. RS256 takes around 25 µs, ES256 around 60.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        signature.len() == self.algorithm().signature_length()
            && self.public.verify_sig(message, signature).is_ok()
    }

    #[cfg(test)]
    pub(crate) fn public_der(&self) -> Vec<u8> {
        self.public.as_ref().to_vec()
    }
}

/// The name libtrust gives a key, which ACR uses as `kid`: SHA-256 of the public key (SubjectPublicKeyInfo, DER), cut
/// to 240 bits, in base32, in twelve groups of four joined by colons.
fn libtrust_id(spki: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let hash = digest(&SHA256, spki);
    let mut text = String::with_capacity(59);
    // 5 bytes are 8 characters, two groups.
    for five in hash.as_ref()[..30].chunks_exact(5) {
        let bits = five
            .iter()
            .fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        for group in 0..8_u32 {
            if group % 4 == 0 && !text.is_empty() {
                text.push(':');
            }
            let value = bits >> (35 - 5 * group) & 31;
            text.push(char::from(ALPHABET[value as usize]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn master(byte: u8) -> MasterKey {
        MasterKey::new(&[byte; 32]).unwrap()
    }

    #[test]
    fn a_kid_has_the_colon_form_of_libtrust() {
        // SHA-256 of nothing is e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855.
        assert_eq!(
            libtrust_id(b""),
            "4OYM:IQUY:7QOB:JGX3:6TEJ:S35Z:EQT2:4QPE:MSNZ:GTFE:SWMR:W6CS"
        );
    }

    #[test]
    fn a_sealed_key_opens_to_the_same_key() {
        for algorithm in Algorithm::ALL {
            let key = SigningKey::generate_as(Purpose::Access, algorithm).unwrap();
            let sealed = key.seal(&master(1), RegistryId::new(1)).unwrap();
            let again = SigningKey::unseal(
                &master(1),
                RegistryId::new(1),
                Purpose::Access,
                key.kid(),
                &sealed,
            )
            .unwrap();
            assert_eq!(again.kid(), key.kid());
            assert_eq!(again.algorithm(), algorithm);
            assert!(key.verifies(b"message", &again.sign(b"message").unwrap()));
            assert!(!key.verifies(b"massage", &again.sign(b"message").unwrap()));
        }
    }

    #[test]
    fn a_sealed_key_opens_only_in_its_own_row_with_its_own_master_key() {
        let key = SigningKey::generate(Purpose::Access).unwrap();
        let sealed = key.seal(&master(1), RegistryId::new(1)).unwrap();
        let open = |with: &MasterKey, registry, purpose, kid: &str, sealed: &[u8]| {
            SigningKey::unseal(with, RegistryId::new(registry), purpose, kid, sealed).err()
        };
        let refused = Some(KeyError::WrongMasterKey);
        assert_eq!(
            open(&master(2), 1, Purpose::Access, key.kid(), &sealed),
            refused
        );
        assert_eq!(
            open(&master(1), 2, Purpose::Access, key.kid(), &sealed),
            refused
        );
        assert_eq!(
            open(&master(1), 1, Purpose::Refresh, key.kid(), &sealed),
            refused
        );
        assert_eq!(
            open(&master(1), 1, Purpose::Access, "other", &sealed),
            refused
        );
        assert_eq!(
            open(&master(1), 1, Purpose::Access, key.kid(), &[]),
            refused
        );
        assert_eq!(
            open(&master(1), 1, Purpose::Access, key.kid(), &sealed[..20]),
            refused
        );
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert_eq!(
                open(&master(1), 1, Purpose::Access, key.kid(), &changed),
                refused
            );
        }
    }

    #[test]
    fn sealing_twice_gives_different_bytes_and_never_the_key() {
        let key = SigningKey::generate(Purpose::Refresh).unwrap();
        let private = key.pair.to_pkcs8().unwrap();
        let one = key.seal(&master(1), RegistryId::new(1)).unwrap();
        let two = key.seal(&master(1), RegistryId::new(1)).unwrap();
        assert_ne!(one, two);
        let window = &private[36..68];
        assert!(!one.windows(window.len()).any(|part| part == window));
    }
}
