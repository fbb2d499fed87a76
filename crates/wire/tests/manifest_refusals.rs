//! Manifests that are refused, and why.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod manifest_fixtures;

use lazuli_wire::oci::media_type::{
    DOCKER_MANIFEST, DOCKER_SCHEMA1, DOCKER_SCHEMA1_SIGNED, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST,
};
use lazuli_wire::oci::{ManifestError, ManifestLimits, Place};
use manifest_fixtures::{descriptor, image, index, parse, parse_text};
use serde_json::{Value, json};

fn refusal(content_type: &str, value: &Value) -> ManifestError {
    parse(Some(content_type), value).unwrap_err()
}

#[test]
fn a_media_type_the_body_contradicts_is_refused() {
    let error = refusal(DOCKER_MANIFEST, &image());
    assert_eq!(
        error,
        ManifestError::MediaTypeMismatch {
            body: OCI_MANIFEST.into(),
            header: DOCKER_MANIFEST
        }
    );
    assert!(matches!(
        refusal(OCI_MANIFEST, &index()),
        ManifestError::MediaTypeMismatch { .. }
    ));
    let mut value = image();
    value["mediaType"] = json!(format!("{OCI_MANIFEST};x=y"));
    assert!(matches!(
        refusal(OCI_MANIFEST, &value),
        ManifestError::MediaTypeMismatch { .. }
    ));
    assert!(matches!(
        parse(None, &value),
        Err(ManifestError::MediaTypeUnsupported { .. })
    ));
}

#[test]
fn types_that_are_no_manifests_are_refused() {
    for header in [
        "application/json",
        "text/plain",
        OCI_CONFIG,
        "application/vnd.oci.image.manifest.v2+json",
        "x",
    ] {
        assert!(
            matches!(
                refusal(header, &image()),
                ManifestError::MediaTypeUnsupported { .. }
            ),
            "{header}"
        );
    }
}

#[test]
fn schema_1_is_refused_by_name() {
    for header in [DOCKER_SCHEMA1, DOCKER_SCHEMA1_SIGNED] {
        assert_eq!(
            parse_text(Some(header), "{}"),
            Err(ManifestError::Schema1Unsupported)
        );
    }
    assert_eq!(
        refusal(OCI_MANIFEST, &json!({"schemaVersion": 1})),
        ManifestError::Schema1Unsupported
    );
    let mut value = image();
    value["fsLayers"] = json!([]);
    assert_eq!(
        refusal(OCI_MANIFEST, &value),
        ManifestError::Schema1Unsupported
    );
    assert_eq!(
        parse(None, &json!({"mediaType": DOCKER_SCHEMA1})),
        Err(ManifestError::Schema1Unsupported)
    );
    assert!(
        ManifestError::Schema1Unsupported
            .to_string()
            .contains("not supported")
    );
}

#[test]
fn the_schema_version_is_2() {
    for version in [json!(3), json!(-2), json!(2.0), json!(2.5), json!(null)] {
        let mut value = image();
        value["schemaVersion"] = version.clone();
        assert_eq!(
            refusal(OCI_MANIFEST, &value),
            ManifestError::SchemaVersion,
            "{version}"
        );
    }
}

#[test]
fn a_body_that_is_image_and_index_at_once_is_refused() {
    let mut value = image();
    value["manifests"] = json!([]);
    assert_eq!(
        refusal(OCI_MANIFEST, &value),
        ManifestError::FieldForeign { field: "manifests" }
    );
    for (field, content) in [
        ("config", descriptor(OCI_CONFIG, "config")),
        ("layers", json!([])),
    ] {
        let mut value = index();
        value[field] = content;
        assert_eq!(
            refusal(OCI_INDEX, &value),
            ManifestError::FieldForeign { field }
        );
    }
    let mut value = image();
    value["blobs"] = json!([]);
    assert_eq!(
        refusal(OCI_MANIFEST, &value),
        ManifestError::FieldForeign { field: "blobs" }
    );
}

#[test]
fn duplicate_keys_are_refused_wherever_the_registry_reads() {
    let text = image().to_string();
    for (key, twice) in [
        ("config", text.replacen('{', r#"{"config":null,"#, 1)),
        ("x", text.replacen('{', r#"{"x":1,"x":1,"#, 1)),
        ("c\"", text.replacen('{', r#"{"c\"":1,"c\u0022":1,"#, 1)),
        (
            "size",
            text.replacen(r#""size":"#, r#""size":1,"size":"#, 1),
        ),
        (
            "y",
            text.replacen(r#""size":"#, r#""y":1,"y":2,"size":"#, 1),
        ),
        (
            "a",
            text.replacen('{', r#"{"annotations":{"a":"1","a":"2"},"#, 1),
        ),
        (
            "a",
            text.replacen(
                r#""size":"#,
                r#""annotations":{"a":"1","a":"1"},"size":"#,
                1,
            ),
        ),
        (
            "os",
            text.replacen(r#""size":"#, r#""platform":{"os":"1","os":"1"},"size":"#, 1),
        ),
    ] {
        assert_eq!(
            parse_text(Some(OCI_MANIFEST), &twice),
            Err(ManifestError::DuplicateKey { key: key.into() }),
            "{twice}"
        );
    }
    // An escaped key is the same key.
    let escaped = text.replacen('{', r#"{"\u0063onfig":null,"#, 1);
    assert!(matches!(
        parse_text(Some(OCI_MANIFEST), &escaped),
        Err(ManifestError::DuplicateKey { .. })
    ));
}

#[test]
fn keys_that_a_case_folding_reader_would_take_for_known_ones_are_refused() {
    for key in [
        "Config",
        "LAYERS",
        "mediatype",
        "manife\u{17f}ts",
        "schemaversion",
        "Subject",
    ] {
        let mut value = image();
        value[key] = json!(null);
        assert_eq!(
            refusal(OCI_MANIFEST, &value),
            ManifestError::AmbiguousKey { key: key.into() }
        );
    }
    let mut value = image();
    value["layers"][0]["Digest"] = json!("x");
    assert_eq!(
        refusal(OCI_MANIFEST, &value),
        ManifestError::AmbiguousKey {
            key: "Digest".into()
        }
    );
    let mut value = image();
    value["Annotations2"] = json!({"Config": 1});
    assert!(parse(Some(OCI_MANIFEST), &value).is_ok());
}

#[test]
fn what_a_kind_requires_must_be_there() {
    let top = |field| ManifestError::FieldMissing {
        place: Place::Top,
        field,
    };
    let mut value = image();
    value.as_object_mut().unwrap().remove("config");
    assert_eq!(refusal(OCI_MANIFEST, &value), top("config"));
    let mut value = index();
    value.as_object_mut().unwrap().remove("manifests");
    assert_eq!(refusal(OCI_INDEX, &value), top("manifests"));
    for field in ["mediaType", "digest", "size"] {
        let mut value = image();
        value["layers"][1].as_object_mut().unwrap().remove(field);
        assert_eq!(
            refusal(OCI_MANIFEST, &value),
            ManifestError::FieldMissing {
                place: Place::Layer(1),
                field
            }
        );
        value["layers"][1][field] = json!(null);
        assert_eq!(
            refusal(OCI_MANIFEST, &value),
            ManifestError::FieldMissing {
                place: Place::Layer(1),
                field
            }
        );
    }
}

#[test]
fn descriptors_are_checked_everywhere() {
    let broken = |mut value: Value| {
        value["digest"] = json!("sha256:abc");
        value
    };
    let subject = broken(descriptor(OCI_MANIFEST, "s"));
    for (place, mut value) in [(Place::Subject, image()), (Place::Subject, index())] {
        value["subject"] = subject.clone();
        let content_type = value["mediaType"].as_str().unwrap().to_owned();
        assert_eq!(
            refusal(&content_type, &value),
            ManifestError::DigestMalformed { place }
        );
    }
    let mut value = image();
    value["config"] = broken(value["config"].clone());
    assert_eq!(
        refusal(OCI_MANIFEST, &value),
        ManifestError::DigestMalformed {
            place: Place::Config
        }
    );
    let mut value = index();
    value["manifests"][0]["digest"] = json!("md5:abc");
    assert_eq!(
        refusal(OCI_INDEX, &value),
        ManifestError::DigestUnsupported {
            place: Place::Manifest(0)
        }
    );
    assert_eq!(Place::Manifest(3).to_string(), "manifests[3]");
}

#[test]
fn sizes_are_whole_and_not_negative() {
    for size in [
        json!(-1),
        json!(1.5),
        json!(6.0),
        json!(9_223_372_036_854_775_808_u64),
        json!(u64::MAX),
        json!(1e30),
    ] {
        let mut value = image();
        value["layers"][0]["size"] = size.clone();
        assert_eq!(
            refusal(OCI_MANIFEST, &value),
            ManifestError::SizeInvalid {
                place: Place::Layer(0)
            },
            "{size}"
        );
    }
    let mut value = image();
    value["layers"][0]["size"] = json!(i64::MAX);
    value["layers"][1]["size"] = json!(i64::MAX);
    value["config"]["size"] = json!(i64::MAX);
    assert_eq!(
        parse(Some(OCI_MANIFEST), &value).unwrap().image_size,
        u64::MAX
    );
    value["config"]["size"] = json!("1");
    assert!(matches!(
        refusal(OCI_MANIFEST, &value),
        ManifestError::Syntax { .. }
    ));
}

#[test]
fn media_types_no_header_could_hold_are_refused() {
    for text in ["a\nb", "é", "a\0", &"a".repeat(513)] {
        let mut value = image();
        value["artifactType"] = json!(text);
        let malformed = |place, field| ManifestError::MediaTypeMalformed { place, field };
        assert_eq!(
            refusal(OCI_MANIFEST, &value),
            malformed(Place::Top, "artifactType")
        );
        let mut value = image();
        value["config"]["mediaType"] = json!(text);
        assert_eq!(
            refusal(OCI_MANIFEST, &value),
            malformed(Place::Config, "mediaType")
        );
    }
}

#[test]
fn what_is_no_json_object_is_refused() {
    let good = image().to_string();
    for text in [
        "",
        " ",
        "null",
        "[]",
        "1",
        "\"x\"",
        "{",
        "{}x",
        &format!("{good}{good}"),
        &format!("\u{feff}{good}"),
        &good[1..],
    ] {
        let error = parse_text(Some(OCI_MANIFEST), text).unwrap_err();
        assert!(
            matches!(error, ManifestError::Syntax { .. }),
            "{text}: {error}"
        );
    }
    for (field, wrong) in [
        ("config", json!([])),
        ("layers", json!({})),
        ("layers", json!([null])),
        ("annotations", json!({"a": 1})),
    ] {
        let mut value = image();
        value[field] = wrong;
        assert!(
            matches!(refusal(OCI_MANIFEST, &value), ManifestError::Syntax { .. }),
            "{field}"
        );
    }
    let limits = ManifestLimits::default();
    let mut bytes = good.into_bytes();
    bytes.extend_from_slice(b"\xff");
    let error =
        lazuli_wire::oci::ParsedManifest::parse(Some(OCI_MANIFEST), &bytes, &limits).unwrap_err();
    assert_eq!(error, ManifestError::Encoding);
}
