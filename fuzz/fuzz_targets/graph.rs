//! The directory's interface: a filter, in its first line, chooses among objects; the rest is a path.
#![no_main]

use lazuli_wire::graph::{Filter, Route};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (filter, path) = text.split_once('\n').unwrap_or((text, text));
    if let Ok(filter) = Filter::parse(filter) {
        let object = json!({ "displayName": "a", "list": ["a", "b"], "flag": true });
        let object = object.as_object().expect("it is one");
        let _ = filter.matches(object);
        if let Some(demanded) = filter.demands("displayName") {
            // What a filter demands is all that passes it.
            let is_it = demanded.to_lowercase() == "a";
            assert!(is_it || !filter.matches(object));
        }
    }
    if let Some(rest) = Route::strip_prefix(path) {
        let _ = Route::parse(rest);
    }
    if let Some(route) = Route::parse(path) {
        assert!(route.changes(&http::Method::DELETE) || !route.has_method(&http::Method::DELETE));
    }
});
