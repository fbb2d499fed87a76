//! What is done to a group: which process dies, which network fails, for how long.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, anyhow};

use super::Group;
use super::engines::{DatabaseKind, StorageKind};
use crate::crash::clock;
use crate::crash::random::Random;
use crate::proxy::{self, Proxy};

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// SIGKILL of one node.
    KillNode,
    /// Of two.
    KillTwo,
    /// Of all.
    KillAll,
    /// SIGKILL of PostgreSQL, which is started again.
    KillDatabase,
    /// SIGKILL of PostgreSQL; its synchronous standby takes over.
    FailOver,
    /// SIGKILL of the object store, which is started again.
    KillStore,
    /// The network between nodes and PostgreSQL.
    DatabaseNetwork,
    /// The network between nodes and the object store.
    StoreNetwork,
    /// SIGSTOP of a node, and SIGCONT.
    Sleep,
    /// The clock of a node is set to another time, and back.
    Clock,
}

impl Kind {
    /// Every kind, by its name on the command line, and how often it is drawn.
    pub const ALL: [(&str, u64, Self); 10] = [
        ("kill-node", 14, Self::KillNode),
        ("kill-two", 8, Self::KillTwo),
        ("kill-all", 8, Self::KillAll),
        ("kill-database", 14, Self::KillDatabase),
        ("fail-over", 9, Self::FailOver),
        ("kill-store", 11, Self::KillStore),
        ("database-network", 14, Self::DatabaseNetwork),
        ("store-network", 14, Self::StoreNetwork),
        ("sleep", 12, Self::Sleep),
        ("clock", 8, Self::Clock),
    ];

    /// The kind of that name.
    pub fn parse(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(known, _, _)| *known == name);
        found.map(|(_, _, kind)| *kind)
    }

    fn is_possible(self, nodes: usize, database: DatabaseKind, storage: StorageKind) -> bool {
        match self {
            Self::KillNode | Self::Sleep => true,
            Self::Clock => clock::library().is_some(),
            Self::KillTwo => nodes > 2,
            Self::KillAll => nodes > 1,
            Self::KillDatabase | Self::FailOver | Self::DatabaseNetwork => {
                database == DatabaseKind::Postgres
            }
            Self::KillStore | Self::StoreNetwork => storage != StorageKind::Disk,
        }
    }

    /// Clocks are set only when that is asked for: every node needs a library under it then.
    pub(super) fn is_wanted(self, only: &[Self]) -> bool {
        only.contains(&self) || (only.is_empty() && self != Self::Clock)
    }

    fn network(database: bool, random: &mut Random) -> proxy::Fault {
        use proxy::Fault;
        let unavailable =
            b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        match random.below(if database { 6 } else { 7 }) {
            0 => Fault::Refuse,
            1 => Fault::BlackHole,
            2 => Fault::CutRequest(random.between(1, 100_000)),
            3 => Fault::CutAnswer(random.between(1, 20_000)),
            4 => Fault::Delay(Duration::from_millis(random.between(5, 150))),
            5 => Fault::LoseAnswer,
            _ => Fault::Answer(unavailable.to_vec()),
        }
    }
}

/// A fault of a round.
#[derive(Debug)]
pub struct Fault {
    /// Its kind.
    pub kind: Kind,
    /// The nodes that it is about.
    pub nodes: BTreeSet<usize>,
    /// How long it lasts.
    pub holds: Duration,
    /// What the network does.
    network: proxy::Fault,
    /// How often, if it is a fault that strikes.
    strikes: u32,
    /// What clocks are set to.
    time: &'static str,
}

impl Fault {
    /// Draws one of those that are possible, and of `only` if there are any.
    pub fn draw(group: &Group<'_>, random: &mut Random) -> Self {
        let options = group.options;
        let count = options.nodes;
        let kinds: Vec<(u64, Kind)> = Kind::ALL
            .iter()
            .filter(|(_, _, kind)| {
                kind.is_possible(count, options.database, options.storage)
                    && kind.is_wanted(&options.only)
            })
            .map(|(_, weight, kind)| (*weight, *kind))
            .collect();
        let kind = random.weighted(&kinds).unwrap_or(Kind::KillNode);
        let longest = options.crash.longest.as_millis() as u64;
        let mut holds = random.between(longest / 10, longest);
        // Long enough for the leases of work beside requests to end, and for clients to lose patience.
        if random.percent(25) && kind == Kind::Sleep && longest >= 2000 {
            holds += 10_000;
        }
        let wanted = match kind {
            Kind::KillTwo => 2,
            Kind::KillAll => count,
            Kind::DatabaseNetwork | Kind::StoreNetwork if random.percent(40) => count,
            _ => 1,
        };
        let mut nodes = BTreeSet::new();
        while nodes.len() < wanted {
            nodes.insert(random.below(count as u64) as usize);
        }
        Self {
            kind,
            nodes,
            holds: Duration::from_millis(holds),
            network: Kind::network(kind == Kind::DatabaseNetwork, random),
            strikes: random.between(1, 12) as u32,
            time: clock::time(random),
        }
    }

    /// What it is, for people.
    pub fn describe(&self) -> String {
        let network = match (self.kind, &self.network) {
            (Kind::DatabaseNetwork | Kind::StoreNetwork, proxy::Fault::Answer(_)) => {
                "503 ".to_owned()
            }
            (Kind::DatabaseNetwork | Kind::StoreNetwork, fault) => format!("{fault:?} "),
            (Kind::Clock, _) => format!("{} ", self.time),
            _ => String::new(),
        };
        let Self { kind, nodes, .. } = self;
        format!("{kind:?} {network}{nodes:?} {} ms", self.holds.as_millis())
    }

    /// Does it, and undoes it after its time.
    ///
    /// # Errors
    /// When a node does not come back.
    pub fn happen(&self, group: &mut Group<'_>) -> Result<()> {
        let forgets = &group.shared.forgets;
        match self.kind {
            Kind::KillNode | Kind::KillTwo | Kind::KillAll => return self.kill_nodes(group),
            Kind::KillDatabase => group.engines.kill_database(self.holds, forgets),
            Kind::FailOver => group.engines.fail_over(self.holds, forgets),
            Kind::KillStore => group.engines.kill_store(self.holds),
            Kind::DatabaseNetwork | Kind::StoreNetwork => self.break_network(group),
            Kind::Clock => {
                let clocks = self.nodes.iter().map(|node| &group.clocks[*node]);
                clocks
                    .clone()
                    .try_for_each(|clock| clock.set_to(self.time))?;
                std::thread::sleep(self.holds);
                clocks.clone().try_for_each(|clock| clock.set_to("+0"))?;
            }
            Kind::Sleep => {
                let pids: Vec<u32> = self
                    .nodes
                    .iter()
                    .filter_map(|node| group.nodes[*node].pid())
                    .collect();
                signal("STOP", &pids)?;
                std::thread::sleep(self.holds);
                signal("CONT", &pids)?;
            }
        }
        Ok(())
    }

    fn kill_nodes(&self, group: &mut Group<'_>) -> Result<()> {
        for node in &self.nodes {
            group.nodes[*node].kill();
        }
        std::thread::sleep(self.holds);
        let begun = std::time::Instant::now();
        for node in &self.nodes {
            let started = group.nodes[*node].launch();
            started.map_err(|problem| anyhow!(problem))?;
        }
        for node in &self.nodes {
            group.await_ready(*node)?;
        }
        group.slowest_start = group.slowest_start.max(begun.elapsed());
        Ok(())
    }

    fn break_network(&self, group: &Group<'_>) {
        let proxies: Vec<&Proxy> = self
            .nodes
            .iter()
            .flat_map(|node| match self.kind {
                Kind::DatabaseNetwork => &group.engines.links[*node].database,
                _ => &group.engines.links[*node].bucket,
            })
            .collect();
        let strikes = matches!(
            self.network,
            proxy::Fault::CutRequest(_)
                | proxy::Fault::CutAnswer(_)
                | proxy::Fault::LoseAnswer
                | proxy::Fault::Answer(_)
        );
        let before: u64 = proxies.iter().map(|proxy| proxy.struck()).sum();
        for proxy in &proxies {
            if strikes {
                proxy.set_times(self.strikes, self.network.clone());
            } else {
                proxy.set(self.network.clone());
            }
        }
        std::thread::sleep(self.holds);
        group.engines.heal();
        let struck: u64 = proxies.iter().map(|proxy| proxy.struck()).sum();
        for _ in before..struck {
            group.shared.count("strikes of the network");
        }
    }
}

fn signal(name: &str, pids: &[u32]) -> Result<()> {
    for pid in pids {
        let sent = Command::new("kill")
            .args(["-s", name, &pid.to_string()])
            .status()?;
        anyhow::ensure!(sent.success(), "kill -s {name} {pid}: {sent}");
    }
    Ok(())
}
