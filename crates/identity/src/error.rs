//! What can go wrong here besides a refusal.

use crate::keys::KeyError;
use crate::passwords::PasswordError;
use crate::principal::RegistryId;
use crate::random::NoEntropy;

/// Why identity cannot do its work. None of these is the caller's fault, except [`Error::Password`].
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] lazuli_db::Error),
    /// A signing key cannot be made or opened.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The operating system gave no entropy.
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
    /// The chosen password is not acceptable.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// There is no such registry.
    #[error("there is no registry {0}")]
    UnknownRegistry(RegistryId),
    /// The registry has no key to sign with.
    #[error("registry {0} has no signing key")]
    NoSigningKey(RegistryId),
    /// The directory was not made yet: no server has been started with it.
    #[error("this installation has no directory yet: start the server once")]
    NoDirectory,
    /// A change of the directory that its rules do not allow; the text says which.
    #[error("{0}")]
    Directory(String),
    /// A task of the blocking pool was cancelled: the process is shutting down.
    #[error("the process is shutting down")]
    ShuttingDown,
}
