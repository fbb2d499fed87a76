//! The clients, and the oracle that knows what was promised to them.

use super::*;

pub(crate) const REPOSITORIES: [&str; 3] = ["a", "b", "c"];
pub(crate) const CONTENTS: usize = 6;
pub(crate) const LEASE_US: i64 = 2_400_000_000;

pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn repository(&mut self) -> &'static str {
        REPOSITORIES[self.below(REPOSITORIES.len())]
    }
}

/// Half of them small enough for the database.
pub(crate) fn content(index: usize) -> Vec<u8> {
    format!("content {index} ")
        .repeat(if index.is_multiple_of(2) { 1 } else { 20 })
        .into_bytes()
}

pub(crate) fn digest(index: usize) -> Digest {
    Digest::of(Algorithm::Sha256, &content(index))
}

/// A manifest of some contents: the first is its configuration.
pub(crate) fn manifest(contents: &BTreeSet<usize>) -> String {
    let sized = |index: usize| (digest(index), content(index).len());
    let mut listed = contents.iter().copied();
    let (config, size) = sized(listed.next().unwrap());
    image(&config, size, &listed.map(sized).collect::<Vec<_>>(), "")
}

/// What was promised, and the clients that rely on it.
pub(crate) struct World {
    pub(crate) registry: Registry,
    pub(crate) clock: Arc<lazuli_db::clock::ManualClock>,
    pub(crate) random: Random,
    /// Until when the content of a repository is leased.
    pub(crate) leases: BTreeMap<(&'static str, usize), i64>,
    /// The contents that each live manifest of a repository names.
    pub(crate) manifests: BTreeMap<(&'static str, Digest), BTreeSet<usize>>,
    pub(crate) steps: u64,
    /// Promises checked.
    pub(crate) checked: u64,
    /// Manifests pushed that name content affirmed earlier.
    pub(crate) relied: u64,
}

impl World {
    fn is_named(&self, name: &str, index: usize) -> bool {
        self.manifests
            .iter()
            .any(|((owner, _), contents)| *owner == name && contents.contains(&index))
    }

    fn is_promised(&self, name: &'static str, index: usize) -> bool {
        let now = self.clock.now_us();
        self.leases
            .get(&(name, index))
            .is_some_and(|until| *until > now)
            || self.is_named(name, index)
    }

    fn promise(&mut self, name: &'static str, index: usize, at: i64) {
        let until = self.leases.entry((name, index)).or_default();
        *until = (*until).max(at + LEASE_US);
    }

    /// One client does one thing.
    pub(crate) async fn step(&mut self) {
        self.steps += 1;
        let (name, index) = (self.random.repository(), self.random.below(CONTENTS));
        let now = self.clock.now_us();
        match self.random.below(100) {
            0..20 => {
                push_blob(&self.registry, name, &content(index)).await;
                self.promise(name, index, now);
            }
            20..35 => self.affirm(name, index, now).await,
            35..47 => self.mount(name, index, now).await,
            47..67 => self.put_manifest(name).await,
            67..77 => self.delete_manifest(name).await,
            77..79 => self.delete_repository(name).await,
            79..82 => self.delete_blob(name, index).await,
            _ => self
                .clock
                .advance(Duration::from_secs(60 * (1 + self.random.below(25) as u64))),
        }
        self.check().await;
    }

    async fn affirm(&mut self, name: &'static str, index: usize, now: i64) {
        match self.registry.affirm_blob(&pull(name), &digest(index)).await {
            Ok(_) => self.promise(name, index, now),
            Err(Error::BlobUnknown | Error::NameUnknown) => {
                assert!(
                    !self.is_promised(name, index),
                    "{name}: promised content {index} is denied"
                );
            }
            Err(error) => panic!("{error}"),
        }
    }

    async fn mount(&mut self, name: &'static str, index: usize, now: i64) {
        let source = self.random.repository();
        let mounted = self
            .registry
            .mount_blob(&push(name), &pull(source), &digest(index))
            .await
            .unwrap();
        assert!(
            mounted || !self.is_promised(source, index),
            "{source}: promised content {index} cannot be mounted"
        );
        if mounted {
            self.promise(name, index, now);
        }
    }

    async fn put_manifest(&mut self, name: &'static str) {
        let contents: BTreeSet<usize> = (0..=self.random.below(3))
            .map(|_| self.random.below(CONTENTS))
            .collect();
        let all_promised = contents.iter().all(|index| self.is_promised(name, *index));
        let body = manifest(&contents);
        let tag = format!("t{}", self.random.below(3));
        match put(&self.registry, name, &tag, OCI, &body).await {
            Ok(stored) => {
                self.relied += u64::from(all_promised);
                self.manifests.insert((name, stored.digest), contents);
            }
            Err(Error::ManifestBlobUnknown(_)) => {
                assert!(!all_promised, "{name}: promised content was refused");
            }
            Err(error) => panic!("{error}"),
        }
    }

    async fn delete_manifest(&mut self, name: &'static str) {
        let held: Vec<_> = self
            .manifests
            .keys()
            .filter(|(owner, _)| *owner == name)
            .copied()
            .collect();
        if held.is_empty() {
            return;
        }
        let key = held[self.random.below(held.len())];
        self.registry
            .delete_manifest(&delete(name), &key.1, &"r".into())
            .await
            .unwrap();
        self.manifests.remove(&key);
    }

    async fn delete_repository(&mut self, name: &'static str) {
        match self
            .registry
            .delete_repository(&delete(name), &"r".into())
            .await
        {
            Ok(_) | Err(Error::NameUnknown) => {
                self.manifests.retain(|(owner, _), _| *owner != name);
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// A client may take a blob out of its repository; then nothing is promised there. Not while a manifest names it,
    /// that is the client's own fault and tells nothing.
    async fn delete_blob(&mut self, name: &'static str, index: usize) {
        if self.is_named(name, index) {
            return;
        }
        match self
            .registry
            .delete_blob(&delete(name), &digest(index), &"r".into())
            .await
        {
            Ok(()) => drop(self.leases.remove(&(name, index))),
            Err(Error::BlobUnknown | Error::NameUnknown) => {
                assert!(
                    !self.is_promised(name, index),
                    "{name}: promised content {index} was gone"
                );
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Everything promised can be read, and is what it was.
    pub(crate) async fn check(&mut self) {
        for name in REPOSITORIES {
            for index in 0..CONTENTS {
                if !self.is_promised(name, index) {
                    continue;
                }
                self.checked += 1;
                let blob = self.registry.blob(&pull(name), &digest(index)).await;
                let blob = blob
                    .unwrap_or_else(|error| panic!("{name}: promised content {index}: {error}"));
                let read = self.registry.blob_bytes(&blob).await;
                match read
                    .unwrap_or_else(|error| panic!("{name}: bytes of content {index}: {error}"))
                {
                    BlobBytes::Memory(bytes) => assert_eq!(bytes, content(index)),
                    BlobBytes::File(file) => assert_eq!(file.size, content(index).len() as u64),
                    BlobBytes::Object(_) => unreachable!("the store has files"),
                }
            }
            for ((_, digest), _) in self
                .manifests
                .iter()
                .filter(|((owner, _), _)| *owner == name)
            {
                self.registry
                    .manifest(&pull(name), &Reference::Digest(*digest))
                    .await
                    .unwrap();
            }
        }
    }
}
