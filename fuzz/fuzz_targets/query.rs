//! Queries and forms: bounded, text, and the same whether read as text or as bytes.
#![no_main]

use lazuli_wire::query::{Query, QueryLimits};
use libfuzzer_sys::fuzz_target;

const LIMITS: QueryLimits = QueryLimits {
    max_length: 4096,
    max_pairs: 16,
};

fuzz_target!(|body: &[u8]| {
    let read = Query::parse_bytes(body, &LIMITS);
    if let Ok(text) = std::str::from_utf8(body) {
        assert_eq!(read, Query::parse(text, &LIMITS));
    } else {
        assert!(read.is_err());
    }
    let Ok(query) = read else { return };
    assert!(query.iter().count() <= LIMITS.max_pairs);
    for (name, value) in query.iter() {
        assert!(!name.contains('\0') && !value.contains('\0'));
        assert!(query.all(name).any(|other| other == value));
        assert_eq!(query.single(name).is_ok(), query.all(name).count() == 1);
    }
});
