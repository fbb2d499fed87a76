//! Saved hashes: what is read is what was saved, and carries on as if nothing had been between.
#![no_main]

use lazuli_blobs::Hasher;
use lazuli_wire::oci::{Algorithm, Digest};
use libfuzzer_sys::fuzz_target;

/// Longer ones are not carried on.
const LONGEST: u64 = 1 << 60;

/// Anything that is read is saved as it was, and can be used like any other.
fn any(saved: &[u8]) {
    let Ok(mut hasher) = Hasher::restore(saved) else {
        return;
    };
    assert_eq!(hasher.save(), saved);
    let length = hasher.len();
    hasher.update(&[0; 300]);
    assert_eq!(hasher.len(), length + 300);
    match Hasher::restore(&hasher.save()) {
        Ok(again) => assert_eq!(again.finish(), hasher.finish()),
        Err(_) => assert!(hasher.len() > LONGEST),
    }
}

/// Pieces are as long as the first bytes say.
fn in_pieces(algorithm: Algorithm, lengths: &[u8], mut bytes: &[u8]) {
    let whole = Digest::of(algorithm, bytes);
    let mut hasher = Hasher::new(algorithm);
    for length in lengths {
        let (piece, rest) = bytes.split_at(usize::from(*length).min(bytes.len()));
        hasher.update(piece);
        hasher = Hasher::restore(&hasher.save()).expect("what was saved can be restored");
        bytes = rest;
    }
    hasher.update(bytes);
    assert_eq!(hasher.finish(), whole);
}

fuzz_target!(|data: &[u8]| {
    any(data);
    if let Some((lengths, bytes)) = data.split_at_checked(4) {
        for algorithm in Algorithm::ALL {
            in_pieces(algorithm, lengths, bytes);
        }
    }
});
