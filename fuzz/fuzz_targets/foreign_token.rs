//! Tokens and documents of other issuers: nothing in them counts that no trusted key has signed.
#![no_main]

use lazuli_identity::testing::{foreign_token, issuer_documents};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    issuer_documents(data);
    if let Ok(text) = std::str::from_utf8(data) {
        assert!(!foreign_token(text));
    }
});
