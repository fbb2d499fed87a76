//! What the nodes of a group share, and the network between each node and that.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::Options;
use crate::engine::await_true;
use crate::object_stores::azurite::{self, Azurite};
use crate::object_stores::rgw::{REGION, Rgw};
use crate::postgres::{Node, Replication};
use crate::proxy::{Fault, Proxy};
use crate::server::Server;

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const DATABASE: &str = "lazuli";
const BUCKET: &str = "crash";
const LIMIT: Duration = Duration::from_mins(1);

/// Where metadata is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseKind {
    /// In the node's data folder.
    Sqlite,
    /// On a private PostgreSQL server with a synchronous standby.
    Postgres,
}

/// Where blobs are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageKind {
    /// In the node's data folder.
    Disk,
    /// In a bucket of a private Ceph RGW.
    S3,
    /// In a container of a private Azurite.
    Azure,
}

#[derive(Debug)]
enum Bucket {
    None,
    S3(Rgw),
    Azure(Azurite),
}

/// A PostgreSQL server and its standby. Each has a slot: the address in the nodes' configuration by which it is reached.
#[derive(Debug)]
struct Pair {
    primary: Node,
    standby: Option<Node>,
    /// The slot of the primary, 0 or 1.
    slot: usize,
}

/// The network between a node and the engines.
#[derive(Debug)]
pub struct Links {
    /// To each slot.
    pub database: Vec<Proxy>,
    /// To the object store.
    pub bucket: Vec<Proxy>,
}

/// The engines.
#[derive(Debug)]
pub struct Engines {
    pair: Option<Pair>,
    bucket: Bucket,
    /// Of each node.
    pub links: Vec<Links>,
}

impl Engines {
    /// Starts them. `None`: this machine lacks one, which was said.
    ///
    /// # Panics
    /// When one does not start, and, under `CI=true`, when one is missing.
    pub fn start(options: &Options) -> Option<Self> {
        let bucket = match options.storage {
            StorageKind::Disk => Bucket::None,
            StorageKind::S3 => {
                let rgw = Rgw::start()?;
                rgw.create_bucket(BUCKET);
                Bucket::S3(rgw)
            }
            StorageKind::Azure => {
                let azurite = Azurite::start(azurite::Storage::Folder)?;
                azurite.create_container(BUCKET);
                Bucket::Azure(azurite)
            }
        };
        let pair = match options.database {
            DatabaseKind::Sqlite => None,
            DatabaseKind::Postgres => {
                let primary = Node::start()?;
                primary.create_database(DATABASE);
                let standby = primary.standby(Replication::Synchronous);
                Some(Pair {
                    primary,
                    standby: Some(standby),
                    slot: 0,
                })
            }
        };
        let mut engines = Self {
            pair,
            bucket,
            links: Vec::new(),
        };
        engines.links = (0..options.nodes).map(|_| engines.link()).collect();
        Some(engines)
    }

    fn link(&self) -> Links {
        let bucket = match &self.bucket {
            Bucket::None => None,
            Bucket::S3(rgw) => Some(rgw.address()),
            Bucket::Azure(azurite) => Some(azurite.address()),
        };
        let slots = self.pair.iter().flat_map(|pair| {
            [&pair.primary]
                .into_iter()
                .chain(&pair.standby)
                .map(Node::address)
        });
        Links {
            database: slots.map(Proxy::start).collect(),
            bucket: bucket.into_iter().map(Proxy::start).collect(),
        }
    }

    /// The settings of a node.
    pub fn settings(&self, node: usize) -> Vec<(&'static str, String)> {
        let mut settings = vec![
            ("LAZULI_MASTER_KEY", KEY.to_owned()),
            ("LAZULI_STORAGE_REDIRECT", "false".to_owned()),
        ];
        let links = &self.links[node];
        if !links.database.is_empty() {
            let hosts: Vec<_> = links
                .database
                .iter()
                .map(|proxy| proxy.address().to_string())
                .collect();
            let url = format!("postgres://postgres@{}/{DATABASE}", hosts.join(","));
            settings.push(("LAZULI_DATABASE_URL", url));
            settings.push(("LAZULI_DATABASE_CONNECTIONS", "8".to_owned()));
        }
        if let Some(proxy) = links.bucket.first() {
            let (scheme, path, access, secret) = match &self.bucket {
                Bucket::Azure(azurite) => (
                    "az",
                    format!("/{}", azurite::ACCOUNT),
                    azurite::ACCOUNT,
                    azurite.key(),
                ),
                Bucket::S3(rgw) => (
                    "s3",
                    String::new(),
                    rgw.access_key(),
                    rgw.secret_key().to_owned(),
                ),
                Bucket::None => return settings,
            };
            let endpoint = format!("http://{}{path}", proxy.address());
            settings.extend([
                ("LAZULI_STORAGE_URL", format!("{scheme}://{BUCKET}/blobs")),
                ("LAZULI_STORAGE_ENDPOINT", endpoint),
                ("LAZULI_STORAGE_REGION", REGION.to_owned()),
                ("LAZULI_STORAGE_ACCESS_KEY", access.to_owned()),
                ("LAZULI_STORAGE_SECRET_KEY", secret),
            ]);
        }
        settings
    }

    /// Kills PostgreSQL and starts it again after a while. `forgets` is counted before and after.
    pub fn kill_database(&mut self, away: Duration, forgets: &AtomicU64) {
        if let Some(pair) = &mut self.pair {
            forgets.fetch_add(1, Ordering::SeqCst);
            pair.primary.kill();
            std::thread::sleep(away);
            pair.primary.restart();
            forgets.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Kills PostgreSQL and makes the standby the primary, which gets a new standby.
    pub fn fail_over(&mut self, away: Duration, forgets: &AtomicU64) {
        let Some(pair) = &mut self.pair else { return };
        let Some(promoted) = pair.standby.take() else {
            return;
        };
        forgets.fetch_add(1, Ordering::SeqCst);
        pair.primary.kill();
        std::thread::sleep(away);
        promoted.promote();
        forgets.fetch_add(1, Ordering::SeqCst);
        let standby = promoted.standby(Replication::Synchronous);
        for links in &self.links {
            links.database[pair.slot].retarget(standby.address());
        }
        pair.primary = promoted;
        pair.standby = Some(standby);
        pair.slot = 1 - pair.slot;
    }

    /// From now on commits do not wait for the standby, which is dead: a fail-over will lose what comes.
    ///
    /// # Errors
    /// When PostgreSQL does not take it.
    pub fn lose_standby(&mut self) -> Result<()> {
        let pair = self.pair.as_mut().context("there is no standby")?;
        let alone = "ALTER SYSTEM SET synchronous_standby_names = ''; SELECT pg_reload_conf();";
        pair.primary.psql("postgres", alone)?;
        std::thread::sleep(Duration::from_millis(200));
        pair.standby.as_mut().context("there is no standby")?.kill();
        Ok(())
    }

    /// Makes the standby that was lost the primary.
    pub fn fail_over_to_lost(&mut self) {
        let Some(pair) = &mut self.pair else { return };
        pair.primary.kill();
        if let Some(standby) = &mut pair.standby {
            standby.restart();
            standby.promote();
        }
    }

    /// Kills the object store (ends Azurite in order, which would lose what it acknowledged) and starts it again.
    pub fn kill_store(&mut self, away: Duration) {
        match &mut self.bucket {
            Bucket::None => {}
            Bucket::S3(rgw) => {
                rgw.stop_kill();
                std::thread::sleep(away);
                rgw.restart();
            }
            Bucket::Azure(azurite) => {
                azurite.stop();
                std::thread::sleep(away);
                azurite.restart();
            }
        }
    }

    /// The keys of all objects, past the code under test. Of an S3 bucket only.
    pub fn keys(&self) -> Vec<String> {
        let Bucket::S3(rgw) = &self.bucket else {
            return Vec::new();
        };
        let (mut keys, mut marker) = (Vec::new(), String::new());
        loop {
            let target = format!("/{BUCKET}?marker={}", marker.replace('/', "%2F"));
            let page = rgw.send("GET", &target, &[], &[]);
            let page = String::from_utf8_lossy(&page.body).into_owned();
            let before = keys.len();
            let found = page.split("<Key>").skip(1);
            keys.extend(found.filter_map(|rest| Some(rest.split_once("</Key>")?.0.to_owned())));
            match keys.last() {
                Some(last) if keys.len() > before && page.contains(">true</IsTruncated>") => {
                    marker.clone_from(last);
                }
                _ => return keys,
            }
        }
    }

    /// Removes an object behind everybody's back.
    pub fn remove(&self, key: &str) {
        if let Bucket::S3(rgw) = &self.bucket {
            rgw.send("DELETE", &format!("/{BUCKET}/{key}"), &[], &[]);
        }
    }

    /// Ends all faults of the network.
    pub fn heal(&self) {
        for links in &self.links {
            for proxy in links.database.iter().chain(&links.bucket) {
                proxy.set(Fault::None);
            }
        }
    }

    /// Waits until the standby follows, all nodes are ready, and nothing that was begun before is still going on.
    ///
    /// # Errors
    /// What is not so after a minute.
    pub fn settle(&self, nodes: &[Server]) -> Result<()> {
        let begun = Instant::now();
        for (number, node) in nodes.iter().enumerate() {
            let ready = || {
                let probe = node.anonymous().try_send("GET", "/readyz", &[], &[]);
                Ok(probe.is_ok_and(|response| response.status == 200))
            };
            await_true(LIMIT, ready)
                .with_context(|| format!("node {number} is not ready\n{}", node.log_tail()))?;
        }
        if let Some(pair) = &self.pair {
            let follows = "SELECT count(*) FROM pg_stat_replication
                WHERE state = 'streaming' AND sync_state = 'sync'";
            let busy = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'
                AND state <> 'idle' AND xact_start < now() - interval '300 ms'";
            let ask = |sql: &str| pair.primary.psql("postgres", sql);
            await_true(LIMIT, || Ok(ask(follows)?.trim() != "0")).context("no standby follows")?;
            await_true(LIMIT, || Ok(ask(busy)?.trim() == "0")).context("old transactions")?;
        }
        std::thread::sleep(Duration::from_millis(700));
        ensure!(begun.elapsed() < LIMIT, "a minute to come back");
        Ok(())
    }

    /// The end of what the engines logged.
    pub fn log_tail(&self) -> String {
        let database = self.pair.as_ref().map(|pair| pair.primary.log_tail());
        database.unwrap_or_default()
    }
}

/// A node, not yet started, with a folder of its own.
///
/// # Errors
/// When the folder cannot be made.
pub fn node(
    options: &Options,
    settings: &[(&'static str, String)],
    folder: &Path,
) -> Result<Server> {
    std::fs::create_dir_all(folder)?;
    let environment: Vec<_> = settings.iter().map(|(k, v)| (*k, v.as_str())).collect();
    Ok(Server::new(&options.crash.binary, folder, &environment))
}
