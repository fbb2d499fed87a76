//! What registries send, whatever it is.

use lazuli_outbound::distribution::stored::{layout_index, link};
use lazuli_outbound::distribution::testing::{
    Challenge, challenge, harbor_names, is_harbor, next_page,
};
use lazuli_wire::oci::{Algorithm, Digest};
use proptest::prelude::*;

/// As RFC 9110 §5.6.4 quotes.
fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{escaped}\"")
}

fn parameter() -> impl Strategy<Value = (String, String)> {
    ("[a-z]{1,6}", any::<String>()).prop_filter("not one of those that count", |(name, _)| {
        !["realm", "scope", "rel"].contains(&name.as_str()) && name != "service"
    })
}

fn space() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", " ", "  ", "\t"])
}

proptest! {
    #[test]
    fn a_challenge_is_read_back_however_it_is_written(
        realm in any::<String>(),
        service in proptest::option::of(any::<String>()),
        scope in proptest::option::of(any::<String>()),
        others in proptest::collection::vec(parameter(), 0..4),
        scheme in "[bB][eE][aA][rR][eE][rR]",
        (before, after) in (space(), space()),
        is_second in any::<bool>(),
    ) {
        let mut parameters = vec![("realm".to_owned(), realm.clone())];
        parameters.extend(service.iter().map(|value| ("SERVICE".to_owned(), value.clone())));
        parameters.extend(others);
        parameters.extend(scope.iter().map(|value| ("Scope".to_owned(), value.clone())));
        let parameters: Vec<_> = parameters
            .iter()
            .map(|(name, value)| format!("{name}{before}={after}{}", quoted(value)))
            .collect();
        let mut field = format!("{scheme} {}", parameters.join(&format!("{before},{after}")));
        if is_second {
            field = format!("Basic realm=\"x\", {field}");
        }
        prop_assert_eq!(challenge(&field), Some(Challenge::Bearer { realm, service, scope }));
    }

    #[test]
    fn any_field_is_read_without_an_end_and_what_comes_out_was_in_it(field in ".{0,200}") {
        if let Some(Challenge::Bearer { realm, .. }) = challenge(&field) {
            prop_assert!(field.to_ascii_lowercase().contains("bearer"));
            prop_assert!(realm.chars().all(|character| field.contains(character)));
        }
        if let Some(target) = next_page(&field) {
            let link = format!("<{target}>");
            prop_assert!(field.contains(&link));
        }
    }

    #[test]
    fn the_link_to_the_next_page_is_found_among_others(
        targets in proptest::collection::vec("[^>]{0,20}", 1..5),
        place in any::<prop::sample::Index>(),
        relations in "(last )?(next|NEXT)( up)?",
        others in proptest::collection::vec(parameter(), 0..3),
        is_bare in any::<bool>(),
    ) {
        let place = place.index(targets.len());
        let relation = if is_bare { "next".to_owned() } else { quoted(&relations) };
        let links: Vec<_> = targets
            .iter()
            .enumerate()
            .map(|(number, target)| {
                let others = others.iter().map(|(name, value)| format!("; {name}={}", quoted(value)));
                let rel = if number == place { relation.as_str() } else { "\"prev first\"" };
                format!("<{target}>{}; rel={rel}", others.collect::<String>())
            })
            .collect();
        let field = links.join(" , ");
        prop_assert_eq!(next_page(&field), Some(targets[place].as_str()));
    }

    #[test]
    fn lists_of_layouts_are_read_back(
        entries in proptest::collection::vec((any::<u8>(), proptest::option::of("[a-z0-9]{1,8}")), 0..6),
        host in "([a-z]{1,5}(:[0-9]{1,4})?/)?",
    ) {
        let digest = |seed: u8| Digest::of(Algorithm::Sha256, &[seed]);
        let manifests: Vec<_> = entries
            .iter()
            .map(|(seed, tag)| {
                let name = tag.as_ref().map(|tag| if host.is_empty() {
                    tag.clone()
                } else {
                    format!("{host}a/b:{tag}@{}", digest(*seed))
                });
                serde_json::json!({"digest": digest(*seed).to_string(), "annotations": {"org.opencontainers.image.ref.name": name}})
            })
            .collect();
        let index = serde_json::json!({"schemaVersion": 2, "manifests": manifests}).to_string();
        let expected: Vec<_> = entries.into_iter().map(|(seed, tag)| (tag, digest(seed))).collect();
        prop_assert_eq!(layout_index(index.as_bytes()), Ok(expected));
        // Cut short it is no list, and no panic.
        let cut = index.len() / 2;
        prop_assert!(layout_index(&index.as_bytes()[..cut]).is_err());
    }

    #[test]
    fn anything_on_a_disk_or_from_harbor_is_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = (layout_index(&bytes), harbor_names(&bytes), is_harbor(&bytes));
        if let Some(digest) = link(&bytes) {
            let text = String::from_utf8_lossy(&bytes);
            prop_assert_eq!(digest.to_string(), text.trim());
        }
    }
}
