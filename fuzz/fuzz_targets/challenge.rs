//! `WWW-Authenticate` and `Link` of other registries: what was read is read again from its own quoted form.
#![no_main]

use lazuli_outbound::distribution::testing::{Challenge, challenge, next_page};
use libfuzzer_sys::fuzz_target;

fn quoted(name: &str, text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("{name}=\"{escaped}\"")
}

fuzz_target!(|field: &str| {
    if let Some(target) = next_page(field) {
        let link = format!("<{target}>; rel=\"next\"");
        assert!(field.contains(&format!("<{target}>")));
        assert_eq!(next_page(&link), Some(target));
        let second = format!("</prev>; rel=\"prev\"; title=\"a, b; \\\" rel=next\" , {link}");
        assert_eq!(next_page(&second), Some(target));
    }
    match challenge(field) {
        None => {}
        Some(Challenge::Basic) => assert!(field.to_ascii_lowercase().contains("basic")),
        Some(found) => {
            let Challenge::Bearer {
                realm,
                service,
                scope,
            } = &found
            else {
                unreachable!()
            };
            let mut all = vec![quoted("realm", realm)];
            all.extend(service.iter().map(|text| quoted("service", text)));
            all.extend(scope.iter().map(|text| quoted("scope", text)));
            let again = format!("Basic realm=\"a, Bearer\", Bearer {}", all.join(", "));
            assert_eq!(challenge(&again), Some(found));
        }
    }
});
