//! Paths: what is read is a permitted route whose own path leads to itself.
#![no_main]

use http::Method;
use lazuli_wire::oci::Route;
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
        let written = route.to_string();
        // A tag may have two dots in a row; no segment consists of them.
        assert!(
            written
                .split('/')
                .all(|segment| !matches!(segment, "." | ".."))
        );
        assert!(
            written
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'%' | b'\\'))
        );
        assert_eq!(Route::parse(method, &written), Ok(route));
    }
}

fuzz_target!(|path: &str| {
    check(path);
    check(&format!("/v2/{path}"));
    let _ = lazuli_wire::token::Route::parse(&Method::POST, path);
});
