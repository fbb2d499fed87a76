//! The steps of a pass.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use lazuli_blobs::{Hasher, Location, Opened};

use super::damage::{self, Found};
use super::order::{Cursor, MANIFESTS};
use super::pacing::ITEM_COST;
use super::scan::{Batch, Item, Scan, scan};
use super::worker::Worker;
use super::{Halt, Inner, Pass, sql};
use crate::Result;
use crate::leases::Lease;

/// How often a pass under way is written down; one that was asked for is being watched.
const SAVE: Duration = Duration::from_secs(30);
const SAVE_ASKED: Duration = Duration::from_secs(5);

/// A pass in the hands of this process.
pub(super) struct Work {
    pub(super) lease: Lease,
    pub(super) pass: Pass,
    pub(super) batch: Batch,
    reading: Option<Reading>,
    saved_at: Duration,
}

/// A large blob, partly hashed.
struct Reading {
    blob: sql::Blob,
    opened: Opened,
    hasher: Hasher,
}

impl Work {
    pub(super) fn new(inner: &Inner, lease: Lease, pass: Pass) -> Self {
        Self {
            lease,
            pass,
            batch: Batch::default(),
            reading: None,
            saved_at: inner.registry.inner.clock.monotonic(),
        }
    }

    /// Reads a portion; false: nothing more is due.
    pub(super) async fn portion(
        &mut self,
        worker: &mut Worker,
        inner: &Inner,
    ) -> Result<bool, Halt> {
        self.keep_lease(inner).await?;
        let portion = worker.pacing.portion();
        let mut spent = 0;
        while spent < portion {
            if let Some(reading) = self.reading.take() {
                spent += self
                    .read_on(worker, inner, reading, portion - spent)
                    .await?;
                continue;
            }
            if self.batch.items.is_empty() && !self.load(inner).await? {
                charge(worker, inner, spent);
                return Ok(false);
            }
            spent += self.next_item(worker, inner).await?;
        }
        charge(worker, inner, spent);
        let save = if self.pass.is_asked_for {
            SAVE_ASKED
        } else {
            SAVE
        };
        if inner.registry.inner.clock.monotonic() >= self.saved_at + save {
            self.save(inner).await?;
        }
        Ok(true)
    }

    /// To be called more often than the lease lasts.
    pub(super) async fn keep_lease(&mut self, inner: &Inner) -> Result<(), Halt> {
        if self.lease.remaining() < inner.options.lease / 2 {
            self.lease.renew().await?;
        }
        Ok(())
    }

    /// Reads on in a large blob. Returns what that cost, as do the next ones.
    async fn read_on(
        &mut self,
        worker: &mut Worker,
        inner: &Inner,
        reading: Reading,
        most: u64,
    ) -> Result<u64, Halt> {
        let Reading {
            blob,
            opened,
            hasher,
        } = reading;
        let from = hasher.len();
        let end = blob.size.min(from + most);
        let store = &inner.registry.inner.store;
        match store.hash_on(opened.clone(), hasher, end).await {
            Ok(hasher) if hasher.len() < blob.size => {
                self.reading = Some(Reading {
                    blob,
                    opened,
                    hasher,
                });
            }
            Ok(hasher) => {
                let found = Found::of(&blob.digest, hasher.finish());
                self.judge(worker, inner, blob, found).await?;
            }
            Err(error) => {
                let found = damage::judge_error(error).map_err(Halt::Away)?;
                self.judge(worker, inner, blob, found).await?;
            }
        }
        self.pass.bytes += end - from;
        inner.counters.bytes.fetch_add(end - from, Relaxed);
        Ok(end - from)
    }

    /// The item stays in the batch until it is verified, so that whatever fails, it is not left out.
    async fn next_item(&mut self, worker: &mut Worker, inner: &Inner) -> Result<u64, Halt> {
        match self.batch.items.front() {
            Some(Item::Blob(blob)) => {
                let blob = blob.clone();
                self.begin_blob(worker, inner, blob).await
            }
            Some(Item::Manifest(repository, digest)) => {
                let (repository, digest) = (*repository, *digest);
                let read = damage::check_manifest(self, inner, repository, digest).await?;
                self.pass.bytes += read;
                inner.counters.bytes.fetch_add(read, Relaxed);
                self.verified(inner);
                Ok(read + ITEM_COST)
            }
            None => Ok(ITEM_COST),
        }
    }

    async fn begin_blob(
        &mut self,
        worker: &mut Worker,
        inner: &Inner,
        blob: sql::Blob,
    ) -> Result<u64, Halt> {
        let found = match (&blob.location, &blob.content) {
            (Some(text), _) => match Location::parse(text) {
                Ok(location) if location.digest() == Some(blob.digest) => {
                    match inner.registry.inner.store.open(&location, blob.size).await {
                        Ok(opened) => {
                            let hasher = Hasher::new(blob.digest.algorithm());
                            self.reading = Some(Reading {
                                blob,
                                opened,
                                hasher,
                            });
                            return Ok(ITEM_COST);
                        }
                        Err(error) => damage::judge_error(error).map_err(Halt::Away)?,
                    }
                }
                _ => Found::no_place(),
            },
            (None, Some(content)) => {
                self.pass.bytes += content.len() as u64;
                inner
                    .counters
                    .bytes
                    .fetch_add(content.len() as u64, Relaxed);
                Found::content(&blob.digest, blob.size, content)
            }
            (None, None) => Found::PutAside,
        };
        let cost = ITEM_COST + blob.content.as_ref().map_or(0, Vec::len) as u64;
        self.judge(worker, inner, blob, found).await?;
        Ok(cost)
    }

    async fn judge(
        &mut self,
        worker: &mut Worker,
        inner: &Inner,
        blob: sql::Blob,
        found: Found,
    ) -> Result<(), Halt> {
        damage::settle(self, worker, inner, &blob, found).await?;
        worker.stuck = None;
        self.verified(inner);
        Ok(())
    }

    fn verified(&mut self, inner: &Inner) {
        self.pass.items += 1;
        inner.counters.items.fetch_add(1, Relaxed);
        self.come_past();
    }

    /// Where the pass is after the next item.
    pub(super) fn next_place(&self) -> Option<Cursor> {
        let (owner, digest) = match self.batch.items.front()? {
            Item::Blob(blob) => (blob.registry, blob.digest),
            Item::Manifest(repository, digest) => (*repository, *digest),
        };
        Some(Cursor {
            slice: self.batch.slice,
            owner,
            digest: digest.to_bytes(),
        })
    }

    pub(super) fn come_past(&mut self) {
        if let Some(place) = self.next_place() {
            self.pass.cursor = place;
        }
        self.batch.items.pop_front();
        if self.batch.items.is_empty()
            && let Some(then) = self.batch.then.take()
        {
            self.pass.cursor = then;
        }
    }

    /// Finds what is due next; false: nothing.
    async fn load(&mut self, inner: &Inner) -> Result<bool, Halt> {
        let due = self
            .pass
            .due(inner.registry.now(), inner.options.pass_time());
        loop {
            let (cursor, scan) = scan(inner, self.pass.cursor.clone(), due).await?;
            self.pass.cursor = cursor;
            match scan {
                Scan::Items(batch) => {
                    self.batch = batch;
                    return Ok(true);
                }
                Scan::More => {}
                Scan::NotDue => return Ok(false),
                Scan::Ended => {
                    self.end(inner);
                    return Ok(false);
                }
            }
        }
    }

    fn end(&mut self, inner: &Inner) {
        let pass = &mut self.pass;
        pass.finished_at = Some(inner.registry.now());
        pass.cursor.slice = MANIFESTS + 1;
        tracing::info!(
            items = pass.items,
            bytes = pass.bytes,
            damaged = pass.damaged,
            waiting = pass.waiting,
            skipped = pass.skipped,
            "every stored byte was verified"
        );
    }

    async fn save(&mut self, inner: &Inner) -> Result<(), Halt> {
        let (guard, pass) = (self.lease.guard(), self.pass.clone());
        inner
            .registry
            .inner
            .db
            .write_relaxed(move |tx| {
                guard.check(tx)?;
                sql::save(tx, &pass)?;
                Ok::<_, Halt>(())
            })
            .await?;
        self.saved_at = inner.registry.inner.clock.monotonic();
        Ok(())
    }

    /// Writes down how far the pass is, and ends the lease.
    pub(super) async fn hand_back(mut self, inner: &Inner) -> Result<()> {
        match self.save(inner).await {
            Ok(()) => Ok(self.lease.release().await?),
            Err(Halt::Lost) => Ok(()),
            Err(Halt::Away(error)) => Err(error.into()),
            Err(Halt::Failed(error)) => Err(error),
        }
    }
}

fn charge(worker: &mut Worker, inner: &Inner, spent: u64) {
    let now = inner.registry.inner.clock.monotonic();
    worker.pacing.charge(now, spent);
}
