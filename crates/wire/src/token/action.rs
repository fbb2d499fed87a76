//! Actions on a repository, in the words of Azure Container Registry's scopes.

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
pub enum Action {
    /// Read manifests and blobs.
    Pull = 1,
    /// Write manifests and blobs.
    Push = 1 << 1,
    /// Delete manifests, tags and blobs.
    Delete = 1 << 2,
    /// Read attributes and listings.
    MetadataRead = 1 << 3,
    /// Change attributes.
    MetadataWrite = 1 << 4,
    /// List what was deleted and is still kept.
    DeletedRead = 1 << 5,
    /// Restore what was deleted and is still kept.
    DeletedRestore = 1 << 6,
    /// Everything, `*`.
    All = 1 << 7,
}

impl Action {
    /// Every action, in the order they are written.
    pub const ALL: [Self; 8] = [
        Self::Pull,
        Self::Push,
        Self::Delete,
        Self::MetadataRead,
        Self::MetadataWrite,
        Self::DeletedRead,
        Self::DeletedRestore,
        Self::All,
    ];

    /// The word for this action in scopes and tokens.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
            Self::MetadataRead => "metadata_read",
            Self::MetadataWrite => "metadata_write",
            Self::DeletedRead => "deleted_read",
            Self::DeletedRestore => "deleted_restore",
            Self::All => "*",
        }
    }

    /// The action of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == word)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A set of actions. Written as their words, joined by commas in scopes and as an array in tokens.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Actions(u16);

impl Actions {
    /// No action.
    pub const NONE: Self = Self(0);
    /// Everything: `*`.
    pub const ALL: Self = Self::of(&[Action::All]);

    /// The set of these actions.
    pub const fn of(actions: &[Action]) -> Self {
        let mut bits = 0;
        let mut index = 0;
        while index < actions.len() {
            bits |= actions[index] as u16;
            index += 1;
        }
        Self(bits)
    }

    /// The set of these words. Unknown words name nothing this registry could grant, so they are left out.
    pub fn from_words<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        words.into_iter().filter_map(Action::parse).collect()
    }

    /// Adds an action.
    pub const fn insert(&mut self, action: Action) {
        self.0 |= action as u16;
    }

    /// Whether the set has this very member.
    pub const fn contains(self, action: Action) -> bool {
        self.0 & action as u16 != 0
    }

    /// Whether the set allows an action, by itself or by `*`.
    pub const fn allows(self, action: Action) -> bool {
        self.contains(action) || self.contains(Action::All)
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The members of either set.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What both sets allow: `*` on one side yields the other side.
    pub const fn intersection(self, other: Self) -> Self {
        match (self.contains(Action::All), other.contains(Action::All)) {
            (true, true) => Self(self.0 | other.0),
            (true, false) => other,
            (false, true) => self,
            (false, false) => Self(self.0 & other.0),
        }
    }

    /// The members, in the order they are written.
    pub fn iter(self) -> impl Iterator<Item = Action> {
        Action::ALL
            .into_iter()
            .filter(move |action| self.contains(*action))
    }

    /// The stored form.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Reads the stored form; bits without a meaning are dropped.
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits & Self::of(&Action::ALL).0)
    }
}

impl FromIterator<Action> for Actions {
    fn from_iter<I: IntoIterator<Item = Action>>(actions: I) -> Self {
        let mut set = Self::NONE;
        actions.into_iter().for_each(|action| set.insert(action));
        set
    }
}

impl From<Action> for Actions {
    fn from(action: Action) -> Self {
        Self::of(&[action])
    }
}

impl fmt::Display for Actions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, action) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            f.write_str(action.as_str())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Actions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.iter().map(Action::as_str))
            .finish()
    }
}

impl Serialize for Actions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut words = serializer.serialize_seq(Some(self.0.count_ones() as usize))?;
        for action in self.iter() {
            words.serialize_element(action.as_str())?;
        }
        words.end()
    }
}

impl<'de> Deserialize<'de> for Actions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl<'de> Visitor<'de> for Words {
            type Value = Actions;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of actions")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Actions, A::Error> {
                let mut set = Actions::NONE;
                while let Some(word) = sequence.next_element::<std::borrow::Cow<'de, str>>()? {
                    set = set.union(Actions::from_words([word.as_ref()]));
                }
                Ok(set)
            }
        }
        deserializer.deserialize_seq(Words)
    }
}
