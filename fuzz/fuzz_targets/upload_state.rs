//! The `_state` of an upload session: nothing is believed but what was made for the same session.
#![no_main]

use std::sync::LazyLock;

use lazuli_registry::testing::{STATE_LIFE_US, StateOf, UploadStates};
use lazuli_wire::oci::{Algorithm, RepositoryName, UploadId};
use libfuzzer_sys::fuzz_target;

/// 2025-01-01T00:00:00Z
const NOW: i64 = 1_735_689_600_000_000;

static STATES: LazyLock<UploadStates> = LazyLock::new(|| UploadStates::new([7; 32]));
static NAME: LazyLock<RepositoryName> =
    LazyLock::new(|| RepositoryName::parse("a/b").expect("a name"));

fn mine() -> StateOf<'static> {
    StateOf {
        registry: 1,
        repository: &NAME,
        principal: "admin",
        id: UploadId::from_bytes([3; 16]),
    }
}

fn foreign(text: &[u8]) {
    if let Ok(text) = std::str::from_utf8(text) {
        for now in [0, NOW, i64::MIN, i64::MAX] {
            assert_eq!(STATES.read(&mine(), text, now), None);
        }
    }
}

/// Pairs of a place and the bits to change there.
fn altered(changes: &[u8]) {
    let state = STATES.make(&mine(), Algorithm::Sha512, NOW);
    assert!(STATES.read(&mine(), &state, NOW).is_some());
    let mut bytes = state.clone().into_bytes();
    for change in changes.chunks_exact(2) {
        let place = usize::from(change[0]) % bytes.len();
        bytes[place] ^= change[1];
    }
    if let Ok(text) = std::str::from_utf8(&bytes)
        && STATES.read(&mine(), text, i64::MIN).is_some()
    {
        assert_eq!(text, state, "a changed state is believed");
    }
}

/// Registry, session, time, and the names of repository and principal.
fn for_another(session: &[u8]) {
    let Some(([registry, id, age @ .., b'\n'], names)) = session.split_first_chunk::<11>() else {
        return;
    };
    let Ok(names) = std::str::from_utf8(names) else {
        return;
    };
    let (name, principal) = names.split_once('\n').unwrap_or((names, ""));
    let Ok(repository) = RepositoryName::parse(name) else {
        return;
    };
    let born = NOW + i64::from_le_bytes(*age) / 8;
    let of = StateOf {
        registry: i64::from(*registry),
        repository: &repository,
        principal,
        id: UploadId::from_bytes([*id; 16]),
    };
    let state = STATES.make(&of, Algorithm::Sha256, born);
    let read = STATES.read(&of, &state, NOW);
    let is_fresh = born >= 0 && NOW.saturating_sub(born) < STATE_LIFE_US;
    assert_eq!(read, is_fresh.then_some((born, Algorithm::Sha256)));
    assert_eq!(
        STATES.read(&mine(), &state, NOW).is_some(),
        is_fresh && of == mine()
    );
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, rest)) = data.split_first() else {
        return;
    };
    match kind {
        b't' => foreign(rest),
        b'a' => altered(rest),
        b's' => for_another(rest),
        _ => {}
    }
});
