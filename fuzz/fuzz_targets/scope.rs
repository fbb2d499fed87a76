//! Scopes: what is understood is shown in a form that is understood the same, and stays inside a challenge's quotes.
#![no_main]

use lazuli_wire::token::{AccessEntry, Challenge, MAX_SCOPES, Scope, unauthorized_body};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let scope = Scope::parse(text);
    if scope != Scope::Other {
        assert_eq!(Scope::parse(&scope.to_string()), scope);
        let entry =
            AccessEntry::new(&scope, scope.actions()).expect("an understood scope has an entry");
        assert_eq!(entry.scope(), scope);
    }
    assert!(unauthorized_body(Some(&scope)).ends_with(b"\n"));
    let challenge = Challenge::new("https", text, Some(scope)).header_value();
    assert!(challenge.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    if let Ok(scopes) = Scope::parse_list([text, text]) {
        assert!(scopes.len() <= MAX_SCOPES);
    }
});
