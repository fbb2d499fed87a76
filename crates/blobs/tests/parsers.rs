//! Saved hashes and stored locations, and anything that is neither.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fmt::Write;

use lazuli_blobs::{Hasher, Location};
use lazuli_wire::oci::{Algorithm, Digest, UploadId};
use proptest::collection::vec;
use proptest::prelude::*;

fn algorithms() -> impl Strategy<Value = Algorithm> {
    prop::sample::select(Algorithm::ALL.to_vec())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// A state as it would be after that many bytes, the last ones all alike.
fn state_of(algorithm: Algorithm, length: u64, value: u8) -> Vec<u8> {
    let (width, block) = (algorithm.hash_len(), algorithm.hash_len() as u64 * 2);
    let waiting = length % block;
    let mut saved = vec![1, algorithm.code()];
    saved.extend(length.to_be_bytes());
    saved.extend(vec![value; width]);
    saved.extend(&u128::from(length / block).to_le_bytes()[..width / 4]);
    saved.push(waiting as u8);
    saved.extend(vec![value; waiting as usize]);
    saved.resize(saved.len() + (block - 1 - waiting) as usize, 0);
    saved
}

proptest! {
    #[test]
    fn a_hash_saved_anywhere_carries_on(
        algorithm in algorithms(),
        bytes in vec(any::<u8>(), 0..2000),
        splits in vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut splits: Vec<_> = splits.iter().map(|split| split.index(bytes.len() + 1)).collect();
        splits.sort_unstable();
        let mut hasher = Hasher::new(algorithm);
        let mut start = 0;
        for end in splits.into_iter().chain([bytes.len()]) {
            hasher.update(&bytes[start..end]);
            hasher = Hasher::restore(&hasher.save()).unwrap();
            prop_assert_eq!(hasher.len(), end as u64);
            prop_assert_eq!(hasher.algorithm(), algorithm);
            start = end;
        }
        prop_assert_eq!(hasher.finish(), Digest::of(algorithm, &bytes));
    }

    #[test]
    fn a_changed_state_is_refused_or_of_the_same_length(
        algorithm in algorithms(),
        length in 0_usize..400,
        place in any::<prop::sample::Index>(),
        flip in 1_u8..,
    ) {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(&vec![7; length]);
        let mut saved = hasher.save();
        let place = place.index(saved.len());
        saved[place] ^= flip;
        if let Ok(restored) = Hasher::restore(&saved) {
            prop_assert_eq!(restored.len(), length as u64);
            prop_assert_eq!(restored.save(), saved);
            // No counter: only the value so far and the bytes that wait for a full block can be anything.
            let counters = 10 + algorithm.hash_len();
            prop_assert!(place >= 10);
            prop_assert!(!(counters..=counters + algorithm.hash_len() / 4).contains(&place));
        }
    }

    #[test]
    fn anything_may_be_restored_from(bytes in vec(any::<u8>(), 0..300)) {
        let _ = Hasher::restore(&bytes);
    }

    #[test]
    fn whatever_is_restored_is_whole_and_carries_on(
        algorithm in algorithms(),
        length in prop_oneof![any::<u64>(), 0..1000_u64, (1_u64 << 60) - 99..=(1_u64 << 60) + 99],
        value in any::<u8>(),
        more in vec(any::<u8>(), 0..300),
    ) {
        let saved = state_of(algorithm, length, value);
        let restored = Hasher::restore(&saved);
        // SHA-256 ends at 2^61 bytes.
        prop_assert_eq!(restored.is_ok(), length <= 1 << 60);
        if let Ok(mut hasher) = restored {
            prop_assert_eq!(hasher.save(), saved);
            hasher.update(&more);
            prop_assert_eq!(hasher.len(), length + more.len() as u64);
            hasher.finish();
        }
    }

    #[test]
    fn locations_read_back(
        algorithm in algorithms(),
        content in vec(any::<u8>(), 0..10),
        prefix in "[A-Za-z0-9_-]{1,64}",
        upload in any::<[u8; 16]>(),
    ) {
        let digest = Digest::of(algorithm, &content);
        let location = Location::new(&prefix, &digest, UploadId::from_bytes(upload)).unwrap();
        prop_assert_eq!(&Location::parse(location.as_str()).unwrap(), &location);
        prop_assert_eq!(location.digest(), Some(digest));
        prop_assert_eq!(location.to_string(), location.as_str());
    }

    #[test]
    fn what_is_read_could_have_been_made(
        algorithm in algorithms(),
        prefix in "[A-Za-z0-9_-]{1,3}",
        upload in any::<[u8; 16]>(),
        place in any::<prop::sample::Index>(),
        removed in 0_usize..3,
        inserted in "[a-f0-9./_A-Z-]{0,2}",
    ) {
        let digest = Digest::of(algorithm, prefix.as_bytes());
        let mut text = Location::new(&prefix, &digest, UploadId::from_bytes(upload)).unwrap().to_string();
        // Half of the places are in the short parts at the beginning.
        let place = place.index(text.len() * 2) % text.len();
        let place = if place < text.len() / 2 { place % 14 } else { place };
        text.replace_range(place..(place + removed).min(text.len()), &inserted);
        if let Ok(location) = Location::parse(&text) {
            let (prefix, rest) = text.split_once('/').unwrap();
            prop_assert!(!prefix.contains('.'));
            let suffix = rest.split_once('-').unwrap().1;
            let upload = UploadId::parse(&format!("00000000-0000-4000-8000-{suffix}")).unwrap();
            let made = Location::new(prefix, &location.digest().unwrap(), upload);
            prop_assert_eq!(made, Ok(location));
        }
    }

    #[test]
    fn no_location_leads_out(
        text in "([A-Za-z0-9._/\\\\-]{0,30}/){0,4}(sha256/[0-9a-f]{2}/[0-9a-f]{64}-[0-9a-f]{12})?.{0,5}",
    ) {
        if let Ok(location) = Location::parse(&text) {
            let parts: Vec<_> = location.as_str().split('/').collect();
            prop_assert_eq!(parts.len(), 4);
            prop_assert!(parts.iter().all(|part| !part.is_empty() && !part.contains('.')));
            prop_assert!(location.as_str().bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\'));
        }
    }
}

#[test]
fn hostile_locations_are_refused() {
    let hash = "a".repeat(64);
    let good = format!("1/sha256/aa/{hash}-0123456789ab");
    assert!(Location::parse(&good).is_ok());
    let hostile = [
        String::new(),
        format!("/{good}"),
        format!("{good}/"),
        format!("../{good}"),
        format!("./sha256/aa/{hash}-0123456789ab"),
        format!("1//sha256/aa/{hash}-0123456789ab"),
        format!("1/sha512/aa/{hash}-0123456789ab"),
        format!("1/sha256/ab/{hash}-0123456789ab"),
        format!("1/sha256/a/{hash}-0123456789ab"),
        format!("1/sha256/aaa/{hash}-0123456789ab"),
        format!("1/sha256/aa/{hash}-0123456789aB"),
        format!("1/sha256/aa/{hash}-0123456789abc"),
        format!("1/sha256/aa/{hash}-"),
        format!("1/sha256/aa/{hash}"),
        format!("1/sha256/aa/A{}-0123456789ab", &hash[1..]),
        format!("1/sha256/aa/{hash}-0123456789ab\0"),
        format!("1\0/sha256/aa/{hash}-0123456789ab"),
        good.replace('/', "\\"),
    ];
    for text in hostile {
        assert!(Location::parse(&text).is_err(), "{text:?}");
    }
}

/// States in the database outlive the program that wrote them. If this fails after an update of the sha2 crate, its
/// layout has changed: give the new one a new version, and keep reading the old one.
#[test]
fn saved_states_keep_their_form() {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(&[b'x'; 64]);
    hasher.update(b"lazuli");
    let saved = hasher.save();
    assert_eq!(saved.len(), 114);
    assert_eq!(hex(&saved[..10]), "01010000000000000046");
    assert_eq!(hex(&saved[10..]).trim_end_matches('0'), SHA256_STATE);
    let mut hasher = Hasher::new(Algorithm::Sha512);
    hasher.update(&[b'x'; 128]);
    hasher.update(b"lazuli");
    let saved = hasher.save();
    assert_eq!(saved.len(), 218);
    assert_eq!(hex(&saved[..10]), "01020000000000000086");
    assert_eq!(hex(&saved[10..]).trim_end_matches('0'), SHA512_STATE);
}

/// Up to the zeros at the end.
const SHA256_STATE: &str = "46cd328b442d77d0198e15e4e27214ed182aa435e0ceec365b2992e2deffad850100000000000000066c617a756c69";
const SHA512_STATE: &str = "0a71f6caa7bb94b9d79228c132f2509e73b847044fc20e3ffb7b7b8627eb5441abdfb322955d8ccf38c84543596d74adceed8dfd004dd79ca7b47ec2b43bcfe301000000000000000000000000000000066c617a756c69";
