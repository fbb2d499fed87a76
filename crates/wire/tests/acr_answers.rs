//! Answers of the data plane, letter by letter.
#![allow(clippy::unwrap_used, missing_docs)]

use lazuli_wire::acr::{
    Changeable, Deleted, Flag, Flags, Manifest, ManifestAnswer, Reference, Repository, Tag, Tags,
    Time,
};
use lazuli_wire::oci::{OrderBy, next_page_link};

const AT: Time = Time(1_618_326_646_857_422);

#[test]
fn a_repository() {
    let answer = Repository {
        registry: "example.azurecr.io",
        image_name: "library/hello-world",
        created_time: AT,
        last_update_time: AT,
        manifest_count: 10,
        tag_count: 4,
        changeable_attributes: Changeable::of_repository(Flags::ALL),
    };
    assert_eq!(
        serde_json::to_string(&answer).unwrap(),
        r#"{"registry":"example.azurecr.io","imageName":"library/hello-world","createdTime":"2021-04-13T15:10:46.8574220Z","lastUpdateTime":"2021-04-13T15:10:46.8574220Z","manifestCount":10,"tagCount":4,"changeableAttributes":{"deleteEnabled":true,"writeEnabled":true,"readEnabled":true,"listEnabled":true,"teleportEnabled":false}}"#
    );
}

#[test]
fn tags() {
    let flags = Flags::ALL.with(Flag::Write, false);
    let answer = Tags {
        registry: "l",
        image_name: "a",
        tags: vec![Tag {
            name: "v1",
            digest: "sha256:aa".to_owned(),
            created_time: AT,
            last_update_time: AT,
            signed: false,
            changeable_attributes: Changeable::new(flags, None, None),
        }],
    };
    assert_eq!(
        serde_json::to_string(&answer).unwrap(),
        r#"{"registry":"l","imageName":"a","tags":[{"name":"v1","digest":"sha256:aa","createdTime":"2021-04-13T15:10:46.8574220Z","lastUpdateTime":"2021-04-13T15:10:46.8574220Z","signed":false,"changeableAttributes":{"deleteEnabled":true,"writeEnabled":false,"readEnabled":true,"listEnabled":true}}]}"#
    );
}

#[test]
fn a_manifest_has_only_what_there_is() {
    let manifest = || Manifest {
        digest: "sha256:aa".to_owned(),
        image_size: 5325,
        created_time: AT,
        last_update_time: AT,
        architecture: Some("amd64"),
        os: Some("linux"),
        media_type: "m",
        config_media_type: Some("c"),
        tags: vec!["v1"],
        changeable_attributes: Changeable::new(Flags::ALL, Some("Passed"), Some("{}")),
        references: None,
    };
    let text = |manifest| {
        let answer = ManifestAnswer {
            registry: "l",
            image_name: "a",
            manifest,
        };
        serde_json::to_string(&answer).unwrap()
    };
    assert_eq!(
        text(manifest()),
        r#"{"registry":"l","imageName":"a","manifest":{"digest":"sha256:aa","imageSize":5325,"createdTime":"2021-04-13T15:10:46.8574220Z","lastUpdateTime":"2021-04-13T15:10:46.8574220Z","architecture":"amd64","os":"linux","mediaType":"m","configMediaType":"c","tags":["v1"],"changeableAttributes":{"deleteEnabled":true,"writeEnabled":true,"readEnabled":true,"listEnabled":true,"quarantineState":"Passed","quarantineDetails":"{}"}}}"#
    );
    let reference = Reference {
        digest: "sha256:bb".to_owned(),
        architecture: Some("arm64"),
        os: None,
    };
    let index = Manifest {
        architecture: None,
        os: None,
        config_media_type: None,
        tags: Vec::new(),
        changeable_attributes: Changeable::new(Flags::ALL, None, None),
        references: Some(vec![reference]),
        ..manifest()
    };
    assert_eq!(
        text(index),
        r#"{"registry":"l","imageName":"a","manifest":{"digest":"sha256:aa","imageSize":5325,"createdTime":"2021-04-13T15:10:46.8574220Z","lastUpdateTime":"2021-04-13T15:10:46.8574220Z","mediaType":"m","changeableAttributes":{"deleteEnabled":true,"writeEnabled":true,"readEnabled":true,"listEnabled":true},"references":[{"digest":"sha256:bb","architecture":"arm64"}]}}"#
    );
}

#[test]
fn a_deletion_and_a_link() {
    let answer = Deleted {
        manifests_deleted: vec!["sha256:aa".to_owned()],
        tags_deleted: Vec::new(),
    };
    assert_eq!(
        serde_json::to_string(&answer).unwrap(),
        r#"{"manifestsDeleted":["sha256:aa"],"tagsDeleted":[]}"#
    );
    assert_eq!(
        next_page_link(
            "/acr/v1/_catalog",
            "library/busybox",
            2,
            OrderBy::Name,
            None
        ),
        r#"</acr/v1/_catalog?last=library%2Fbusybox&n=2&orderby=>; rel="next""#
    );
}
