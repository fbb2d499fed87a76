//! Kills nodes, one after the other, and starts them again with nothing of their own, as a container is.

use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, anyhow};

use super::lock;
use crate::crash::random::Random;
use crate::server::Server;

/// How often, in milliseconds: from, to.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Between a node's return and the next one's end.
    pub quiet: (u64, u64),
    /// Between a node's end and its new start.
    pub away: (u64, u64),
}

/// The end of a node.
#[derive(Debug, Clone, Copy)]
pub struct Kill {
    /// Its number, from 0.
    pub node: usize,
    /// When it had ended.
    pub at: SystemTime,
}

/// A thread that kills nodes, at most one at a time, until it is told to stop.
#[derive(Debug)]
pub struct Killer {
    kills: Arc<Mutex<Vec<Kill>>>,
    stop: SyncSender<()>,
    thread: JoinHandle<Result<()>>,
}

impl Killer {
    pub(super) fn start(servers: Vec<Arc<Mutex<Server>>>, seed: u64, pace: Pace) -> Result<Self> {
        let kills = Arc::new(Mutex::new(Vec::new()));
        let (stop, stopped) = mpsc::sync_channel(1);
        let done = Arc::clone(&kills);
        let thread = std::thread::Builder::new()
            .name("killer".to_owned())
            .spawn(move || {
                let mut random = Random::new(seed, &[]);
                let mut wait = |(from, to)| Duration::from_millis(random.between(from, to));
                loop {
                    let (quiet, away) = (wait(pace.quiet), wait(pace.away));
                    let node = wait((0, servers.len() as u64 - 1)).as_millis() as usize;
                    match stopped.recv_timeout(quiet) {
                        Err(RecvTimeoutError::Timeout) => {}
                        Ok(()) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
                    }
                    let mut server = lock(&servers[node]);
                    server.kill();
                    let kill = Kill {
                        node,
                        at: SystemTime::now(),
                    };
                    done.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(kill);
                    std::thread::sleep(away);
                    let _ = std::fs::remove_dir_all(server.data());
                    server
                        .try_restart("/readyz")
                        .map_err(|problem| anyhow!("node {}: {problem}", node + 1))?;
                }
            })
            .context("no thread")?;
        Ok(Self {
            kills,
            stop,
            thread,
        })
    }

    /// What it did so far.
    pub fn kills(&self) -> Vec<Kill> {
        self.kills
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether it works: a node that does not come back ends it.
    pub fn is_running(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Ends it when all nodes are back; how many it killed.
    ///
    /// # Errors
    /// The node that did not come back.
    pub fn stop(self) -> Result<usize> {
        // It may have ended by itself.
        let _ = self.stop.try_send(());
        let count = self.kills().len();
        match self.thread.join() {
            Ok(outcome) => outcome.map(|()| count),
            Err(_) => Err(anyhow!("the thread that kills panicked")),
        }
    }
}
