//! Upload sessions that cost nothing until their first byte.
//!
//! Starting a session stores nothing: its `Location` carries a state, authenticated by a key of this installation, that any node
//! accepts as an empty session. The first chunk makes the row. One request at a time may write to a session.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::hmac;
use lazuli_wire::oci::{Algorithm, RepositoryName, UploadId};
use quick_cache::Weighter;
use quick_cache::sync::Cache as Store;

use crate::uploads::{Loaded, OwnedOwner};

/// How long a session may be used for the first time at most, in microseconds. Also how long a finished one is remembered.
pub(crate) const FRESH_US: i64 = 3600 * 1_000_000;

const MAC_LEN: usize = 16;

pub(crate) struct Sessions {
    key: hmac::Key,
    active: Arc<Mutex<HashSet<UploadId>>>,
    /// Rows as this process last wrote them. Only where no other node can write them.
    recent: Option<Store<UploadId, (OwnedOwner, Loaded), BySize>>,
}

#[derive(Clone)]
struct BySize;

impl Weighter<UploadId, (OwnedOwner, Loaded)> for BySize {
    fn weight(&self, _: &UploadId, (_, loaded): &(OwnedOwner, Loaded)) -> u64 {
        (512 + loaded.hash_state.len() + loaded.content.as_ref().map_or(0, Vec::len)) as u64
    }
}

/// Memory for sessions under way, in bytes.
const RECENT: u64 = 1 << 20;

/// Marks a session as being written to, until dropped.
pub(crate) struct Active {
    id: UploadId,
    active: Arc<Mutex<HashSet<UploadId>>>,
}

/// Who a session belongs to.
pub(crate) struct Owner<'a> {
    pub(crate) registry: i64,
    pub(crate) repository: &'a RepositoryName,
    pub(crate) principal: &'a str,
}

impl Sessions {
    /// `alone`: no other process writes to the database.
    pub(crate) fn new(key: [u8; 32], alone: bool) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            active: Arc::default(),
            recent: alone.then(|| Store::with_weighter((RECENT / 512) as usize, RECENT, BySize)),
        }
    }

    /// A session as last seen here, if it belongs to that owner.
    pub(crate) fn recall(&self, owner: &OwnedOwner, id: UploadId) -> Option<Loaded> {
        let (of, loaded) = self.recent.as_ref()?.get(&id)?;
        (of == *owner).then_some(loaded)
    }

    pub(crate) fn remember(&self, owner: &OwnedOwner, loaded: &Loaded) {
        if let Some(recent) = &self.recent {
            recent.insert(loaded.id, (owner.clone(), loaded.clone()));
        }
    }

    pub(crate) fn forget(&self, id: UploadId) {
        if let Some(recent) = &self.recent {
            recent.remove(&id);
        }
    }

    /// `None` while another request writes to the session.
    pub(crate) fn activate(&self, id: UploadId) -> Option<Active> {
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        active.insert(id).then(|| Active {
            id,
            active: self.active.clone(),
        })
    }

    /// The state of a session that holds nothing yet: time of birth, algorithm, authentication code.
    pub(crate) fn fresh_state(
        &self,
        owner: &Owner<'_>,
        id: UploadId,
        algorithm: Algorithm,
        now: i64,
    ) -> String {
        let mac = self.mac(owner, id, algorithm, now);
        let mut text = format!("{now:016x}{:02x}", algorithm.code());
        for byte in &mac.as_ref()[..MAC_LEN] {
            let _ = write!(text, "{byte:02x}");
        }
        text
    }

    /// Birth and algorithm of a session, if the state was made here for this owner and is not too old.
    pub(crate) fn read_fresh_state(
        &self,
        owner: &Owner<'_>,
        id: UploadId,
        state: &str,
        now: i64,
    ) -> Option<(i64, Algorithm)> {
        if state.len() != 18 + 2 * MAC_LEN || !state.is_ascii() {
            return None;
        }
        let born = i64::from_str_radix(&state[..16], 16).ok()?;
        let algorithm = Algorithm::from_code(u8::from_str_radix(&state[16..18], 16).ok()?)?;
        // Compared as text: another spelling of the same numbers was not made here.
        let made = self.fresh_state(owner, id, algorithm, born);
        let genuine =
            aws_lc_rs::constant_time::verify_slices_are_equal(state.as_bytes(), made.as_bytes())
                .is_ok();
        (genuine && now.saturating_sub(born) < FRESH_US).then_some((born, algorithm))
    }

    fn mac(&self, owner: &Owner<'_>, id: UploadId, algorithm: Algorithm, born: i64) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&owner.registry.to_be_bytes());
        context.update(id.as_bytes());
        context.update(&born.to_be_bytes());
        context.update(&[algorithm.code()]);
        context.update(owner.repository.as_str().as_bytes());
        context.update(&[0]);
        context.update(owner.principal.as_bytes());
        context.sign()
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.active
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.id);
    }
}

/// Names this start of the machine: a hash saved before another start may be ahead of the bytes on the disk.
pub(crate) fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_fresh_state_is_good_for_its_owner_session_and_hour_only() {
        let sessions = Sessions::new([7; 32], true);
        let name = RepositoryName::parse("a/b").unwrap();
        let other = RepositoryName::parse("a/c").unwrap();
        let owner = Owner {
            registry: 1,
            repository: &name,
            principal: "admin",
        };
        let id = UploadId::from_bytes([3; 16]);
        let state = sessions.fresh_state(&owner, id, Algorithm::Sha512, 1000);
        assert_eq!(
            sessions.read_fresh_state(&owner, id, &state, 2000),
            Some((1000, Algorithm::Sha512))
        );
        assert_eq!(
            sessions.read_fresh_state(&owner, id, &state, 1000 + FRESH_US),
            None
        );
        assert_eq!(
            sessions.read_fresh_state(&owner, UploadId::from_bytes([4; 16]), &state, 2000),
            None
        );
        for stranger in [
            Owner {
                registry: 2,
                repository: &name,
                principal: "admin",
            },
            Owner {
                registry: 1,
                repository: &other,
                principal: "admin",
            },
            Owner {
                registry: 1,
                repository: &name,
                principal: "anonymous",
            },
        ] {
            assert_eq!(sessions.read_fresh_state(&stranger, id, &state, 2000), None);
        }
        assert_eq!(
            Sessions::new([8; 32], true).read_fresh_state(&owner, id, &state, 2000),
            None
        );
        for i in 0..state.len() {
            let mut forged = state.clone().into_bytes();
            forged[i] ^= 1;
            let forged = String::from_utf8(forged).unwrap();
            assert_eq!(sessions.read_fresh_state(&owner, id, &forged, 2000), None);
        }
    }

    #[test]
    fn one_request_at_a_time_holds_a_session() {
        let sessions = Sessions::new([7; 32], true);
        let id = UploadId::from_bytes([3; 16]);
        let held = sessions.activate(id);
        assert!(held.is_some() && sessions.activate(id).is_none());
        drop(held);
        assert!(sessions.activate(id).is_some());
    }
}
