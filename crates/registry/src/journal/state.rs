//! How far the journal is: a row of the database, written under the lease.

use lazuli_db::{Error, Tx, settings};
use serde::{Deserialize, Serialize};

use super::record::hex;

const NAME: &str = "journal";

/// The row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// Names the installation.
    pub(super) id: String,
    /// The generation that was begun last.
    pub(super) reserved: u64,
    /// The one that is whole and goes on; 0: there is none.
    pub(super) current: u64,
    /// Its last segment.
    pub(super) segments: u64,
    /// The last operation in it.
    pub(super) sequence: i64,
    /// Bytes of its segments, and of its snapshot.
    pub(super) bytes: u64,
    pub(super) snapshot_bytes: u64,
    /// When it was begun, in microseconds since the epoch.
    pub(super) begun_at: i64,
    /// A digest of the small tables as they were last written; empty: unknown.
    pub(super) small: String,
}

impl State {
    /// Before the first generation. `reserved`: the newest that somebody else left.
    pub(super) fn fresh(reserved: u64) -> Result<Self, crate::Error> {
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|_| crate::Error::Internal("the system gave no random bytes"))?;
        Ok(Self {
            id: hex(&random),
            reserved,
            current: 0,
            segments: 0,
            sequence: 0,
            bytes: 0,
            snapshot_bytes: 0,
            begun_at: 0,
            small: String::new(),
        })
    }
}

pub(super) fn load(tx: &mut Tx<'_>) -> Result<Option<State>, Error> {
    Ok(settings::get(tx, NAME)?.and_then(|text| serde_json::from_str(&text).ok()))
}

pub(super) fn store(tx: &mut Tx<'_>, state: &State) -> Result<(), Error> {
    let text = serde_json::to_string(state).unwrap_or_default();
    settings::set(tx, NAME, &text)
}
