//! The `_state` of an upload session that holds nothing yet: only what was made here for the same session is read.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use lazuli_registry::testing::{STATE_LIFE_US, StateOf, UploadStates};
use lazuli_wire::oci::{Algorithm, RepositoryName, UploadId};
use proptest::prelude::*;

#[derive(Debug, Clone)]
struct Session {
    registry: i64,
    repository: RepositoryName,
    principal: String,
    id: UploadId,
}

impl Session {
    fn of(&self) -> StateOf<'_> {
        StateOf {
            registry: self.registry,
            repository: &self.repository,
            principal: &self.principal,
            id: self.id,
        }
    }
}

/// Few of each, so that two are alike in all but one now and then.
fn sessions() -> impl Strategy<Value = Session> {
    let names = prop_oneof![
        Just("a/b".to_owned()),
        Just("a/bc".into()),
        "[a-z]{1,9}/[a-z]{1,9}"
    ];
    let principals = prop_oneof![Just("admin".to_owned()), Just(String::new()), "\\PC{0,12}"];
    (
        1_i64..4,
        names,
        principals,
        prop_oneof![Just([3; 16]), any::<[u8; 16]>()],
    )
        .prop_map(|(registry, name, principal, id)| Session {
            registry,
            repository: RepositoryName::parse(&name).unwrap(),
            principal,
            id: UploadId::from_bytes(id),
        })
}

fn algorithms() -> impl Strategy<Value = Algorithm> {
    prop::sample::select(Algorithm::ALL.to_vec())
}

/// Times of this and the next thousands of years, in microseconds.
fn times() -> impl Strategy<Value = i64> {
    1..i64::MAX / 4
}

fn states() -> UploadStates {
    UploadStates::new([7; 32])
}

proptest! {
    #[test]
    fn what_was_made_is_read_for_its_time(
        session in sessions(),
        algorithm in algorithms(),
        born in times(),
        age in prop_oneof![0..2 * STATE_LIFE_US, STATE_LIFE_US - 2..STATE_LIFE_US + 2],
    ) {
        let state = states().make(&session.of(), algorithm, born);
        let read = states().read(&session.of(), &state, born + age);
        prop_assert_eq!(read, (age < STATE_LIFE_US).then_some((born, algorithm)));
    }

    #[test]
    fn a_state_is_for_one_session_and_installation(
        one in sessions(),
        other in sessions(),
        algorithm in algorithms(),
        born in times(),
        key: [u8; 32],
    ) {
        let state = states().make(&one.of(), algorithm, born);
        let read = states().read(&other.of(), &state, born);
        prop_assert_eq!(read.is_some(), one.of() == other.of());
        prop_assert_eq!(UploadStates::new(key).read(&one.of(), &state, born), None);
    }

    #[test]
    fn names_do_not_run_into_each_other(session in sessions(), algorithm in algorithms(), letter in "[a-z]") {
        let longer = RepositoryName::parse(&format!("{}{letter}", session.repository.as_str())).unwrap();
        let one = StateOf { repository: &longer, ..session.of() };
        let principal = letter + &session.principal;
        let other = StateOf { principal: &principal, ..session.of() };
        let state = states().make(&one, algorithm, 1);
        prop_assert_eq!(states().read(&other, &state, 1), None);
    }

    #[test]
    fn a_changed_state_is_refused(
        session in sessions(),
        algorithm in algorithms(),
        born in times(),
        byte in prop_oneof![0_u8..0x80, prop::sample::select(b"0123456789abcdef".to_vec())],
    ) {
        let state = states().make(&session.of(), algorithm, born);
        for place in 0..state.len() {
            let mut changed = state.clone().into_bytes();
            changed[place] = byte;
            let changed = String::from_utf8(changed).unwrap();
            // At no time: a later birth would be good for longer.
            if states().read(&session.of(), &changed, i64::MIN).is_some() {
                prop_assert_eq!(&changed, &state);
            }
        }
    }

    #[test]
    fn states_cannot_be_put_together(
        session in sessions(),
        algorithms in (algorithms(), algorithms()),
        births in (times(), times()),
        cut in prop_oneof![Just(16_usize), Just(18), 0..50_usize],
    ) {
        let one = states().make(&session.of(), algorithms.0, births.0);
        let other = states().make(&session.of(), algorithms.1, births.1);
        let mixed = format!("{}{}", &one[..cut], &other[cut..]);
        let is_whole = mixed == one || mixed == other;
        prop_assert_eq!(states().read(&session.of(), &mixed, i64::MIN).is_some(), is_whole);
    }

    #[test]
    fn a_state_of_another_length_is_refused(
        session in sessions(),
        algorithm in algorithms(),
        born in times(),
        cut in any::<prop::sample::Index>(),
        more in "\\PC{1,3}",
    ) {
        let state = states().make(&session.of(), algorithm, born);
        for text in [&state[..cut.index(state.len())], &(state.clone() + &more), &(more + &state)] {
            prop_assert_eq!(states().read(&session.of(), text, born), None);
        }
    }

    #[test]
    fn nothing_else_is_a_state(session in sessions(), text in prop_oneof!["\\PC{0,60}", "[0-9a-f]{50}"], now: i64) {
        prop_assert_eq!(states().read(&session.of(), &text, now), None);
    }
}
