//! Usage: what is summed up says the same as before.

use super::*;
use crate::on_both_engines;
use lazuli_db::clock::Clock;
use lazuli_registry::metering::{self, Window};

const DAY_US: i64 = 86_400_000_000;

async fn stored(f: &Fixture, window: Window) -> i128 {
    f.db.read(move |tx| {
        let holder = tx.query_one("SELECT holder FROM repositories", &[], |row| row.get_i64(0))?;
        metering::stored(tx, 1, holder.unwrap(), window)
    })
    .await
    .unwrap()
}

fn days(from: i64, to: i64) -> Window {
    Window {
        from: from * DAY_US,
        to: to * DAY_US,
    }
}

/// Blobs come and go over half a year, at all times of the day.
async fn half_a_year(f: &Fixture) -> (i64, i64) {
    let first = f.clock.now_us() / DAY_US;
    for number in 0..25_u32 {
        let digest = push_blob(&f.registry, "a", format!("blob {number}").as_bytes()).await;
        f.clock.advance(DAY * (number % 13) + HOUR * (number % 29));
        let (access, request) = (delete("a"), "r".into());
        let removed = f.registry.delete_blob(&access, &digest, &request);
        removed.await.unwrap();
        f.clock.advance(HOUR * (number % 31));
    }
    push_blob(&f.registry, "a", b"there to stay").await;
    change(
        f,
        "INSERT INTO registries (id, name, anonymous_pull, created_at) VALUES (1, 'r', 0, 0) ON CONFLICT DO NOTHING",
    )
    .await;
    // As if a manifest named it.
    change(f, "UPDATE repository_blobs SET check_after = NULL").await;
    (first, f.clock.now_us() / DAY_US + 1)
}

async fn what_was_stored_is_the_same_after_it_was_summed_up(f: Fixture) {
    let (first, last) = half_a_year(&f).await;
    let mut before = Vec::new();
    for day in first..last {
        before.push(stored(&f, days(day, day + 1)).await);
    }
    let whole = stored(&f, days(first, last)).await;
    assert_eq!(before.iter().sum::<i128>(), whole);
    let intervals = count(&f, "SELECT COUNT(*) FROM blob_intervals").await;

    f.clock.advance(64 * DAY);
    run(&f).await;
    assert_eq!(
        count(&f, "SELECT COUNT(*) FROM blob_intervals").await,
        0,
        "of {intervals}"
    );
    for (day, before) in (first..last).zip(&before) {
        assert_eq!(stored(&f, days(day, day + 1)).await, *before, "day {day}");
    }
    assert_eq!(stored(&f, days(first, last)).await, whole);

    // Years later there is a row for each month.
    f.clock.advance(1000 * DAY);
    run(&f).await;
    assert_eq!(
        count(&f, "SELECT COUNT(*) FROM storage_sums WHERE span = 1").await,
        0
    );
    let months = count(&f, "SELECT COUNT(*) FROM storage_sums").await;
    assert!((5..=8).contains(&months), "{months}");
    assert_eq!(
        stored(&f, days(first - 40, last + 40)).await
            - stays(&f, days(first - 40, last + 40)).await,
        whole - stays(&f, days(first, last)).await
    );
}

/// What the blob that is still there takes of a window.
async fn stays(f: &Fixture, window: Window) -> i128 {
    let interval = f.db.read(|tx| {
        tx.query_one("SELECT linked_at, size FROM repository_blobs", &[], |row| {
            Ok(metering::Interval {
                from: row.get_i64(0)?,
                to: None,
                size: row.get_i64(1)?,
            })
        })
    });
    interval.await.unwrap().unwrap().byte_microseconds(window)
}

async fn recent_intervals_stay_as_they_are(f: Fixture) {
    half_a_year(&f).await;
    let cutoff = (f.clock.now_us() - 62 * DAY_US) / DAY_US * DAY_US;
    let recent = |sql: &'static str| {
        let db = f.db.clone();
        async move {
            db.read(move |tx| tx.query_one(sql, &[cutoff.into()], |row| row.get_i64(0)))
                .await
                .unwrap()
                .unwrap()
        }
    };
    let kept = recent("SELECT COUNT(*) FROM blob_intervals WHERE to_at >= ?1").await;
    assert!(kept > 0);
    let gc = Gc::open(&f.registry, hurried()).await.unwrap();
    assert!(gc.run_once().await.unwrap().unwrap().history > 0);
    assert_eq!(count(&f, "SELECT COUNT(*) FROM blob_intervals").await, kept);
    assert_eq!(
        recent("SELECT COUNT(*) FROM blob_intervals WHERE to_at < ?1").await,
        0
    );
}

async fn transfers_are_summed_up_by_the_day_and_the_month(f: Fixture) {
    let now = f.clock.now_us() / 3_600_000_000;
    f.db.write(move |tx| {
        for hours in 0..2000_i64 {
            let (hour, name) = (now - hours, ["a", "b"][(hours % 2) as usize]);
            tx.execute(
                "INSERT INTO transfers (registry_id, span, hour, repository, meter, events, bytes) VALUES (1, 0, ?1, ?2, 'x', 1, ?1)",
                &[hour.into(), name.into()],
            )?;
        }
        tx.execute(
            "INSERT INTO registries (id, name, anonymous_pull, created_at) VALUES (1, 'r', 0, 0) ON CONFLICT DO NOTHING",
            &[],
        )
    })
    .await
    .unwrap();
    let sums = || async {
        let sum = "SELECT CAST(SUM(bytes) AS {i64}) FROM transfers";
        (
            count(&f, "SELECT CAST(SUM(events) AS {i64}) FROM transfers").await,
            count(&f, sum).await,
        )
    };
    let before = sums().await;
    run(&f).await;
    assert_eq!(sums().await, before);
    let hours = count(&f, "SELECT COUNT(*) FROM transfers WHERE span = 0").await;
    assert!((62 * 24..63 * 24 + 1).contains(&hours), "{hours}");
    let days = count(
        &f,
        "SELECT COUNT(*) FROM transfers WHERE span = 1 AND hour % 24 = 0",
    )
    .await;
    assert!((40..=46).contains(&days), "{days}");
    f.clock.advance(1000 * DAY);
    run(&f).await;
    assert_eq!(sums().await, before);
    let months = count(&f, "SELECT COUNT(*) FROM transfers WHERE span = 2").await;
    assert_eq!(months, count(&f, "SELECT COUNT(*) FROM transfers").await);
    assert!((6..=10).contains(&months), "{months}");
}

on_both_engines!(
    what_was_stored_is_the_same_after_it_was_summed_up,
    recent_intervals_stay_as_they_are,
    transfers_are_summed_up_by_the_day_and_the_month,
);
