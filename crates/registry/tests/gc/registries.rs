//! What belongs to a registry that was deleted goes, step by step, and nothing of another one does.

use super::*;
use crate::on_both_engines;
use lazuli_db::params;
use lazuli_identity::{Push, RegistryId, RepositoryAccess, testing};
use lazuli_registry::manifests::NewManifest;
use lazuli_wire::oci::RepositoryName;

const OTHER: RegistryId = RegistryId::new(2);

fn other(name: &str) -> RepositoryAccess<Push> {
    testing::repository_access(OTHER, &RepositoryName::parse(name).unwrap())
}

async fn push_to_other(f: &Fixture, bytes: &[u8]) -> Digest {
    let digest = Digest::of(Algorithm::Sha256, bytes);
    let access = other("a");
    let session = f.registry.start_upload(&access, Algorithm::Sha256).unwrap();
    let finish = f
        .registry
        .finish_upload(&access, request(&session), &digest, &mut Body::of(bytes))
        .await;
    finish.unwrap();
    digest
}

async fn rows(f: &Fixture) -> (i64, i64, i64) {
    let read = f.db.read(|tx| {
        let mut count = |sql: &'static str| {
            let found = tx.query_one(sql, params![], |row| row.get_i64(0));
            found.map(Option::unwrap_or_default)
        };
        Ok::<_, lazuli_db::Error>((
            count("SELECT COUNT(*) FROM repositories WHERE registry_id = 2")?,
            count("SELECT COUNT(*) FROM blobs WHERE registry_id = 2")?,
            count("SELECT COUNT(*) FROM manifests")?,
        ))
    });
    read.await.unwrap()
}

async fn content_goes_with_its_registry(f: Fixture) {
    f.db.write(|tx| {
        tx.execute(
            "INSERT INTO registries (id, name, anonymous_pull, created_at) VALUES (2, 'other', 0, 0)",
            params![],
        )
    })
    .await
    .unwrap();
    let (_, layer) = push_image(&f.registry, "a", "v1", "x").await;
    let config = push_to_other(&f, b"config x").await;
    let body = image(&config, 8, &[], "");
    let new = NewManifest {
        reference: tag("v1"),
        content_type: Some(OCI.into()),
        body: bytes::Bytes::copy_from_slice(body.as_bytes()),
        tags: Vec::new(),
        condition: None,
    };
    let (access, by) = (other("a"), "r".into());
    let put = f.registry.put_manifest(&access, new, &by);
    put.await.unwrap();
    let gc = gc(&f).await;
    f.clock.advance(10 * HOUR);
    run(&gc).await;
    assert_eq!(rows(&f).await, (1, 1, 2));

    f.db.write(|tx| tx.execute("DELETE FROM registries WHERE id = 2", params![]))
        .await
        .unwrap();
    run(&gc).await;
    f.clock.advance(10 * HOUR);
    run(&gc).await;
    f.clock.advance(10 * HOUR);
    run(&gc).await;
    assert_eq!(rows(&f).await, (0, 0, 1));
    assert!(has_blob(&f.registry, "a", &layer).await);
}

on_both_engines!(content_goes_with_its_registry);
