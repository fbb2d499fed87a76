//! Values, rows and the SQL text that both engines run.

use lazuli_db::{Error, params};

use crate::place::{Place, block};

crate::both_engines!(
    values_come_back_unchanged,
    getters_refuse_what_does_not_fit,
    parameters_are_checked,
    constraints_are_told_apart,
    text_compares_by_bytes,
    the_dialect_works,
    large_values_come_back_unchanged,
);

fn values_come_back_unchanged(place: &Place) {
    let db = place.open();
    let texts = ["", "plain", "Ünïcödé ✓ 𝄞", "quote ' and \" and \\ and \n"];
    let bytes: Vec<u8> = (0..=255).collect();
    let numbers = [i64::MIN, -1, 0, 1, i64::MAX];
    block(async {
        for number in numbers {
            let stored = bytes.clone();
            db.write(move |tx| {
                tx.execute("DELETE FROM signing_keys", params![])?;
                for (index, text) in texts.into_iter().enumerate() {
                    tx.execute(
                        "INSERT INTO signing_keys (registry_id, kid, purpose, sealed, created_at, retired_at) \
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                        params![1, text, text, &stored, number, (index % 2 == 0).then_some(number)],
                    )?;
                }
                Ok::<_, Error>(())
            })
            .await
            .unwrap();
            for (index, text) in texts.into_iter().enumerate() {
                let row = db
                    .read(move |tx| {
                        tx.query_one(
                            "SELECT purpose, sealed, created_at, retired_at FROM signing_keys WHERE kid = ?1",
                            params![text],
                            |row| {
                                assert_eq!(row.get_bytes_ref(1)?, row.get_bytes(1)?);
                                assert_eq!(row.get_text(0)?, row.get_string(0)?);
                                Ok((row.get_string(0)?, row.get_bytes_opt(1)?, row.get_i64(2)?, row.get_i64_opt(3)?))
                            },
                        )
                    })
                    .await
                    .unwrap()
                    .unwrap();
                let retired = (index % 2 == 0).then_some(number);
                assert_eq!(row, (text.to_owned(), Some(bytes.clone()), number, retired));
            }
        }
    });
}

fn getters_refuse_what_does_not_fit(place: &Place) {
    let db = place.open();
    block(async {
        db.write(|tx| {
            tx.execute(
                "INSERT INTO signing_keys (registry_id, kid, purpose, sealed, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![-1, "k", "p", b"s", 1],
            )
        })
        .await
        .unwrap();
        type Get = fn(&lazuli_db::Row<'_>) -> Result<(), Error>;
        let refused: [(&str, Get); 8] = [
            ("NULL as an integer", |row| row.get_i64(4).map(drop)),
            ("NULL as text", |row| row.get_text(5).map(drop)),
            ("NULL as bytes", |row| row.get_bytes(6).map(drop)),
            ("text as an integer", |row| row.get_i64(1).map(drop)),
            ("bytes as text", |row| row.get_text(2).map(drop)),
            ("an integer as bytes", |row| row.get_bytes(3).map(drop)),
            ("a column too many", |row| row.get_i64_opt(7).map(drop)),
            ("a negative size", |row| row.get_u64(0).map(drop)),
        ];
        for (what, get) in refused {
            let result = db
                .read(move |tx| {
                    tx.query_one(
                        "SELECT registry_id, kid, sealed, created_at, retired_at, CAST(NULL AS TEXT), CAST(NULL AS {bytes}) \
                         FROM signing_keys",
                        params![],
                        get,
                    )
                })
                .await;
            assert!(matches!(result, Err(Error::Other(_))), "{what}: {result:?}");
        }
        let opt = db
            .read(|tx| {
                tx.query_one(
                    "SELECT retired_at, CAST(NULL AS TEXT), CAST(NULL AS {bytes}) FROM signing_keys",
                    params![],
                    |row| Ok((row.get_i64_opt(0)?, row.get_string_opt(1)?, row.get_bytes_ref_opt(2)?.map(<[u8]>::len))),
                )
            })
            .await;
        assert_eq!(opt.unwrap(), Some((None, None, None)));
    });
}

fn parameters_are_checked(place: &Place) {
    let db = place.open();
    block(async {
        let insert = "INSERT INTO origins (origin, sequence) VALUES (?1, ?2)";
        for params in [params![1], params![1, 2, 3], params![]] {
            let owned = params.len();
            let result = db
                .write(move |tx| match owned {
                    0 => tx.execute(insert, params![]),
                    1 => tx.execute(insert, params![1]),
                    _ => tx.execute(insert, params![1, 2, 3]),
                })
                .await;
            assert!(
                matches!(result, Err(Error::Other(_))),
                "{owned}: {result:?}"
            );
        }
        let result = db
            .write(move |tx| tx.execute(insert, params![1, u64::MAX]))
            .await;
        assert!(matches!(result, Err(Error::InvalidValue(_))));
        let result = db
            .write(|tx| tx.query_one("SELECT ?1", params!["a\0b"], |_| Ok(())))
            .await;
        assert!(matches!(result, Err(Error::InvalidValue(_))));
        // Of the wrong kind.
        let result = db
            .write(move |tx| tx.execute(insert, params![1, "two"]))
            .await;
        assert!(result.is_err());
        let result = db.write(|tx| {
            tx.execute(
                "INSERT INTO settings (name, value) VALUES (?1, ?2)",
                params!["n", b"v"],
            )
        });
        assert!(result.await.is_err());
        // A mistake in the text.
        let result = db
            .write(|tx| tx.execute("INSERT INTO nowhere VALUES (1)", params![]))
            .await;
        assert!(matches!(result, Err(Error::Other(_))));
        // The same placeholder twice, in any order.
        let found = db
            .read(|tx| {
                tx.query_one("SELECT ?2 || ?1 || ?2", params!["a", "b"], |row| {
                    row.get_string(0)
                })
            })
            .await
            .unwrap();
        assert_eq!(found.as_deref(), Some("bab"));
    });
}

fn constraints_are_told_apart(place: &Place) {
    let db = place.open();
    block(async {
        let registry =
            "INSERT INTO registries (id, name, anonymous_pull, created_at) VALUES (?1, ?2, 0, 0)";
        db.write(move |tx| tx.execute(registry, params![1, "one"]))
            .await
            .unwrap();
        for (id, name) in [(1, "two"), (2, "one")] {
            let result = db
                .write(move |tx| tx.execute(registry, params![id, name]))
                .await;
            assert!(matches!(result, Err(Error::Unique(_))), "{result:?}");
        }
        let none: Option<&str> = None;
        let result = db
            .write(move |tx| tx.execute(registry, params![3, none]))
            .await;
        assert!(matches!(result, Err(Error::Constraint(_))), "{result:?}");
        let result = db
            .write(|tx| {
                tx.execute(
                    "INSERT INTO registry_hosts (host, registry_id) VALUES ('h', ?1)",
                    params![9],
                )
            })
            .await;
        assert!(matches!(result, Err(Error::Constraint(_))), "{result:?}");
    });
}

fn text_compares_by_bytes(place: &Place) {
    let db = place.open();
    block(async {
        let unsorted = [
            "é", "b", "a-b", "a_b", "B", "a", "ab", "Z", "a/b", "z", "~", "A",
        ];
        db.write(move |tx| {
            unsorted
                .iter()
                .try_for_each(|name| crate::place::set(tx, name, "v"))
        })
        .await
        .unwrap();
        let mut sorted: Vec<String> = unsorted.iter().map(|&name| name.to_owned()).collect();
        sorted.sort();
        assert_eq!(db.read(crate::place::names).await.unwrap(), sorted);
        let after = db
            .read(|tx| {
                tx.query(
                    "SELECT name FROM settings WHERE name > ?1 AND name < ?2 ORDER BY name",
                    params!["a", "b"],
                    |row| row.get_string(0),
                )
            })
            .await
            .unwrap();
        assert_eq!(after, ["a-b", "a/b", "a_b", "ab"]);
    });
}

fn the_dialect_works(place: &Place) {
    let db = place.open();
    block(async {
        let done = db
            .write(|tx| {
                let mut changed = 0;
                for number in 0..10_i64 {
                    changed += tx.execute("INSERT INTO origins (origin, sequence) VALUES (?1, ?2)", params![number, 10])?;
                }
                let again = tx.execute(
                    "INSERT INTO origins (origin, sequence) VALUES (?1, 0) ON CONFLICT (origin) DO NOTHING",
                    params![3],
                )?;
                let returned = tx.query_one(
                    "UPDATE origins SET sequence = sequence + ?2 WHERE origin = ?1 RETURNING sequence",
                    params![3, 5],
                    |row| row.get_i64(0),
                )?;
                let deleted = tx.execute("DELETE FROM origins WHERE origin >= ?1", params![8])?;
                let sum = tx.query_one("SELECT CAST(SUM(sequence) AS {i64}), COUNT(*) FROM origins", params![], |row| {
                    Ok((row.get_i64(0)?, row.get_i64(1)?))
                })?;
                let exists = tx.query_one(
                    "SELECT EXISTS (SELECT 1 FROM origins WHERE origin = ?1), EXISTS (SELECT 1 FROM origins WHERE origin = ?2)",
                    params![3, 99],
                    |row| Ok((row.get_bool(0)?, row.get_bool(1)?)),
                )?;
                let page = tx.query(
                    "SELECT origin FROM origins WHERE (sequence, origin) > (?1, ?2) ORDER BY sequence, origin LIMIT ?3",
                    params![10, 5, 2_usize],
                    |row| row.get_i64(0),
                )?;
                let locked = tx.query_one(
                    "SELECT origin FROM origins ORDER BY origin LIMIT 1 {skip_locked}",
                    params![],
                    |row| row.get_i64(0),
                )?;
                Ok::<_, Error>((changed, again, returned, deleted, sum, exists, page, locked))
            })
            .await
            .unwrap();
        assert_eq!(
            done,
            (
                10,
                0,
                Some(15),
                2,
                Some((85, 8)),
                Some((true, false)),
                vec![6, 7],
                Some(0)
            )
        );
    });
}

fn large_values_come_back_unchanged(place: &Place) {
    let db = place.open();
    let body: Vec<u8> = (0..5_000_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    block(async {
        let written = body.clone();
        db.write(move |tx| {
            tx.execute(
                "INSERT INTO uploads (id, registry_id, repository, principal, algorithm, size, hash_state, content, boot, \
                 version, cancelled, created_at, expires_at) VALUES (?1, 1, 'r', 'p', 1, ?2, ?3, ?4, 'b', 0, 0, 0, 0)",
                params![b"id", written.len(), b"state", &written],
            )
        })
        .await
        .unwrap();
        let read = db
            .read(|tx| {
                tx.query_one(
                    "SELECT content FROM uploads WHERE id = ?1",
                    params![b"id"],
                    |row| row.get_bytes(0),
                )
            })
            .await
            .unwrap();
        assert!(read == Some(body));
    });
}
