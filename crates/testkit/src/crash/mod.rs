//! The crash test: a server is killed at random moments under mixed load and restarted; then everything it acknowledged is
//! compared with what it serves.
//!
//! - [`load`]: what the clients do; [`sessions`]: upload sessions, which are taken up again after a restart.
//! - [`ledger`]: what was sent and acknowledged; [`history`]: what may therefore be read.
//! - [`group`]: the same of several nodes, on engines that die too.
//! - [`power`]: the machine under it loses power; [`clock`]: its clock is set.
//! - [`check`]: the comparison; [`folder`]: the data folder without a server; [`damage`]: proof that faults are found.

pub mod check;
pub mod client;
pub mod clock;
pub mod damage;
pub mod folder;
pub mod group;
pub mod history;
pub mod images;
pub mod ledger;
pub mod load;
mod options;
pub mod power;
mod pushes;
pub mod random;
mod reads;
pub mod sessions;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

pub use options::{Options, Report};

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::server::{PASSWORD, Server, basic};
use client::{Client, Shared, Tally};
use clock::SetClock;
use damage::Damage;
use ledger::Ledger;
use load::CLIENTS;
use power::Disk;
use random::Random;
use sessions::Session;

/// Short, so that garbage collection has work in a short test.
const LEASE: Duration = Duration::from_secs(2);
/// Blobs of more bytes than this are files.
const INLINE_MAX: u64 = 4 << 10;
/// How long garbage collection may take to free what nothing needs, at the end.
const COLLECTED: Duration = Duration::from_secs(90);
/// Each so many rounds everything is read, and `lazuli fsck` runs.
const THOROUGH: u64 = 5;

/// Runs the test.
///
/// # Errors
/// Everything that should not be as it was found. The folder stays as it is.
pub fn run(options: &Options, progress: &mut dyn FnMut(&str)) -> Result<Report> {
    let power = options.loses_power.then(|| Disk::make(&options.folder));
    let clock = options
        .sets_clock
        .then(|| SetClock::new(&options.folder.join("clock")));
    let (power, clock) = (power.transpose()?, clock.transpose()?);
    let mut environment = vec![
        ("LAZULI_LEASES_DURATION", "2s"),
        ("LAZULI_GC_INTERVAL", "1s"),
        ("LAZULI_STORAGE_INLINE_BLOB_MAX", "4096"),
        ("LAZULI_LOG_ACCESS", "false"),
    ];
    let further = clock.iter().flat_map(SetClock::environment);
    let further: Vec<_> = further.chain(options.environment.clone()).collect();
    environment.extend(further.iter().map(|(name, value)| (*name, value.as_str())));
    let server = Server::new(&options.binary, &options.folder, &environment);
    let mut shared = Shared::new(
        vec![server.http()],
        basic("lazuli", PASSWORD),
        Ledger::new(LEASE),
    );
    shared.may_forget_sessions = options.loses_power || options.sets_clock;
    let mut run = Run {
        options,
        server,
        shared,
        power,
        clock,
        sessions: (0..CLIENTS).map(|_| Vec::new()).collect(),
        slowest_start: Duration::ZERO,
    };
    for round in 0..options.rounds {
        let begun = Instant::now();
        run.round(round)
            .with_context(|| format!("round {round} of seed {}", options.seed))?;
        if round < 3 || round % THOROUGH == THOROUGH - 1 {
            progress(&run.describe(round, begun.elapsed()));
        }
    }
    progress("the last check: everything is read, garbage is collected");
    let fsck = run
        .end()
        .with_context(|| format!("at the end of seed {}", options.seed))?;
    let Tally { counts, .. } = run.shared.tally().clone();
    Ok(Report {
        counts,
        slowest_start: run.slowest_start,
        fsck,
    })
}

fn no_violations(shared: &Shared) -> Result<()> {
    let tally = shared.tally();
    let shown = 20;
    ensure!(
        tally.violations.is_empty(),
        "{} violations\n{}",
        tally.violations.len(),
        tally.violations[..tally.violations.len().min(shown)].join("\n")
    );
    Ok(())
}

struct Run<'a> {
    options: &'a Options,
    server: Server,
    shared: Shared,
    power: Option<Disk>,
    clock: Option<SetClock>,
    /// Of each client.
    sessions: Vec<Vec<Session>>,
    slowest_start: Duration,
}

impl Run<'_> {
    fn round(&mut self, round: u64) -> Result<()> {
        let mut random = Random::new(self.options.seed, &[round, u64::MAX]);
        if round == 0 {
            self.start()?;
        }
        let longest = self.options.longest.as_millis() as u64;
        let mut load = Duration::from_millis(random.between((longest / 10).max(1), longest));
        if self.options.damage.is_some() {
            // There has to be something to damage.
            load = self.options.longest;
        }
        self.load_and_kill(round, load, &mut random)?;
        let is_last = round + 1 == self.options.rounds;
        let before = self.options.folder.join("before");
        if let Some(damage) = self.options.damage.filter(|_| is_last) {
            let data = self.server.data();
            damage.apply(&data, &before, &self.shared.ledger, &mut random)?;
        } else if self.options.damage == Some(Damage::OldDatabase) {
            damage::copy_database(&self.server.data(), &before)?;
        }
        let is_thorough = round % THOROUGH == THOROUGH - 1 || self.options.damage.is_some();
        if is_thorough && self.options.damage.is_none() {
            self.fsck(round)?;
        }
        // Some starts are cut short, too.
        while random.percent(15) {
            self.server.launch().map_err(|problem| anyhow!(problem))?;
            std::thread::sleep(Duration::from_millis(random.below(150)));
            self.shared.count("starts cut short");
        }
        self.start()?;
        self.check(round, is_thorough)?;
        self.take_up_sessions(round, self.options.damage.is_some())?;
        self.no_violations()
    }

    fn start(&mut self) -> Result<()> {
        let begun = Instant::now();
        let started = self.server.try_restart("/readyz");
        started.map_err(|problem| anyhow!(problem))?;
        self.slowest_start = self.slowest_start.max(begun.elapsed());
        self.shared.is_killed.store(false, Ordering::SeqCst);
        Ok(())
    }

    /// Lets the clients work for a while, and kills the server under them.
    fn load_and_kill(&mut self, round: u64, load: Duration, random: &mut Random) -> Result<()> {
        let (shared, seed, clock) = (&self.shared, self.options.seed, &self.clock);
        let (server, before) = (&mut self.server, std::mem::take(&mut self.sessions));
        self.sessions = std::thread::scope(|scope| {
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
            std::thread::sleep(load / 2);
            if let Some(clock) = clock {
                clock.set(random)?;
            }
            std::thread::sleep(load / 2);
            if !server.is_running() {
                shared.violation(format!("the server ended by itself\n{}", server.log_tail()));
            }
            shared.is_killed.store(true, Ordering::SeqCst);
            server.kill();
            let joined = clients.into_iter().map(|client| {
                client
                    .join()
                    .map_err(|_| anyhow!("a client of the test panicked"))
            });
            joined.collect::<Result<Vec<_>>>()
        })?;
        if let Some(disk) = &mut self.power {
            disk.lose_power(random)?;
            self.shared.count("power failures");
        }
        if let Some(clock) = &self.clock {
            clock.set(random)?;
        }
        self.shared.forgets.fetch_add(2, Ordering::SeqCst);
        Ok(())
    }

    /// Compares every repository with the ledger, several at a time.
    fn check(&self, round: u64, is_thorough: bool) -> Result<()> {
        let names = self.shared.ledger.repositories();
        let (shared, seed) = (&self.shared, self.options.seed);
        let checked = std::thread::scope(|scope| {
            let checks: Vec<_> = (0..)
                .zip(names.chunks(names.len().div_ceil(3).max(1)))
                .map(|(number, names)| {
                    let random = Random::new(seed, &[round, u64::MAX, number]);
                    scope.spawn(move || {
                        let mut client = Client::new(shared, number, random, Vec::new());
                        let mut listed = Vec::new();
                        for name in names {
                            if client.check_repository(name, is_thorough)? {
                                listed.push(name.clone());
                            }
                        }
                        Ok::<_, client::Stop>(listed)
                    })
                })
                .collect();
            let joined: Vec<_> = checks
                .into_iter()
                .map(std::thread::ScopedJoinHandle::join)
                .collect();
            joined
        });
        let mut listed = Vec::new();
        for names in checked {
            match names {
                Ok(Ok(names)) => listed.extend(names),
                Ok(Err(client::Stop)) => {}
                Err(_) => return Err(anyhow!("a check panicked")),
            }
        }
        self.no_violations()?;
        let random = Random::new(seed, &[round]);
        // No answer was noted as a violation.
        let _ = Client::new(shared, 0, random, Vec::new()).check_catalog(&listed);
        self.no_violations()
    }

    /// Every session has to be where it was, and can be continued.
    fn take_up_sessions(&mut self, round: u64, all: bool) -> Result<()> {
        for (number, sessions) in (0..).zip(&mut self.sessions) {
            let random = Random::new(self.options.seed, &[round, number, u64::MAX]);
            let taken = std::mem::take(sessions);
            let mut client = Client::new(&self.shared, number, random, taken);
            // No answer was noted as a violation.
            let _ = client.take_up_sessions(all);
            *sessions = client.sessions;
        }
        self.no_violations()
    }

    fn fsck(&self, round: u64) -> Result<folder::Fsck> {
        // Reading every byte takes time: each second time.
        let fsck = folder::fsck(&self.server, &[], (round / THOROUGH).is_multiple_of(2))?;
        let broken_off = self.broken_off();
        ensure!(
            (fsck.orphan_files + fsck.orphan_uploads) as u64 <= broken_off,
            "{} files and {} uploads that nothing knows, while {broken_off} pushes were broken off",
            fsck.orphan_files,
            fsck.orphan_uploads
        );
        Ok(fsck)
    }

    /// Each client can have been in the middle of one push at each kill.
    fn broken_off(&self) -> u64 {
        self.options.rounds * CLIENTS
    }

    fn no_violations(&self) -> Result<()> {
        no_violations(&self.shared)
    }

    /// Everything is read once more; all sessions end; what nothing needs has to go; `lazuli fsck` has to be content.
    fn end(&mut self) -> Result<String> {
        let round = self.options.rounds;
        self.take_up_sessions(round, true)?;
        if let Some(clock) = &self.clock {
            // Later than any lease that was given while the clock was ahead.
            clock.set_to(clock::LAST)?;
            self.start()?;
        }
        self.check(round, true)?;
        let needed = folder::needed_blobs(&self.shared.ledger, INLINE_MAX).len();
        let (blobs, uploads) = (
            self.server.data().join("blobs"),
            self.server.data().join("uploads"),
        );
        let deadline = Instant::now() + COLLECTED;
        loop {
            // Garbage collection may run at any moment, and the files of broken-off pushes stay for a day: `fsck` knows them.
            let fsck = folder::fsck(&self.server, &[], false)?;
            let kept = folder::count_files(&blobs)?.saturating_sub(fsck.orphan_files);
            let unfinished = folder::count_files(&uploads)?;
            if kept == needed && unfinished as u64 <= self.broken_off() {
                break;
            }
            ensure!(
                Instant::now() < deadline,
                "{kept} files of blobs are kept, while manifests need {needed}; {unfinished} files of uploads are kept"
            );
            std::thread::sleep(Duration::from_millis(500));
        }
        ensure!(
            self.server.stop(),
            "the server did not stop in order\n{}",
            self.server.log_tail()
        );
        let fsck = self.fsck(0)?;
        self.no_violations()?;
        Ok(fsck.summary)
    }

    fn describe(&self, round: u64, took: Duration) -> String {
        let tally = self.shared.tally();
        let count = |what: &str| tally.counts.get(what).copied().unwrap_or(0);
        format!(
            "round {}: {} blobs, {} manifests, {} deletes acknowledged, {} requests cut off, {} sessions taken up ({:.1} s)",
            round + 1,
            count("blobs") + count("mounts"),
            count("manifests"),
            count("deleted tags") + count("deleted manifests") + count("deleted blobs"),
            count("unanswered"),
            count("sessions taken up"),
            took.as_secs_f64(),
        )
    }
}
