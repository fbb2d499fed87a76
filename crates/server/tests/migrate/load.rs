//! A server under load moves, and the move is killed at random moments: what was acknowledged, here or there, is there, what was
//! deleted is not, and tags name what they named last.

use std::path::PathBuf;
use std::process::Child;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lazuli_testkit::crash::client::{Client, Shared};
use lazuli_testkit::crash::ledger::Ledger;
use lazuli_testkit::crash::random::Random;
use lazuli_testkit::server::{PASSWORD, Server, basic};

use crate::places::*;

/// Short, so that garbage collection is at work.
const LEASE: Duration = Duration::from_secs(2);
const ENVIRONMENT: [(&str, &str); 4] = [
    ("LAZULI_LEASES_DURATION", "2s"),
    ("LAZULI_GC_INTERVAL", "1s"),
    ("LAZULI_STORAGE_INLINE_BLOB_MAX", "4096"),
    ("LAZULI_LOG_ACCESS", "false"),
];
const CLIENTS: u64 = 6;
/// How many runs are killed before one may come to its end.
const KILLS: u64 = 2;
/// One of these tests at a time: each is load enough for a small machine.
static TURN: Mutex<()> = Mutex::new(());

fn no_violations(shared: &Shared) {
    let tally = shared.tally();
    let shown = tally
        .violations
        .iter()
        .take(20)
        .cloned()
        .collect::<Vec<_>>();
    assert!(shown.is_empty(), "{}", shown.join("\n"));
}

/// Ends the clients, also when the test fails meanwhile.
struct Over<'a>(&'a Shared);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::SeqCst);
    }
}

/// Lets clients work while something happens.
fn under_load<T>(shared: &Shared, seed: u64, event: impl FnOnce() -> T) -> T {
    shared.is_over.store(false, Ordering::SeqCst);
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            scope.spawn(move || {
                // Sessions do not move: each time others are begun.
                let random = Random::new(seed, &[number]);
                Client::new(shared, number, random, Vec::new()).load();
            });
        }
        let _over = Over(shared);
        event()
    })
}

/// Compares everything with the ledger.
fn check(shared: &Shared, seed: u64) {
    let mut client = Client::new(shared, 0, Random::new(seed, &[u64::MAX]), Vec::new());
    let mut listed = Vec::new();
    for name in shared.ledger.repositories() {
        if client.check_repository(&name, true).unwrap() {
            listed.push(name);
        }
    }
    no_violations(shared);
    let _ = client.check_catalog(&listed);
    no_violations(shared);
}

/// Begins a run, and waits until it is at work: not before the lease of one that was killed has ended.
fn begin(old: &Server, place: &Place, more: &[&str]) -> (Child, PathBuf) {
    let told = old.data().join("migrate.out");
    let out = std::fs::File::create(&told).unwrap();
    let mut command = migrate(old, place, more);
    command.envs(ENVIRONMENT);
    command.stderr(out.try_clone().unwrap()).stdout(out);
    let mut run = command.spawn().unwrap();
    let is_silent = || std::fs::read(&told).unwrap().is_empty();
    while is_silent() && run.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(5));
    }
    (run, told)
}

fn is_closed(old: &Server) -> bool {
    try_blob(&old.admin(), b"is it open?").status == 503
}

fn a_move_under_load(place: &Place, seed: u64) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let old = Server::start(LAZULI, &ENVIRONMENT);
    let authorization = basic("lazuli", PASSWORD);
    let mut shared = Shared::new(vec![old.http()], authorization, Ledger::new(LEASE));
    shared.is_group = true;
    let mut random = Random::new(seed, &[]);
    let mut pauses = 0;
    under_load(&shared, seed, || {
        // However slow the machine is, there is something to compare.
        let count = |what: &str| shared.tally().counts.get(what).copied().unwrap_or(0);
        let mut looks = 0;
        while count("manifests") < 100 || count("deleted manifests") < 10 {
            no_violations(&shared);
            looks += 1;
            assert!(looks < 3600, "the clients do nothing");
            std::thread::sleep(Duration::from_millis(50));
        }
        for kill in 0..KILLS {
            // At any moment while it copies, then as soon as writes are paused.
            let in_pause = kill >= KILLS / 2;
            let more: &[&str] = if in_pause { &[] } else { &["--prepare"] };
            let (mut run, told) = begin(&old, place, more);
            let mut steps = random.between(1, 600);
            while run.try_wait().unwrap().is_none() && (in_pause || steps > 0) {
                if in_pause && is_closed(&old) {
                    pauses += 1;
                    std::thread::sleep(Duration::from_millis(random.below(20 << kill)));
                    break;
                }
                steps = steps.saturating_sub(1);
                std::thread::sleep(Duration::from_millis(2));
            }
            let _ = run.kill();
            run.wait().unwrap();
            println!("killed: {}", std::fs::read_to_string(told).unwrap());
        }
    });
    no_violations(&shared);
    let (is_done, told) = under_load(&shared, seed + 1, || {
        let (mut run, told) = begin(&old, place, &[]);
        let status = run.wait().unwrap();
        std::thread::sleep(Duration::from_millis(300));
        (status.success(), std::fs::read_to_string(told).unwrap())
    });
    println!("{pauses} killed in the pause\n{told}");
    assert!(is_done || told.contains("completely"), "{told}");
    assert!(pauses > 0);
    // Pulls went on all the time.
    no_violations(&shared);
    assert!(is_closed(&old));
    let counts = shared.tally().counts.clone();
    println!("{counts:?}");
    assert!(!counts.contains_key("reads that had to wait"), "{counts:?}");

    // All of it is in the old place, which is as it was, and in the new one.
    check(&shared, seed);
    let mut new = place.server(&ENVIRONMENT);
    new.restart();
    shared.addresses = vec![new.http()];
    check(&shared, seed);
    drop(old);
    under_load(&shared, seed + 2, || {
        std::thread::sleep(Duration::from_secs(3));
    });
    no_violations(&shared);
    check(&shared, seed);
    new.stop();
    assert!(place.run(&new, &["fsck", "--verify"]).status.success());
}

#[test]
fn what_was_acknowledged_comes_along_to_another_folder() {
    a_move_under_load(&Place::folder(), 11);
}

#[test]
fn what_was_acknowledged_comes_along_to_postgresql_and_a_bucket() {
    if let Some(place) = Place::shared() {
        a_move_under_load(&place, 23);
    }
}
