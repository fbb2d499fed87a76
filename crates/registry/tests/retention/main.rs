//! What is remembered of long ago goes in steps, and nothing that anybody still needs.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../common/mod.rs"]
mod common;

mod log;
mod usage;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use lazuli_registry::gc::{Gc, Hurried, Options, Run};
use lazuli_registry::operations::sequencer::Sequencer;
use lazuli_registry::retention::Retention;
use lazuli_registry::{Registry, fsck};

const DAY: Duration = Duration::from_hours(24);

fn hurried() -> Options {
    Options {
        batch: 3,
        pace: Arc::new(Hurried),
        retention: Retention {
            newest: 2,
            ..Retention::default()
        },
        ..Options::new(HOUR)
    }
}

async fn run(f: &Fixture) -> Run {
    let gc = Gc::open(&f.registry, hurried()).await.unwrap();
    gc.run_once().await.unwrap().expect("nobody else is at it")
}

async fn number(f: &Fixture) {
    let mut sequencer = Sequencer::new(
        f.registry.log(),
        &format!("{:x}", f.registry.log().unique_number()),
        lazuli_registry::operations::sequencer::Options::default(),
    );
    // The lease of the one before.
    f.clock.advance(Duration::from_secs(11));
    sequencer.drain().await.unwrap();
}

async fn count(f: &Fixture, sql: &'static str) -> i64 {
    f.db.read(move |tx| tx.query_one(sql, &[], |row| row.get_i64(0)))
        .await
        .unwrap()
        .unwrap()
}

async fn change(f: &Fixture, sql: &'static str) {
    f.db.write(move |tx| tx.execute(sql, &[])).await.unwrap();
}

async fn findings(registry: &Registry) -> Vec<String> {
    let mut findings = Vec::new();
    let options = fsck::Options {
        verify: true,
        repair: false,
    };
    let mut note = |finding: &fsck::Finding, _| findings.push(finding.to_string());
    fsck::check(registry, options, &mut note).await.unwrap();
    findings
}
