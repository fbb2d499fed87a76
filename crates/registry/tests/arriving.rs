//! The place that a registry moves to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::*;
use lazuli_db::clock::Clock as _;
use lazuli_db::{Tx, params};
use lazuli_registry::gc::{self, Gc, QuietBecause};
use lazuli_registry::transfer::arrival::{self, Found};

const SECOND: i64 = 1_000_000;

async fn a_place_is_filled_by_one_move_and_quiet_afterwards(f: Fixture) {
    // A look marks nothing.
    for _ in 0..2 {
        assert_eq!(
            arrival::look(&f.db, "x into y").await.unwrap(),
            Found::Empty
        );
    }
    assert_eq!(arrival::mark(&f.db).await.unwrap(), None);
    assert_eq!(arrival::blob_in(&*f.store).await.unwrap(), None);
    assert_eq!(
        arrival::begin(&f.db, "x into y").await.unwrap(),
        Found::Empty
    );
    assert_eq!(
        arrival::begin(&f.db, "x into y").await.unwrap(),
        Found::Begun
    );
    let other = Found::Other("x into y".to_owned());
    assert_eq!(arrival::begin(&f.db, "z").await.unwrap(), other);
    assert_eq!(
        arrival::mark(&f.db).await.unwrap().as_deref(),
        Some("x into y")
    );
    let until = f.clock.now_us() + 50 * SECOND;
    arrival::finish(&f.db, until).await.unwrap();
    assert_eq!(arrival::mark(&f.db).await.unwrap(), None);
    let insert = |tx: &mut Tx<'_>| {
        tx.execute(
            "INSERT INTO registries (id, name, anonymous_pull, created_at) VALUES (1, 'n', 0, 5)",
            params![],
        )
    };
    f.db.write(insert).await.unwrap();
    assert_eq!(
        arrival::begin(&f.db, "x into y").await.unwrap(),
        Found::Used
    );
    assert_eq!(
        arrival::installation(&f.db).await.unwrap().as_deref(),
        Some("n@5")
    );

    // What lost its last name, and whose lease ends, is not collected before that time.
    let (image, layer) = push_image(&f.registry, "a", "v1", "x").await;
    let found = arrival::blob_in(&*f.store).await.unwrap().unwrap();
    assert!(found.contains(&layer.to_hex()), "{found}");
    f.registry
        .delete_manifest(&delete("a"), &image, &"r".into())
        .await
        .unwrap();
    f.clock.advance(Duration::from_secs(3500));
    let until = f.clock.now_us() + 2400 * SECOND;
    arrival::finish(&f.db, until).await.unwrap();
    let why = || async { Gc::status(&f.registry).await.unwrap().quiet_until };
    assert_eq!(why().await, Some((until, QuietBecause::Moved)));
    let gc = Gc::open(&f.registry, gc::Options::new(Duration::from_secs(10)))
        .await
        .unwrap();
    let collect = async |seconds: u64| {
        for _ in 0..4 {
            f.clock.advance(Duration::from_secs(seconds));
            gc.run_once().await.unwrap();
        }
    };
    collect(500).await;
    assert!(f.registry.open_blob(&pull("a"), &layer).await.is_ok());
    collect(500).await;
    assert!(f.registry.open_blob(&pull("a"), &layer).await.is_err());
}

on_both_engines! {
    a_place_is_filled_by_one_move_and_quiet_afterwards,
}
