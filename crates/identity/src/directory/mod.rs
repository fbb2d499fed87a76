//! The embedded directory: users, groups, applications, service principals and managed identities of one tenant, the keys
//! that sign its tokens, and who is trusted besides it.
//!
//! What of it decides about tokens is held in memory ([`state`]), as registries' states are: relied on for ten seconds at most,
//! read again in the background before that, and at once in the process that changes something.

mod admin;
mod caller;
mod install;
pub mod managed;
mod object;
pub(crate) mod passwords;
pub(crate) mod proofs;
mod rotate;
pub(crate) mod state;
pub(crate) mod store;
mod verify;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arc_swap::ArcSwapOption;
use lazuli_db::Db;
use lazuli_db::clock::Clock;
use tokio::sync::Mutex;

use crate::entra::{SLOW_COMPARISONS, Throttle};
use crate::external::IssuerKeys;
use crate::fair::FairShare;
use crate::keys::MasterKey;

pub(crate) use caller::Inner as CallerParts;
pub(crate) use verify::AccessClaims;

/// The longest life of a token, in seconds: of an access token for a program that may renew it.
pub(crate) const LONGEST_LIFE: i64 = 90 * 60;

pub use admin::{DirectoryError, DirectoryWrite};
pub use caller::{Audience, Caller, CallerKind};
pub use install::{DirectoryOptions, DirectoryStart};
pub use object::{Credential, CredentialKind, Object, ObjectKind};
pub use proofs::{EXCHANGE_AUDIENCE, Federation};

use self::state::DirectoryState;
use self::verify::VerifiedTokens;

/// The embedded directory of an installation.
pub(crate) struct Directory {
    pub(crate) db: Db,
    pub(crate) clock: Arc<dyn Clock>,
    master: Arc<MasterKey>,
    current: ArcSwapOption<DirectoryState>,
    /// Held while the state is read; readers of `current` never wait for it.
    loading: Mutex<()>,
    refreshing: AtomicBool,
    verified: VerifiedTokens,
    pub(crate) throttle: Throttle,
    pub(crate) issuer_keys: IssuerKeys,
    /// Comparisons of passwords, divided between those who ask.
    pub(crate) slow: FairShare,
}

impl Directory {
    pub(crate) fn new(db: Db, clock: Arc<dyn Clock>, master: Arc<MasterKey>) -> Self {
        Self {
            db,
            clock,
            master,
            current: ArcSwapOption::empty(),
            loading: Mutex::new(()),
            refreshing: AtomicBool::new(false),
            verified: VerifiedTokens::new(),
            throttle: Throttle::new(),
            issuer_keys: IssuerKeys::new(),
            slow: FairShare::new(SLOW_COMPARISONS),
        }
    }
}
