//! What would be left if the power went now.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

use super::Crash;

/// A file, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct FileId(u64);

#[derive(Debug, Default)]
pub(super) struct Model {
    /// As the system shows it now.
    now: Tree,
    /// As it would be found after a power failure in which nothing unsynced survives.
    durable: Tree,
    contents: HashMap<FileId, Content>,
    ids: u64,
}

/// Names below the root.
#[derive(Debug, Default, Clone)]
struct Tree {
    files: BTreeMap<PathBuf, FileId>,
    directories: BTreeSet<PathBuf>,
}

#[derive(Debug)]
struct Content {
    /// To read what the system shows.
    file: File,
    durable: Vec<u8>,
    /// A sync failed: what was not durable then never will be.
    is_lost: bool,
}

const PAGE: usize = 4096;

impl Model {
    pub(super) fn scan(root: &Path) -> io::Result<Self> {
        let mut model = Self::default();
        let mut waiting = vec![PathBuf::new()];
        while let Some(directory) = waiting.pop() {
            for entry in std::fs::read_dir(root.join(&directory))? {
                let entry = entry?;
                let name = directory.join(entry.file_name());
                if entry.file_type()?.is_dir() {
                    model.now.directories.insert(name.clone());
                    waiting.push(name);
                } else {
                    let id = model.create(&name, &entry.path())?;
                    model.sync_data(id)?;
                }
            }
        }
        model.durable = model.now.clone();
        Ok(model)
    }

    pub(super) fn find(&self, name: &Path) -> Option<FileId> {
        self.now.files.get(name).copied()
    }

    /// Notes a file that was created, or was there.
    pub(super) fn create(&mut self, name: &Path, path: &Path) -> io::Result<FileId> {
        if let Some(id) = self.find(name) {
            return Ok(id);
        }
        self.ids += 1;
        let id = FileId(self.ids);
        let content = Content {
            file: File::open(path)?,
            durable: Vec::new(),
            is_lost: false,
        };
        self.contents.insert(id, content);
        self.now.files.insert(name.to_owned(), id);
        Ok(id)
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) {
        if let Some(id) = self.now.files.remove(from) {
            self.now.files.insert(to.to_owned(), id);
        }
        self.forget_the_gone();
    }

    pub(super) fn unlink(&mut self, name: &Path) {
        self.now.files.remove(name);
        self.forget_the_gone();
    }

    pub(super) fn make_directory(&mut self, name: &Path) {
        self.now.directories.insert(name.to_owned());
    }

    pub(super) fn sync_directory(&mut self, directory: &Path) {
        let is_in = |name: &Path| name.parent() == Some(directory);
        self.durable.files.retain(|name, _| !is_in(name));
        self.durable.directories.retain(|name| !is_in(name));
        let files = self.now.files.iter().filter(|(name, _)| is_in(name));
        self.durable
            .files
            .extend(files.map(|(name, id)| (name.clone(), *id)));
        let directories = self.now.directories.iter().filter(|name| is_in(name));
        self.durable.directories.extend(directories.cloned());
        self.forget_the_gone();
    }

    pub(super) fn sync_data(&mut self, id: FileId) -> io::Result<()> {
        if let Some(content) = self.contents.get_mut(&id)
            && !content.is_lost
        {
            content.durable = content.read()?;
        }
        Ok(())
    }

    pub(super) fn lose(&mut self, id: FileId) {
        if let Some(content) = self.contents.get_mut(&id) {
            content.is_lost = true;
        }
    }

    /// Rewrites the directory as a power failure would leave it.
    pub(super) fn crash(&mut self, root: &Path, mode: Crash) -> io::Result<()> {
        let mut dice = Dice(match mode {
            Crash::Random(seed) => seed,
            _ => 0,
        });
        let tree = match mode {
            Crash::LoseAll => self.durable.clone(),
            Crash::KeepAll => self.now.clone(),
            Crash::Random(_) => Tree::mixed(&self.durable, &self.now, &mut dice),
        };
        let mut found = Vec::new();
        for (name, id) in &tree.files {
            if let Some(content) = self.contents.get(id) {
                found.push((name.clone(), content.after(mode, &mut dice)?));
            }
        }
        for entry in std::fs::read_dir(root)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                std::fs::remove_dir_all(entry.path())?;
            } else {
                std::fs::remove_file(entry.path())?;
            }
        }
        // In order, so parents come first; what has lost its parent is lost with it.
        let is_reachable = |name: &Path| {
            let mut above = name.ancestors().skip(1);
            above.all(|parent| parent == Path::new("") || tree.directories.contains(parent))
        };
        for name in tree.directories.iter().filter(|name| is_reachable(name)) {
            std::fs::create_dir(root.join(name))?;
        }
        for (name, bytes) in found.iter().filter(|(name, _)| is_reachable(name)) {
            std::fs::write(root.join(name), bytes)?;
        }
        *self = Self::scan(root)?;
        Ok(())
    }

    /// Drops the contents of files without a name.
    fn forget_the_gone(&mut self) {
        let (now, durable) = (&self.now.files, &self.durable.files);
        let named: BTreeSet<u64> = now
            .values()
            .chain(durable.values())
            .map(|id| id.0)
            .collect();
        self.contents.retain(|id, _| named.contains(&id.0));
    }
}

impl Tree {
    /// Each name as in one of the two trees.
    fn mixed(one: &Self, other: &Self, dice: &mut Dice) -> Self {
        let mut tree = Self::default();
        for name in one.files.keys().chain(other.files.keys()) {
            let (in_one, in_other) = (one.files.get(name), other.files.get(name));
            if let Some(id) = if dice.throw(2) == 0 { in_one } else { in_other } {
                tree.files.insert(name.clone(), *id);
            }
        }
        for name in one.directories.union(&other.directories) {
            let is_certain = one.directories.contains(name) && other.directories.contains(name);
            if is_certain || dice.throw(2) == 0 {
                tree.directories.insert(name.clone());
            }
        }
        tree
    }
}

impl Content {
    fn read(&self) -> io::Result<Vec<u8>> {
        let mut file = &self.file;
        let mut bytes = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn after(&self, mode: Crash, dice: &mut Dice) -> io::Result<Vec<u8>> {
        if mode == Crash::LoseAll || self.is_lost {
            return Ok(self.durable.clone());
        }
        let mut bytes = self.read()?;
        if mode == Crash::KeepAll || bytes == self.durable {
            return Ok(bytes);
        }
        // The length may be ahead of the bytes: pages that did not arrive read as zeros, or as before.
        bytes.truncate(dice.throw(bytes.len() as u64 + 1) as usize);
        for (number, page) in bytes.chunks_mut(PAGE).enumerate() {
            if dice.throw(2) == 0 {
                let before = self.durable.get(number * PAGE..).unwrap_or_default();
                let count = before.len().min(page.len());
                page[..count].copy_from_slice(&before[..count]);
                page[count..].fill(0);
            }
        }
        // What is durable cannot get shorter.
        let missing = self.durable.get(bytes.len()..).unwrap_or_default();
        bytes.extend_from_slice(missing);
        Ok(bytes)
    }
}

/// A small generator (splitmix64): the same throws for the same seed.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (value ^ value >> 31) % sides.max(1)
    }
}
