//! Claims of tokens: what is read survives being written.
#![no_main]

use lazuli_wire::token::{AccessClaims, RefreshClaims};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|payload: &[u8]| {
    if let Ok(claims) = AccessClaims::parse(payload) {
        let written = serde_json::to_vec(&claims).expect("claims are JSON");
        assert_eq!(
            AccessClaims::parse(&written).expect("written claims are read"),
            claims
        );
        claims.access.iter().for_each(|entry| drop(entry.scope()));
    }
    if let Ok(claims) = RefreshClaims::parse(payload) {
        let written = serde_json::to_vec(&claims).expect("claims are JSON");
        assert_eq!(
            RefreshClaims::parse(&written).expect("written claims are read"),
            claims
        );
    }
});
