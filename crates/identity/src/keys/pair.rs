//! The two kinds of key pairs, and how each signs.
//!
//! Registries' own tokens are read by clients and verified by nobody but the registry, so their keys are of the kind that signs
//! thirty times faster. Tokens of the directory are verified by others, and all of them know RS256.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256,
};

use super::KeyError;

/// How a key signs (RFC 7518 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256, keys of 2048 bits.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

impl Algorithm {
    /// Every algorithm.
    pub(crate) const ALL: [Self; 2] = [Self::Rs256, Self::Es256];

    /// The value of `alg`.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        }
    }

    /// Length of a signature in bytes.
    pub(crate) const fn signature_length(self) -> usize {
        match self {
            Self::Rs256 => 256,
            Self::Es256 => 64,
        }
    }

    /// Whether a signature takes so long that it belongs in the blocking pool.
    pub(crate) const fn is_slow(self) -> bool {
        matches!(self, Self::Rs256)
    }
}

/// A private key.
pub(super) enum Pair {
    Rsa(rsa::KeyPair),
    Ecdsa(EcdsaKeyPair),
}

/// PKCS #8 of a P-256 key is a tenth as long as that of an RSA key.
const LONGEST_ECDSA: usize = 300;

impl Pair {
    pub(super) fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        match algorithm {
            Algorithm::Rs256 => rsa::KeyPair::generate(KeySize::Rsa2048).map(Self::Rsa),
            Algorithm::Es256 => {
                EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map(Self::Ecdsa)
            }
        }
        .map_err(|_| KeyError::Library)
    }

    pub(super) fn from_pkcs8(private: &[u8]) -> Result<Self, KeyError> {
        if private.len() > LONGEST_ECDSA {
            rsa::KeyPair::from_pkcs8(private).map(Self::Rsa)
        } else {
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, private).map(Self::Ecdsa)
        }
        .map_err(|_| KeyError::Library)
    }

    pub(super) fn to_pkcs8(&self) -> Result<Vec<u8>, KeyError> {
        let library = |_| KeyError::Library;
        Ok(match self {
            Self::Rsa(pair) => {
                let private: Pkcs8V1Der<'_> = pair.as_der().map_err(library)?;
                private.as_ref().to_vec()
            }
            Self::Ecdsa(pair) => pair.to_pkcs8v1().map_err(library)?.as_ref().to_vec(),
        })
    }

    pub(super) const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rsa(_) => Algorithm::Rs256,
            Self::Ecdsa(_) => Algorithm::Es256,
        }
    }

    /// The SubjectPublicKeyInfo, and the key ready to verify with.
    pub(super) fn public(&self) -> Result<(Vec<u8>, ParsedPublicKey), KeyError> {
        let der: Result<PublicKeyX509Der<'_>, _> = match self {
            Self::Rsa(pair) => pair.public_key().as_der(),
            Self::Ecdsa(pair) => pair.public_key().as_der(),
        };
        let der = der.map_err(|_| KeyError::Library)?.as_ref().to_vec();
        let parsed = match self {
            Self::Rsa(_) => ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &der),
            Self::Ecdsa(_) => ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &der),
        };
        Ok((der, parsed.map_err(|_| KeyError::Library)?))
    }

    /// The RSAPublicKey of RFC 8017 §A.1.1; nothing for the other kind.
    pub(super) fn rsa_public(&self) -> &[u8] {
        match self {
            Self::Rsa(pair) => pair.public_key().as_ref(),
            Self::Ecdsa(_) => &[],
        }
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let length = self.algorithm().signature_length();
                if pair.public_modulus_len() != length {
                    return Err(KeyError::Library);
                }
                let mut signature = vec![0; length];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .map_err(|_| KeyError::Library)?;
                Ok(signature)
            }
            Self::Ecdsa(pair) => {
                let signature = pair.sign(&random, message).map_err(|_| KeyError::Library)?;
                Ok(signature.as_ref().to_vec())
            }
        }
    }
}
