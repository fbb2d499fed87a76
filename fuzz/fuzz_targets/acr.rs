//! The data plane: a path that is read leads to itself, and a change of attributes says no more than its body.
#![no_main]

use http::Method;
use lazuli_wire::acr::{AttributesChange, Flags, Route};
use libfuzzer_sys::fuzz_target;

const METHODS: [Method; 6] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
];

fn check(path: &str) {
    for method in &METHODS {
        let Ok(route) = Route::parse(method, path) else {
            continue;
        };
        assert!(route.permission(method).is_some(), "{route:?}");
        assert!(route.scope(method).is_some(), "{route:?}");
        let written = route.to_string();
        assert!(
            written
                .split('/')
                .all(|segment| !matches!(segment, "." | ".."))
        );
        assert_eq!(Route::parse(method, &written), Ok(route));
    }
}

fuzz_target!(|text: &str| {
    let _ = lazuli_wire::oci::ImagePlatform::of_config(text.as_bytes());
    check(text);
    check(&format!("/acr/v1/{text}"));
    if let Ok(change) = AttributesChange::parse(text.as_bytes()) {
        let once = change.apply_to(Flags::ALL);
        assert_eq!(change.apply_to(once), once);
        assert!(change.quarantine_details.is_none_or(|details| details.len() < text.len()));
    }
});
