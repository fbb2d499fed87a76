//! Manifests that are accepted, and what the registry reads out of them.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod manifest_fixtures;

use lazuli_wire::oci::media_type::{
    DOCKER_LIST, DOCKER_MANIFEST, OCI_ARTIFACT, OCI_CONFIG, OCI_EMPTY, OCI_INDEX, OCI_MANIFEST,
    ORAS_ARTIFACT,
};
use lazuli_wire::oci::{Algorithm, Digest, ManifestError, ManifestKind, ManifestWarning, Place};
use manifest_fixtures::{descriptor, image, index, parse};
use serde_json::{Value, json};

fn refusal(content_type: &str, value: &Value) -> ManifestError {
    parse(Some(content_type), value).unwrap_err()
}

#[test]
fn an_image_is_read() {
    let mut value = image();
    value["annotations"] = json!({"k": "v"});
    value["subject"] = descriptor(OCI_MANIFEST, "subject");
    let manifest = parse(Some(OCI_MANIFEST), &value).unwrap();
    assert_eq!(manifest.kind, ManifestKind::OciManifest);
    assert_eq!(manifest.media_type, OCI_MANIFEST);
    assert_eq!(
        manifest.config.as_ref().unwrap().digest,
        Digest::of(Algorithm::Sha256, b"config")
    );
    assert_eq!(manifest.layers.len(), 2);
    assert_eq!(
        manifest.subject.unwrap().digest,
        Digest::of(Algorithm::Sha256, b"subject")
    );
    assert_eq!(manifest.annotations["k"], "v");
    assert_eq!(manifest.config_media_type.as_deref(), Some(OCI_CONFIG));
    assert_eq!(manifest.artifact_type.as_deref(), Some(OCI_CONFIG));
    assert_eq!(manifest.image_size, 6 + 6 + 6);
    assert!(manifest.manifests.is_empty() && manifest.warnings.is_empty());
}

#[test]
fn an_index_is_read() {
    let mut value = index();
    value["manifests"][0]["platform"] = json!({"architecture": "arm64", "os": "linux", "variant": "v8", "os.version": "1", "os.features": ["x"]});
    let manifest = parse(Some(OCI_INDEX), &value).unwrap();
    assert_eq!(manifest.kind, ManifestKind::OciIndex);
    assert_eq!(manifest.manifests.len(), 1);
    let platform = manifest.manifests[0].platform.as_ref().unwrap();
    assert_eq!(
        (platform.architecture.as_str(), platform.os.as_str()),
        ("arm64", "linux")
    );
    assert_eq!(platform.variant.as_deref(), Some("v8"));
    assert_eq!(
        (manifest.artifact_type, manifest.config_media_type),
        (None, None)
    );
}

#[test]
fn dockers_forms_are_read() {
    let mut value = image();
    value["mediaType"] = json!(DOCKER_MANIFEST);
    assert_eq!(
        parse(Some(DOCKER_MANIFEST), &value).unwrap().kind,
        ManifestKind::DockerManifest
    );
    let mut value = index();
    value["mediaType"] = json!(DOCKER_LIST);
    assert_eq!(
        parse(Some(DOCKER_LIST), &value).unwrap().kind,
        ManifestKind::DockerList
    );
}

#[test]
fn withdrawn_artifact_manifests_are_read_with_their_blobs() {
    for (media_type, kind) in [
        (OCI_ARTIFACT, ManifestKind::OciArtifact),
        (ORAS_ARTIFACT, ManifestKind::OrasArtifact),
    ] {
        let value = json!({
            "mediaType": media_type, "artifactType": "application/x", "blobs": [descriptor("text/plain", "blob")],
            "subject": descriptor(OCI_MANIFEST, "subject")
        });
        let manifest = parse(Some(media_type), &value).unwrap();
        assert_eq!(manifest.kind, kind);
        assert_eq!(
            manifest.layers[0].digest,
            Digest::of(Algorithm::Sha256, b"blob")
        );
        assert_eq!(manifest.artifact_type.as_deref(), Some("application/x"));
        assert!(manifest.subject.is_some());
        let mut mixed = value.clone();
        mixed["layers"] = json!([]);
        assert_eq!(
            refusal(media_type, &mixed),
            ManifestError::FieldForeign { field: "layers" }
        );
    }
}

#[test]
fn content_type_parameters_and_case_do_not_matter() {
    for header in [
        format!("{OCI_MANIFEST}; charset=utf-8"),
        format!(" {OCI_MANIFEST} ;x"),
        OCI_MANIFEST.to_uppercase(),
    ] {
        assert_eq!(
            parse(Some(&header), &image()).unwrap().media_type,
            OCI_MANIFEST,
            "{header}"
        );
    }
}

#[test]
fn without_a_content_type_the_body_says_what_it_is() {
    assert_eq!(
        parse(None, &image()).unwrap().kind,
        ManifestKind::OciManifest
    );
    assert_eq!(
        parse(Some(""), &index()).unwrap().kind,
        ManifestKind::OciIndex
    );
    let without_type = |mut value: Value| {
        value.as_object_mut().unwrap().remove("mediaType");
        value
    };
    assert_eq!(
        parse(None, &without_type(image())).unwrap().kind,
        ManifestKind::OciManifest
    );
    assert_eq!(
        parse(None, &without_type(index())).unwrap().kind,
        ManifestKind::OciIndex
    );
    assert_eq!(
        parse(Some(DOCKER_LIST), &without_type(index()))
            .unwrap()
            .kind,
        ManifestKind::DockerList
    );
    assert_eq!(
        parse(None, &json!({"schemaVersion": 2})),
        Err(ManifestError::MediaTypeMissing)
    );
}

#[test]
fn unknown_fields_types_and_artifact_types_are_accepted() {
    let mut value = image();
    value["org.example"] = json!({"deep": [1, 2.5, {"x": null}], "a": {"a": "a"}});
    value["artifactType"] = json!("application/vnd.unknown+type");
    value["config"]["mediaType"] = json!("application/vnd.unknown.config");
    value["layers"][0]["mediaType"] = json!("application/vnd.unknown.layer");
    value["layers"][0]["org.example"] = json!([[]]);
    let manifest = parse(Some(OCI_MANIFEST), &value).unwrap();
    assert_eq!(
        manifest.artifact_type.as_deref(),
        Some("application/vnd.unknown+type")
    );
    assert_eq!(
        manifest.config_media_type.as_deref(),
        Some("application/vnd.unknown.config")
    );
}

#[test]
fn empty_lists_and_nulls_of_go_are_accepted() {
    for layers in [json!([]), json!(null)] {
        let mut value = image();
        value["layers"] = layers;
        value["subject"] = json!(null);
        value["annotations"] = json!(null);
        value["manifests"] = json!(null);
        assert!(parse(Some(OCI_MANIFEST), &value).unwrap().layers.is_empty());
        let mut value = index();
        value["manifests"] = json!(null);
        assert!(parse(Some(OCI_INDEX), &value).unwrap().manifests.is_empty());
        value["manifests"] = json!([]);
        assert!(parse(Some(OCI_INDEX), &value).is_ok());
    }
    let mut value = image();
    value.as_object_mut().unwrap().remove("layers");
    assert!(parse(Some(OCI_MANIFEST), &value).is_ok());
}

#[test]
fn embedded_data_matches_its_size_and_digest() {
    let mut value = image();
    value["config"]["data"] = json!("Y29uZmln");
    assert!(parse(Some(OCI_MANIFEST), &value).is_ok());
    for wrong in [
        "",
        "Y29uZmlh",
        "Y29uZmlnZw==",
        "!!!!!!!!",
        "Y29uZm\n n",
        "Y29uZmln\n",
    ] {
        value["config"]["data"] = json!(wrong);
        assert_eq!(
            refusal(OCI_MANIFEST, &value),
            ManifestError::DataMismatch {
                place: Place::Config
            },
            "{wrong}"
        );
    }
    // Another size that takes as many base64 characters.
    value["config"]["data"] = json!("Y29uZmln");
    value["config"]["size"] = json!(5);
    assert_eq!(
        parse(Some(OCI_MANIFEST), &value),
        Err(ManifestError::DataMismatch {
            place: Place::Config
        })
    );
    let mut empty = descriptor("text/plain", "");
    empty["data"] = json!("");
    value["config"] = empty;
    assert!(parse(Some(OCI_MANIFEST), &value).is_ok());
}

#[test]
fn an_empty_configuration_without_artifact_type_is_warned_about() {
    let mut value = image();
    value["config"] = descriptor(OCI_EMPTY, "{}");
    let manifest = parse(Some(OCI_MANIFEST), &value).unwrap();
    assert_eq!(manifest.warnings, [ManifestWarning::ArtifactTypeMissing]);
    assert_eq!(manifest.artifact_type.as_deref(), Some(OCI_EMPTY));
    value["artifactType"] = json!("");
    assert_eq!(parse(Some(OCI_MANIFEST), &value).unwrap().warnings.len(), 1);
    value["artifactType"] = json!("application/x");
    assert!(
        parse(Some(OCI_MANIFEST), &value)
            .unwrap()
            .warnings
            .is_empty()
    );
}

#[test]
fn foreign_layers_need_not_be_held() {
    for (media_type, held) in [
        (
            "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
            false,
        ),
        (
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            false,
        ),
        ("application/vnd.oci.image.layer.v1.tar+gzip", true),
    ] {
        let mut value = image();
        value["layers"][0]["mediaType"] = json!(media_type);
        value["layers"][0]["urls"] = json!(["https://example.com/layer"]);
        assert_eq!(
            parse(Some(OCI_MANIFEST), &value).unwrap().layers[0].is_distributable(),
            held
        );
    }
}
