//! Manifests that are too much, and properties of any manifest and of any bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod manifest_fixtures;

use std::collections::BTreeMap;
use std::time::Duration;

use lazuli_wire::oci::media_type::{DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
use lazuli_wire::oci::{Digest, ManifestError, ManifestKind, ManifestLimits, ParsedManifest};
use manifest_fixtures::{descriptor, image, index, parse, parse_text};
use proptest::prelude::*;
use serde_json::{Value, json};

#[test]
fn size_is_bounded_exactly() {
    let text = image().to_string();
    let limits = ManifestLimits {
        max_bytes: text.len(),
        ..ManifestLimits::default()
    };
    assert!(ParsedManifest::parse(None, text.as_bytes(), &limits).is_ok());
    let error = ParsedManifest::parse(None, format!("{text} ").as_bytes(), &limits).unwrap_err();
    assert_eq!(error, ManifestError::TooLarge { limit: text.len() });
}

#[test]
fn four_mebibytes_are_accepted() {
    let limits = ManifestLimits::default();
    let padding = limits.max_bytes - image().to_string().len() - r#","x":"""#.len();
    let mut value = image();
    value["x"] = json!("y".repeat(padding));
    let text = value.to_string();
    assert_eq!(text.len(), 4 * 1024 * 1024);
    assert!(parse_text(None, &text).is_ok());
}

#[test]
fn depth_is_bounded_exactly_and_without_recursion() {
    let nested = |depth: usize| {
        let inner = format!("{}{}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        image()
            .to_string()
            .replacen('{', &format!("{{\"x\":{inner},"), 1)
    };
    assert!(parse_text(None, &nested(32)).is_ok());
    assert_eq!(
        parse_text(None, &nested(33)),
        Err(ManifestError::TooDeep { limit: 32 })
    );
    for open in ["[", "{\"a\":", "[{\"a\":"] {
        let text = open.repeat(500_000);
        assert_eq!(
            parse_text(None, &text),
            Err(ManifestError::TooDeep { limit: 32 })
        );
    }
}

#[test]
fn brackets_in_strings_are_no_depth() {
    let mut value = image();
    value["x"] = json!("[{".repeat(100));
    value["y"] = json!("\\\"[[".repeat(100));
    assert!(parse(None, &value).is_ok());
}

#[test]
fn lists_are_bounded_exactly() {
    let limits = ManifestLimits {
        max_descriptors: 3,
        max_annotations: 2,
        max_keys: 8,
        ..ManifestLimits::default()
    };
    let parse = |value: &Value| {
        ParsedManifest::parse(None, value.to_string().as_bytes(), &limits).map(drop)
    };
    let too_many = |what, limit| Err(ManifestError::TooMany { what, limit });

    for (field, mut value) in [("layers", image()), ("manifests", index())] {
        value[field] = json!(vec![descriptor("a/b", "x"); 3]);
        assert_eq!(parse(&value), Ok(()));
        value[field] = json!(vec![descriptor("a/b", "x"); 4]);
        assert_eq!(parse(&value), too_many("a list of descriptors", 3));
    }
    for target in ["", "/config", "/layers/1"] {
        let mut value = image();
        value.pointer_mut(target).unwrap()["annotations"] = json!({"a": "", "b": ""});
        assert_eq!(parse(&value), Ok(()), "{target}");
        value.pointer_mut(target).unwrap()["annotations"]["c"] = json!("");
        assert_eq!(parse(&value), too_many("annotations", 2), "{target}");
    }
    let mut value = image();
    for key in 0..4 {
        value[format!("x{key}")] = json!(0);
    }
    assert_eq!(parse(&value), Ok(()));
    value["x4"] = json!(0);
    assert_eq!(parse(&value), too_many("the manifest", 8));
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "measures how long the parser itself takes"
)]
fn the_worst_of_four_mebibytes_takes_no_long_time() {
    let limits = ManifestLimits::default();
    let fill = |unit: &str, open: &str, close: &str| {
        let count = (limits.max_bytes - open.len() - close.len()) / (unit.len() + 1);
        format!("{open}{}{close}", vec![unit; count].join(","))
    };
    let keys: Vec<_> = (0..60).map(|key| format!("\"{key}\":0")).collect();
    let descriptor = format!("{{{}}}", keys.join(","));
    for text in [
        fill("{}", r#"{"layers":["#, "]}"),
        fill(&descriptor, r#"{"layers":["#, "]}"),
        fill("[]", r#"{"x":["#, "]}"),
        fill("0", r#"{"x":["#, "]}"),
        fill(r#""a":"""#, r#"{"annotations":{"#, "}}"),
        fill(r#""a":0"#, "{", "}"),
        format!(
            "{{\"x\":\"{}\"}}",
            "\\u0041".repeat(limits.max_bytes / 6 - 10)
        ),
        format!("{{\"{}\":0}}", "\\\\".repeat(limits.max_bytes / 2 - 10)),
    ] {
        let start = std::time::Instant::now();
        assert!(parse_text(Some(OCI_MANIFEST), &text).is_err());
        // Some tens of milliseconds unoptimised; what is quadratic takes minutes.
        assert!(start.elapsed() < Duration::from_secs(5), "{}", &text[..40]);
    }
}

#[test]
fn refusals_never_quote_more_than_an_excerpt() {
    let long = "k".repeat(100_000);
    for text in [
        format!(r#"{{"{long}":1,"{long}":1}}"#),
        format!(r#"{{"mediaType":"{long}"}}"#),
        format!(r#"{{"schemaVersion":"{long}"}}"#),
        format!(r#"{{"mediaType":"{}"}}"#, "é".repeat(50_000)),
    ] {
        assert!(parse_text(None, &text).unwrap_err().to_string().len() < 400);
    }
}

fn any_descriptor() -> impl Strategy<Value = Value> {
    let media_type =
        "[a-z]{1,8}/[a-z.+-]{1,12}|application/vnd\\.oci\\.image\\.manifest\\.v1\\+json";
    (
        media_type,
        "[a-z]{0,12}",
        prop::option::of(any_annotations()),
    )
        .prop_map(|(media_type, content, annotations)| {
            let mut value = descriptor(&media_type, &content);
            if let Some(annotations) = annotations {
                value["annotations"] = json!(annotations);
            }
            value
        })
}

fn any_annotations() -> impl Strategy<Value = BTreeMap<String, String>> {
    prop::collection::btree_map(any::<String>(), any::<String>(), 0..4)
}

/// Valid manifests of the OCI kinds.
fn any_manifest() -> impl Strategy<Value = Value> {
    let descriptors = prop::collection::vec(any_descriptor(), 0..5);
    let optional = (
        prop::option::of(any_descriptor()),
        prop::option::of(any_annotations()),
        prop::option::of("[a-z]{1,8}/[a-z]{1,8}"),
        any::<bool>(),
    );
    (any::<bool>(), any_descriptor(), descriptors, optional).prop_map(
        |(is_image, config, list, optional)| {
            let (subject, annotations, artifact_type, with_type) = optional;
            let mut value = json!({"schemaVersion": 2});
            if with_type {
                value["mediaType"] = json!(if is_image { OCI_MANIFEST } else { OCI_INDEX });
            }
            if is_image {
                value["config"] = config;
                value["layers"] = json!(list);
            } else {
                value["manifests"] = json!(list);
            }
            for (key, optional) in [
                ("subject", subject),
                (
                    "annotations",
                    annotations.map(|annotations| json!(annotations)),
                ),
                ("artifactType", artifact_type.map(Value::String)),
            ] {
                if let Some(content) = optional {
                    value[key] = content;
                }
            }
            value
        },
    )
}

fn digests<'a>(values: impl IntoIterator<Item = &'a Value>) -> Vec<Digest> {
    values
        .into_iter()
        .map(|value| Digest::parse(value["digest"].as_str().unwrap()).unwrap())
        .collect()
}

/// JSON values, with the fields of manifests among the keys.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
        Just(json!(2)),
        Just(json!(OCI_MANIFEST)),
        Just(descriptor("a/b", "x")),
    ];
    let key = "[a-z]{0,2}|schemaVersion|mediaType|config|layers|manifests|blobs|subject|annotations|artifactType|digest|size|data|Config";
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..6).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// Brackets of the deepest place.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(values) => 1 + values.iter().map(depth).max().unwrap_or(0),
        Value::Object(values) => 1 + values.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

proptest! {
    #[test]
    fn what_is_read_is_what_was_written(value in any_manifest(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
        let manifest = parse_text(None, &text).unwrap();
        let list = |key: &str| digests(value.get(key).and_then(Value::as_array).into_iter().flatten());
        prop_assert_eq!(manifest.layers.iter().map(|layer| layer.digest).collect::<Vec<_>>(), list("layers"));
        prop_assert_eq!(manifest.manifests.iter().map(|child| child.digest).collect::<Vec<_>>(), list("manifests"));
        prop_assert_eq!(manifest.config.iter().map(|config| config.digest).collect::<Vec<_>>(), digests(value.get("config")));
        prop_assert_eq!(manifest.subject.iter().map(|subject| subject.digest).collect::<Vec<_>>(), digests(value.get("subject")));
        let annotations = value.get("annotations").cloned().unwrap_or_else(|| json!({}));
        prop_assert_eq!(json!(manifest.annotations), annotations);
        let own_type = value.get("artifactType").and_then(Value::as_str);
        let config_type = value.pointer("/config/mediaType").and_then(Value::as_str);
        prop_assert_eq!(manifest.artifact_type.as_deref(), own_type.or(config_type));
        let is_index = value.get("manifests").is_some();
        prop_assert_eq!(manifest.kind, if is_index { ManifestKind::OciIndex } else { ManifestKind::OciManifest });
        prop_assert!(parse_text(Some(DOCKER_MANIFEST), &text).is_err() || value.get("mediaType").is_none());
    }

    #[test]
    fn changed_bytes_never_panic(value in any_manifest(), edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = value.to_string().into_bytes();
        for (position, byte) in edits {
            let position = position.index(bytes.len());
            bytes[position] = byte;
        }
        let _ = ParsedManifest::parse(Some(OCI_MANIFEST), &bytes, &ManifestLimits::default());
        let _ = ParsedManifest::parse(None, &bytes, &ManifestLimits::default());
    }

    #[test]
    fn a_truncated_manifest_is_refused(value in any_manifest(), end in any::<prop::sample::Index>()) {
        let text = value.to_string().into_bytes();
        let text = &text[..end.index(text.len())];
        prop_assert!(ParsedManifest::parse(None, text, &ManifestLimits::default()).is_err());
    }

    #[test]
    fn any_json_is_read_or_refused_and_never_deeper_than_allowed(value in any_json()) {
        let limits = ManifestLimits { max_depth: 4, ..ManifestLimits::default() };
        for content_type in [None, Some(OCI_MANIFEST), Some(OCI_INDEX)] {
            let outcome = ParsedManifest::parse(content_type, value.to_string().as_bytes(), &limits);
            prop_assert_eq!(outcome == Err(ManifestError::TooDeep { limit: 4 }), depth(&value) > 4);
            if let Ok(manifest) = outcome {
                prop_assert!(value.is_object());
                prop_assert!(manifest.config.is_some() != manifest.kind.is_index());
            }
        }
    }

    #[test]
    fn no_bytes_panic(bytes in any::<Vec<u8>>(), dense in "[]\\[{}\":,\\\\ 0a]{0,60}") {
        let _ = ParsedManifest::parse(None, &bytes, &ManifestLimits::default());
        let _ = ParsedManifest::parse(Some(OCI_MANIFEST), dense.as_bytes(), &ManifestLimits::default());
    }
}
