//! Manifests, tags, blobs and listings.

use crate::common::*;
use crate::on_both_engines;
use lazuli_identity::{RegistryId, testing};
use lazuli_registry::Error;
use lazuli_registry::listing::PageRequest;
use lazuli_registry::manifests::{Condition, NewManifest};
use lazuli_wire::oci::{Algorithm, Digest, Reference, Tag};

const ALL: PageRequest<'static> = PageRequest {
    last: None,
    limit: 1000,
    order_by: lazuli_wire::oci::OrderBy::Name,
    at: None,
};

async fn a_manifest_comes_back_byte_for_byte_by_tag_and_digest(f: Fixture) {
    let (digest, _) = push_image(&f.registry, "a", "v1", "x").await;
    for reference in [tag("v1"), Reference::Digest(digest)] {
        for _ in 0..2 {
            let found = f.registry.manifest(&pull("a"), &reference).await.unwrap();
            assert_eq!(found.digest, digest);
            assert_eq!(Digest::of(Algorithm::Sha256, &found.body), digest);
            assert_eq!(&found.media_type[..], OCI.as_bytes());
        }
        // One of several nodes must ask the others first.
        let cached = f.registry.cached_manifest(&pull("a"), &reference);
        assert_eq!(cached.is_some(), f.db.engine() == "sqlite");
    }
    assert!(matches!(
        f.registry.manifest(&pull("a"), &tag("v2")).await,
        Err(Error::ManifestUnknown)
    ));
    assert!(matches!(
        f.registry.manifest(&pull("b"), &tag("v1")).await,
        Err(Error::NameUnknown)
    ));
}

async fn a_moved_or_deleted_tag_is_never_answered_from_memory(f: Fixture) {
    let (first, _) = push_image(&f.registry, "a", "v1", "x").await;
    assert_eq!(
        f.registry
            .manifest(&pull("a"), &tag("v1"))
            .await
            .unwrap()
            .digest,
        first
    );
    let (second, _) = push_image(&f.registry, "a", "v1", "y").await;
    assert_ne!(first, second);
    assert_eq!(
        f.registry
            .manifest(&pull("a"), &tag("v1"))
            .await
            .unwrap()
            .digest,
        second
    );
    f.registry
        .delete_tag(&delete("a"), &Tag::parse("v1").unwrap(), &"r".into())
        .await
        .unwrap();
    assert!(matches!(
        f.registry.manifest(&pull("a"), &tag("v1")).await,
        Err(Error::ManifestUnknown)
    ));
    assert!(
        f.registry
            .manifest(&pull("a"), &Reference::Digest(second))
            .await
            .is_ok()
    );
    let twice = f
        .registry
        .delete_tag(&delete("a"), &Tag::parse("v1").unwrap(), &"r".into())
        .await;
    assert!(matches!(twice, Err(Error::TagUnknown)));
}

async fn readers_never_see_a_tag_move_back_while_it_is_pushed(f: Fixture) {
    let mut order = Vec::new();
    for i in 0..20 {
        order.push(push_image(&f.registry, "a", "seed", &i.to_string()).await.0);
    }
    push_image(&f.registry, "a", "t", "0").await;
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (registry, order) = (f.registry.clone(), order.clone());
            tokio::spawn(async move {
                let mut newest = 0;
                while newest < order.len() - 1 {
                    let digest = registry
                        .manifest(&pull("a"), &tag("t"))
                        .await
                        .unwrap()
                        .digest;
                    let at = order.iter().position(|d| *d == digest).unwrap();
                    assert!(at >= newest, "went back from {newest} to {at}");
                    newest = at;
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for i in 0..20 {
        let (digest, _) = push_image(&f.registry, "a", "t", &i.to_string()).await;
        assert_eq!(
            f.registry
                .manifest(&pull("a"), &tag("t"))
                .await
                .unwrap()
                .digest,
            digest,
            "own write must be read"
        );
    }
    for reader in readers {
        reader.await.unwrap();
    }
}

async fn a_deleted_manifest_takes_its_tags_and_its_referrers_with_it(f: Fixture) {
    let (subject, _) = push_image(&f.registry, "a", "v1", "x").await;
    let body = f
        .registry
        .manifest(&pull("a"), &tag("v1"))
        .await
        .unwrap()
        .body
        .clone();
    put(
        &f.registry,
        "a",
        "v2",
        OCI,
        std::str::from_utf8(&body).unwrap(),
    )
    .await
    .unwrap();
    let config = push_blob(&f.registry, "a", b"{}").await;
    let extra = format!(
        r#","subject":{{"mediaType":"{OCI}","digest":"{subject}","size":{}}},"annotations":{{"k":"v"}}"#,
        body.len()
    );
    let signature = put(
        &f.registry,
        "a",
        "sig",
        OCI,
        &image(&config, 2, &[], &extra),
    )
    .await
    .unwrap();
    assert_eq!(signature.subject, Some(subject));
    let found = f
        .registry
        .referrers(&pull("a"), &subject, None, None, 10)
        .await
        .unwrap();
    assert_eq!(
        found.items.iter().map(|r| r.digest).collect::<Vec<_>>(),
        [signature.digest]
    );
    assert_eq!(
        found.items[0].artifact_type.as_deref(),
        Some("application/vnd.oci.image.config.v1+json")
    );
    assert_eq!(found.items[0].annotations.as_deref(), Some(r#"{"k":"v"}"#));

    let removed = f
        .registry
        .delete_manifest(&delete("a"), &subject, &"r".into())
        .await
        .unwrap();
    assert_eq!(removed.manifests, [subject, signature.digest]);
    assert_eq!(
        removed.tags.iter().map(Tag::as_str).collect::<Vec<_>>(),
        ["v1", "v2", "sig"]
    );
    assert!(
        f.registry
            .referrers(&pull("a"), &subject, None, None, 10)
            .await
            .unwrap()
            .items
            .is_empty()
    );
    assert!(
        f.registry
            .tags(&pull("a"), ALL)
            .await
            .unwrap()
            .names
            .is_empty()
    );
    let catalog = f
        .registry
        .catalog(&testing::catalog_access(RegistryId::DEFAULT), ALL)
        .await
        .unwrap();
    assert!(
        catalog.names.is_empty(),
        "a repository without manifests is not listed"
    );
}

async fn a_manifest_that_names_absent_blobs_is_refused_and_nothing_is_stored(f: Fixture) {
    push_image(&f.registry, "other", "v1", "x").await;
    let config = push_blob(&f.registry, "a", b"{}").await;
    let elsewhere = Digest::of(Algorithm::Sha256, "layer x ".repeat(20).as_bytes());
    let refused = put(
        &f.registry,
        "a",
        "v1",
        OCI,
        &image(&config, 2, &[(elsewhere, 160)], ""),
    )
    .await;
    assert!(
        matches!(refused, Err(Error::ManifestBlobUnknown(missing)) if missing == [elsewhere]),
        "a blob of another repository does not count"
    );
    assert!(
        f.registry
            .tags(&pull("a"), ALL)
            .await
            .unwrap()
            .names
            .is_empty()
    );
}

async fn pages_of_tags_and_repositories_follow_each_other_and_see_every_write(f: Fixture) {
    for name in ["c", "a", "b", "b/x", "B".to_lowercase().as_str()] {
        push_image(&f.registry, name, "v1", name).await;
    }
    let catalog = testing::catalog_access(RegistryId::DEFAULT);
    let page = f
        .registry
        .catalog(
            &catalog,
            PageRequest {
                last: None,
                limit: 2,
                ..PageRequest::default()
            },
        )
        .await
        .unwrap();
    assert_eq!((page.names.join(","), page.more), ("a,b".into(), true));
    let page = f
        .registry
        .catalog(
            &catalog,
            PageRequest {
                last: Some("b"),
                limit: 2,
                ..PageRequest::default()
            },
        )
        .await
        .unwrap();
    assert_eq!((page.names.join(","), page.more), ("b/x,c".into(), false));
    push_image(&f.registry, "d", "v1", "d").await;
    let page = f
        .registry
        .catalog(
            &catalog,
            PageRequest {
                last: Some("b"),
                limit: 2,
                ..PageRequest::default()
            },
        )
        .await
        .unwrap();
    assert_eq!((page.names.join(","), page.more), ("b/x,c".into(), true));

    for name in ["z", "Z", "_a", "1.0", "1.0-rc"] {
        push_image(&f.registry, "a", name, "a").await;
    }
    let tags = f.registry.tags(&pull("a"), ALL).await.unwrap();
    assert_eq!(tags.names.join(","), "1.0,1.0-rc,Z,_a,v1,z");
    f.registry
        .delete_tag(&delete("a"), &Tag::parse("Z").unwrap(), &"r".into())
        .await
        .unwrap();
    assert_eq!(
        f.registry
            .tags(&pull("a"), ALL)
            .await
            .unwrap()
            .names
            .join(","),
        "1.0,1.0-rc,_a,v1,z"
    );
    assert!(matches!(
        f.registry.tags(&pull("nope"), ALL).await,
        Err(Error::NameUnknown)
    ));
}

async fn a_push_may_demand_what_the_tag_names_now(f: Fixture) {
    let (first, _) = push_image(&f.registry, "a", "v1", "x").await;
    let (second, _) = push_image(&f.registry, "a", "v2", "y").await;
    let body = f
        .registry
        .manifest(&pull("a"), &tag("v2"))
        .await
        .unwrap()
        .body
        .clone();
    for (name, condition, works) in [
        ("v1", Condition::Names(second), false),
        ("v1", Condition::Absent, false),
        ("v1", Condition::Names(first), true),
        ("v1", Condition::Names(first), false),
        ("v1", Condition::Exists, true),
        ("new", Condition::Exists, false),
        ("new", Condition::Names(second), false),
        ("new", Condition::Absent, true),
        ("new", Condition::Absent, false),
    ] {
        let new = NewManifest {
            reference: tag(name),
            content_type: Some(OCI.into()),
            body: body.clone(),
            tags: Vec::new(),
            condition: Some(condition),
        };
        let result = f.registry.put_manifest(&push("a"), new, &"r".into()).await;
        assert_eq!(result.is_ok(), works, "{result:?}");
    }
}

on_both_engines! {
    a_manifest_comes_back_byte_for_byte_by_tag_and_digest,
    a_moved_or_deleted_tag_is_never_answered_from_memory,
    readers_never_see_a_tag_move_back_while_it_is_pushed,
    a_deleted_manifest_takes_its_tags_and_its_referrers_with_it,
    a_manifest_that_names_absent_blobs_is_refused_and_nothing_is_stored,
    pages_of_tags_and_repositories_follow_each_other_and_see_every_write,
    a_push_may_demand_what_the_tag_names_now,
}
