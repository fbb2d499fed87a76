//! The crash test of a group of nodes on one database and one bucket: in each round something dies, falls asleep or is cut
//! off under load, and comes back; then every node has to serve what any of them acknowledged.

mod check;
pub mod engines;
pub mod fault;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use lazuli_wire::oci::Digest;

use super::client::{Client, Shared};
use super::clock::{self, SetClock};
use super::ledger::Ledger;
use super::load::CLIENTS;
use super::random::Random;
use super::sessions::Session;
use super::{INLINE_MAX, LEASE, Report, THOROUGH, folder};
use crate::engine::await_true;
use crate::server::{PASSWORD, Server, basic};
use engines::{DatabaseKind, Engines, StorageKind};
use fault::{Fault, Kind};

/// A promise broken on purpose: the test has to notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// Nodes answer from memory that is older than the last acknowledged write.
    StaleNodes,
    /// A fail-over to a standby that did not have everything.
    LostFailOver,
    /// An object that a manifest needs is removed from the bucket.
    RemoveObject,
}

impl Plant {
    /// Every one, by its name on the command line.
    pub const ALL: [(&str, Self); 3] = [
        ("stale-nodes", Self::StaleNodes),
        ("lost-fail-over", Self::LostFailOver),
        ("remove-object", Self::RemoveObject),
    ];

    /// The one of that name.
    pub fn parse(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, plant)| *plant)
    }
}

/// What to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Program, folder, seed, rounds, the longest load before a fault and the longest usual fault.
    pub crash: super::Options,
    /// How many nodes.
    pub nodes: usize,
    /// Where metadata is.
    pub database: DatabaseKind,
    /// Where blobs are.
    pub storage: StorageKind,
    /// The kinds of faults; empty: all that are possible.
    pub only: Vec<Kind>,
    /// What is broken on purpose.
    pub plant: Option<Plant>,
}

impl Options {
    /// Whether this is a group: one node on its own folder is tested by [`run`](super::run).
    pub fn is_group(&self) -> bool {
        self.nodes > 1 || self.database != DatabaseKind::Sqlite || self.storage != StorageKind::Disk
    }

    fn check(&self) -> Result<()> {
        ensure!(self.nodes > 0, "no nodes");
        ensure!(
            self.nodes == 1
                || self.database == DatabaseKind::Postgres && self.storage != StorageKind::Disk,
            "several nodes need --database postgres and --storage s3 or azure"
        );
        Ok(())
    }
}

/// Runs the test. `None`: this machine lacks an engine, which was said.
///
/// # Errors
/// Everything that should not be as it was found. The folder stays as it is.
///
/// # Panics
/// When an engine does not start, and, under `CI=true`, when one is missing.
pub fn run(options: &Options, progress: &mut dyn FnMut(&str)) -> Result<Option<Report>> {
    options.check()?;
    let Some(engines) = Engines::start(options) else {
        return Ok(None);
    };
    let mut group = Group::new(options, engines)?;
    let fsck = group.rounds(progress).inspect_err(|_| {
        // The logs of the nodes are in the folder already.
        let log = options.crash.folder.join("engines.log");
        let _ = std::fs::write(log, group.engines.log_tail());
    })?;
    let counts = group.shared.tally().counts.clone();
    Ok(Some(Report {
        counts,
        slowest_start: group.slowest_start,
        fsck,
    }))
}

/// A group under test.
#[derive(Debug)]
pub struct Group<'a> {
    options: &'a Options,
    engines: Engines,
    nodes: Vec<Server>,
    /// Of each node, where clocks can be set.
    clocks: Vec<SetClock>,
    shared: Arc<Shared>,
    /// Of each client.
    sessions: Vec<Vec<Session>>,
    slowest_start: Duration,
    slowest_settling: Duration,
}

impl<'a> Group<'a> {
    fn new(options: &'a Options, engines: Engines) -> Result<Self> {
        let (mut nodes, mut clocks) = (Vec::new(), Vec::new());
        for number in 0..options.nodes {
            let mut settings = engines.settings(number);
            let lease = format!("{}s", LEASE.as_secs());
            settings.extend([
                ("LAZULI_LEASES_DURATION", lease),
                ("LAZULI_GC_INTERVAL", "1s".to_owned()),
                ("LAZULI_STORAGE_INLINE_BLOB_MAX", INLINE_MAX.to_string()),
                ("LAZULI_LOG_ACCESS", "false".to_owned()),
            ]);
            if options.plant == Some(Plant::StaleNodes) {
                settings.push(("LAZULI_CLUSTER_STALENESS", "20s".to_owned()));
            }
            if fault::Kind::Clock.is_wanted(&options.only) && clock::library().is_some() {
                let clock = SetClock::new(&options.crash.folder.join(format!("clock{number}")))?;
                settings.extend(clock.environment());
                clocks.push(clock);
            }
            let folder = options.crash.folder.join(format!("node{number}"));
            nodes.push(engines::node(options, &settings, &folder)?);
        }
        let addresses = nodes.iter().map(Server::http).collect();
        let ledger = Ledger::new(LEASE);
        let mut shared = Shared::new(addresses, basic("lazuli", PASSWORD), ledger);
        shared.is_group = true;
        Ok(Self {
            options,
            engines,
            nodes,
            clocks,
            shared: Arc::new(shared),
            sessions: (0..CLIENTS).map(|_| Vec::new()).collect(),
            slowest_start: Duration::ZERO,
            slowest_settling: Duration::ZERO,
        })
    }

    fn rounds(&mut self, progress: &mut dyn FnMut(&str)) -> Result<String> {
        for node in &mut self.nodes {
            node.launch().map_err(|problem| anyhow!(problem))?;
        }
        for node in 0..self.nodes.len() {
            self.await_ready(node)?;
        }
        let seed = self.options.crash.seed;
        for round in 0..self.options.crash.rounds {
            let begun = Instant::now();
            let mut random = Random::new(seed, &[round, u64::MAX]);
            let fault = Fault::draw(self, &mut random);
            let what = fault.describe();
            self.round(round, &fault, &mut random)
                .with_context(|| format!("round {round} of seed {seed}, {what}"))?;
            progress(&self.describe(round, &what, begun.elapsed()));
        }
        progress("the last check: everything is read, garbage is collected");
        self.end()
            .with_context(|| format!("at the end of seed {seed}"))
    }

    /// Waits until a node that was started is ready.
    fn await_ready(&mut self, node: usize) -> Result<()> {
        let server = &mut self.nodes[node];
        let ready = || {
            ensure!(server.is_running(), "it ended");
            let probe = server.anonymous().try_send("GET", "/readyz", &[], &[]);
            Ok(probe.is_ok_and(|response| response.status == 200))
        };
        let outcome = await_true(Duration::from_mins(1), ready);
        outcome.with_context(|| format!("node {node}:\n{}", self.nodes[node].log_tail()))
    }

    fn round(&mut self, round: u64, fault: &Fault, random: &mut Random) -> Result<()> {
        let is_last = round + 1 == self.options.crash.rounds;
        let plant = self.options.plant.filter(|_| is_last);
        let longest = self.options.crash.longest.as_millis() as u64;
        let mut wait = |low: u64| Duration::from_millis(random.between(longest / low, longest));
        let (before, after) = (wait(5), wait(4) / 2);
        if plant == Some(Plant::LostFailOver) {
            self.engines.lose_standby()?;
        }
        self.under_load(round, |group| {
            std::thread::sleep(before);
            for (number, node) in group.nodes.iter_mut().enumerate() {
                if !node.is_running() {
                    let problem = format!("node {number} ended by itself\n{}", node.log_tail());
                    group.shared.violation(problem);
                }
            }
            group.shared.is_killed.store(true, Ordering::SeqCst);
            if plant == Some(Plant::LostFailOver) {
                group.engines.fail_over_to_lost();
                return Ok(());
            }
            fault.happen(group)?;
            std::thread::sleep(after);
            Ok(())
        })?;
        if plant == Some(Plant::LostFailOver) {
            for node in 0..self.nodes.len() {
                self.await_ready(node)?;
            }
        } else {
            let begun = Instant::now();
            self.engines.settle(&self.nodes)?;
            self.slowest_settling = self.slowest_settling.max(begun.elapsed());
        }
        self.shared.is_killed.store(false, Ordering::SeqCst);
        if plant == Some(Plant::RemoveObject) {
            self.remove_object(round, random)?;
        }
        let is_thorough = round % THOROUGH == THOROUGH - 1 || self.options.plant.is_some();
        if is_thorough && self.options.plant.is_none() {
            self.fsck(round / THOROUGH % 2 == 1)?;
        }
        self.check(round, is_thorough)?;
        self.take_up_sessions(round, self.options.plant.is_some())?;
        self.no_violations()
    }

    /// Lets the clients work while something happens.
    fn under_load(
        &mut self,
        round: u64,
        event: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let seed = self.options.crash.seed;
        let before = std::mem::take(&mut self.sessions);
        let shared = &*Arc::clone(&self.shared);
        shared.is_over.store(false, Ordering::SeqCst);
        let (happened, sessions) = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..)
                .zip(before)
                .map(|(number, sessions)| {
                    let random = Random::new(seed, &[round, number]);
                    scope.spawn(move || {
                        let mut client = Client::new(shared, number, random, sessions);
                        client.load();
                        client.sessions
                    })
                })
                .collect();
            let happened = event(self);
            shared.is_over.store(true, Ordering::SeqCst);
            let joined: Result<Vec<_>> = clients
                .into_iter()
                .map(|client| {
                    client
                        .join()
                        .map_err(|_| anyhow!("a client of the test panicked"))
                })
                .collect();
            (happened, joined)
        });
        self.sessions = sessions?;
        happened
    }

    /// Takes away what a manifest needs: all objects with that content, of which one may be a leftover.
    fn remove_object(&mut self, round: u64, random: &mut Random) -> Result<()> {
        let begun = Instant::now();
        loop {
            // Of what was not answered it is found out first whether it took effect: a delete may have.
            self.check(round, false)?;
            let needed = folder::needed_blobs(&self.shared.ledger, INLINE_MAX);
            let keys = self.engines.keys();
            let of = |digest: &Digest| -> Vec<&String> {
                let hex = digest.to_hex();
                keys.iter().filter(|key| key.contains(&hex)).collect()
            };
            let needed: Vec<_> = needed.iter().map(of).filter(|of| !of.is_empty()).collect();
            if let Some(objects) = random.pick(&needed) {
                for key in objects {
                    self.engines.remove(key);
                }
                return Ok(());
            }
            ensure!(
                begun.elapsed() < Duration::from_mins(1),
                "no manifest needs an object yet"
            );
            self.under_load(round, |_| {
                std::thread::sleep(Duration::from_secs(1));
                Ok(())
            })?;
        }
    }

    fn no_violations(&self) -> Result<()> {
        super::no_violations(&self.shared)
    }

    fn describe(&self, round: u64, fault: &str, took: Duration) -> String {
        let tally = self.shared.tally();
        let count = |what: &str| tally.counts.get(what).copied().unwrap_or(0);
        format!(
            "round {}: {fault}: {} blobs, {} manifests, {} deletes acknowledged, {} not answered, {} tried again ({:.1} s)",
            round + 1,
            count("blobs") + count("mounts"),
            count("manifests"),
            count("deleted tags") + count("deleted manifests") + count("deleted blobs"),
            count("unanswered"),
            count("tried again"),
            took.as_secs_f64(),
        )
    }
}
