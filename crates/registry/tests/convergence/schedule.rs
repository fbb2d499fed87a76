//! Random schedules, the checks after every step, and the oracle at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lazuli_registry::merge::Presence;

use super::checks::Violation;
use super::model::{Change, Operation, Region, Repository, Rules, Tag};

const REGIONS: usize = 3;
const REPOSITORIES: u8 = 2;
const TAGS: u8 = 3;

/// A small generator with a good mix; schedules are replayed from their seed.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn pick<T: Copy>(&mut self, items: &[T]) -> Option<T> {
        (!items.is_empty()).then(|| items[self.below(items.len() as u64) as usize])
    }
}

#[derive(Debug, Default)]
pub struct Stats {
    pub pushes: u64,
    pub deleted_dots: u64,
    pub superseded: u64,
    /// Deliveries that had to wait for another origin's operation.
    pub waited: u64,
    /// Manifests seen live but without their blobs.
    pub pending: u64,
}

impl std::ops::AddAssign for Stats {
    fn add_assign(&mut self, other: Self) {
        self.pushes += other.pushes;
        self.deleted_dots += other.deleted_dots;
        self.superseded += other.superseded;
        self.waited += other.waited;
        self.pending += other.pending;
    }
}

pub struct World {
    random: Random,
    pub(crate) regions: Vec<Region>,
    /// Cut links, as (from, to): a cut may have one direction.
    cut: BTreeSet<(usize, usize)>,
    pub(crate) acknowledged: Vec<Operation>,
    /// The newest version each tag answered with in each region.
    pub(crate) answered: BTreeMap<(u16, Repository, Tag), (i64, u16)>,
    stats: Stats,
}

pub fn run(seed: u64, rules: Rules) -> Result<Stats, Violation> {
    let mut random = Random::new(seed);
    let start = 1_800_000_000_000_000_i64;
    let regions = (0..REGIONS)
        .map(|index| {
            Region::new(
                index as u16 + 1,
                start + random.below(60_000_000) as i64,
                rules,
            )
        })
        .collect();
    let steps = 40 + random.below(80);
    let (cut, acknowledged, answered) = (BTreeSet::new(), Vec::new(), BTreeMap::new());
    let mut world = World {
        random,
        regions,
        cut,
        acknowledged,
        answered,
        stats: Stats::default(),
    };
    for step in 0..steps {
        world.step(step)?;
        world.check_servable(step)?;
    }
    world.heal()?;
    world.check_converged()?;
    world.check_liveness()?;
    Ok(world.stats)
}

impl World {
    fn step(&mut self, step: u64) -> Result<(), Violation> {
        let at = self.random.below(REGIONS as u64) as usize;
        self.regions[at]
            .clock
            .advance(Duration::from_millis(self.random.below(50)));
        match self.random.below(100) {
            0..25 => self.put(step, at)?,
            25..33 => self.delete(step, at)?,
            33..36 => self.untag(step, at)?,
            36..39 => self.delete_repository(step, at)?,
            39..62 => self.sync(at),
            62..80 => self.copy_blobs(at),
            80..90 => self.regions[at].collect_garbage(),
            90..96 => {
                let to = self.random.below(REGIONS as u64) as usize;
                self.cut.insert((at, to));
            }
            _ => self.cut.clear(),
        }
        Ok(())
    }

    fn repository(&mut self) -> Repository {
        self.random.below(u64::from(REPOSITORIES)) as Repository
    }

    fn put(&mut self, step: u64, at: usize) -> Result<(), Violation> {
        let repository = self.repository();
        // Few digests, so that regions push the same one and push it again.
        let digest = 1 << self.random.below(3) | 1 << (3 + self.random.below(3));
        let tag = (self.random.below(4) > 0).then(|| self.random.below(u64::from(TAGS)) as Tag);
        let region = &mut self.regions[at];
        let operation = region.put(repository, digest, tag);
        let read = region.presence(repository, digest) == Presence::Visible
            && tag.is_none_or(|tag| {
                region
                    .resolve(repository, tag)
                    .and_then(|version| version.target)
                    == Some(digest)
            });
        self.stats.pushes += 1;
        if let Change::Put {
            superseded: Some(_),
            ..
        } = operation.change
        {
            self.stats.superseded += 1;
        }
        self.acknowledge(step, operation, read)
    }

    fn delete(&mut self, step: u64, at: usize) -> Result<(), Violation> {
        let live: Vec<_> = self.regions[at].live_manifests().collect();
        let Some((repository, digest)) = self.random.pick(&live) else {
            return Ok(());
        };
        let region = &mut self.regions[at];
        let Some(operation) = region.delete(repository, digest) else {
            return Ok(());
        };
        let read = region.presence(repository, digest) == Presence::Absent
            && (0..TAGS).all(|tag| {
                region
                    .resolve(repository, tag)
                    .and_then(|version| version.target)
                    != Some(digest)
            });
        if let Change::Delete { observed, .. } = &operation.change {
            self.stats.deleted_dots += observed.len() as u64;
        }
        self.acknowledge(step, operation, read)
    }

    fn untag(&mut self, step: u64, at: usize) -> Result<(), Violation> {
        let (repository, tag) = (self.repository(), self.random.below(u64::from(TAGS)) as Tag);
        let operation = self.regions[at].untag(repository, tag);
        let read = self.regions[at].resolve(repository, tag).is_none();
        self.acknowledge(step, operation, read)
    }

    fn delete_repository(&mut self, step: u64, at: usize) -> Result<(), Violation> {
        let repository = self.repository();
        let region = &mut self.regions[at];
        let operation = region.delete_repository(repository);
        let read = region
            .live_manifests()
            .all(|(owner, _)| owner != repository)
            && (0..TAGS).all(|tag| region.resolve(repository, tag).is_none());
        self.acknowledge(step, operation, read)
    }

    fn acknowledge(
        &mut self,
        step: u64,
        operation: Operation,
        read: bool,
    ) -> Result<(), Violation> {
        let change = operation.change.clone();
        self.acknowledged.push(operation);
        if read {
            Ok(())
        } else {
            Err(Violation::OwnWriteNotRead { step, change })
        }
    }

    /// A region pulls from a peer what that has of every origin, perhaps interrupted.
    fn sync(&mut self, to: usize) {
        let from = self.random.below(REGIONS as u64) as usize;
        if from != to && !self.cut.contains(&(from, to)) {
            let most = 1 + self.random.below(12) as usize;
            self.deliver(from, to, most);
        }
    }

    fn deliver(&mut self, from: usize, to: usize, most: usize) -> usize {
        let (mut delivered, mut origins): (usize, Vec<u16>) =
            (0, self.regions[from].log.keys().copied().collect());
        let turn = self.random.below(1 + origins.len() as u64) as usize;
        let turn = turn.min(origins.len());
        origins.rotate_left(turn);
        for origin in origins {
            // A little overlap: duplicates must do no harm.
            let known = self.regions[to]
                .applied
                .get(origin)
                .saturating_sub(self.random.below(2) as i64)
                .max(0);
            let log = &self.regions[from].log[&origin];
            let news: Vec<_> = log
                .iter()
                .skip(known as usize)
                .take(most)
                .cloned()
                .collect();
            for operation in news {
                if !self.regions[to].deliver(&operation) {
                    self.stats.waited += 1;
                    break;
                }
                delivered += 1;
            }
        }
        delivered
    }

    fn copy_blobs(&mut self, to: usize) {
        let from = self.random.below(REGIONS as u64) as usize;
        if from != to && !self.cut.contains(&(from, to)) {
            let most = 1 + self.random.below(3) as usize;
            self.copy(from, to, most);
        }
    }

    fn copy(&mut self, from: usize, to: usize, most: usize) {
        let missing = self.regions[to].missing();
        self.stats.pending += u64::from(!missing.is_empty());
        let found: Vec<_> = missing
            .intersection(&self.regions[from].blobs)
            .copied()
            .take(most)
            .collect();
        self.regions[to].blobs.extend(found);
    }

    /// The links are mended and everything is delivered and copied.
    fn heal(&mut self) -> Result<(), Violation> {
        self.cut.clear();
        for _ in 0..64 {
            for (from, to) in pairs() {
                self.deliver(from, to, usize::MAX);
            }
            if self
                .regions
                .iter()
                .all(|region| region.applied == self.regions[0].applied)
            {
                for (from, to) in pairs().chain(pairs()) {
                    self.copy(from, to, usize::MAX);
                }
                return Ok(());
            }
        }
        Err(Violation::NotDelivered)
    }
}

fn pairs() -> impl Iterator<Item = (usize, usize)> {
    (0..REGIONS)
        .flat_map(|from| (0..REGIONS).map(move |to| (from, to)))
        .filter(|(from, to)| from != to)
}
