//! The merge rules of the replicated state, as pure functions: what regions converge by, whatever order things arrive in.
//!
//! - Manifests are an add-wins set. Every put adds a *dot*, its operation identifier; a delete removes the dots it
//!   observed, so a concurrent push survives. A put replaces the dot its own origin had before.
//! - A tag is a history of versions ordered by clock, then origin. Nothing is ever removed from it but by age, so the
//!   winner does not depend on the order of arrival.
//! - An operation is applied when everything its maker had seen has been applied.
//!
//! The model in `tests/convergence.rs` checks these rules under partitions; the product uses them on its rows.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use crate::operations::OperationId;

/// One version of a tag; `target` is what it names, `None` when the tag was removed. Ordered by clock, then origin.
#[derive(Debug, Clone, Copy)]
pub struct TagVersion<D> {
    /// Hybrid logical clock of the operation.
    pub hlc: i64,
    /// Its origin: breaks ties.
    pub origin: u16,
    /// The manifest's digest.
    pub target: Option<D>,
}

impl<D> TagVersion<D> {
    fn key(&self) -> (i64, u16) {
        (self.hlc, self.origin)
    }
}

impl<D> PartialEq for TagVersion<D> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<D> Eq for TagVersion<D> {}

impl<D> PartialOrd for TagVersion<D> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<D> Ord for TagVersion<D> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

/// What a region has of a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// No live dot: never pushed, or deleted.
    Absent,
    /// Pushed somewhere, but not all of its content is here yet.
    Pending,
    /// Here with everything it refers to.
    Visible,
}

/// The version that a tag answers with, from its history newest first.
///
/// While the newest version's content is still on its way an older one answers, so that a tag never dangles; but a tag
/// whose newest version was removed, or names a deleted manifest, does not fall back.
pub fn resolve<'a, D>(
    newest_first: impl IntoIterator<Item = &'a TagVersion<D>>,
    presence: impl Fn(&D) -> Presence,
) -> Option<&'a TagVersion<D>> {
    for version in newest_first {
        match presence(version.target.as_ref()?) {
            Presence::Absent => return None,
            Presence::Visible => return Some(version),
            Presence::Pending => {}
        }
    }
    None
}

/// The dots that keep one manifest of one repository alive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dots(BTreeSet<OperationId>);

impl Dots {
    /// A put happened: its dot is added, the one it observed of its own origin goes.
    pub fn put(&mut self, dot: OperationId, superseded: Option<OperationId>) {
        if let Some(old) = superseded {
            self.0.remove(&old);
        }
        self.0.insert(dot);
    }

    /// A delete happened: what it observed goes, and nothing else.
    pub fn delete(&mut self, observed: &[OperationId]) {
        for dot in observed {
            self.0.remove(dot);
        }
    }

    /// Whether anything keeps the manifest alive.
    pub fn is_live(&self) -> bool {
        !self.0.is_empty()
    }

    /// The dot of `origin`, which its next put replaces.
    pub fn of_origin(&self, origin: u16) -> Option<OperationId> {
        self.0.iter().copied().find(|dot| dot.origin() == origin)
    }

    /// All dots, in order.
    pub fn iter(&self) -> impl Iterator<Item = OperationId> {
        self.0.iter().copied()
    }
}

/// How far each origin's operations have been applied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VersionVector(BTreeMap<u16, i64>);

impl VersionVector {
    /// The newest operation of `origin` that was applied; 0 before the first.
    pub fn get(&self, origin: u16) -> i64 {
        self.0.get(&origin).copied().unwrap_or(0)
    }

    /// Whether everything in `other` has been applied here.
    pub fn covers(&self, other: &Self) -> bool {
        other
            .0
            .iter()
            .all(|(origin, sequence)| self.get(*origin) >= *sequence)
    }

    /// What to do with operation `sequence` of `origin`, whose maker had applied `dependencies`.
    pub fn judge(&self, origin: u16, sequence: i64, dependencies: &Self) -> Delivery {
        match sequence.cmp(&(self.get(origin) + 1)) {
            Ordering::Less => Delivery::Duplicate,
            Ordering::Equal if self.covers(dependencies) => Delivery::Apply,
            Ordering::Equal | Ordering::Greater => Delivery::Wait,
        }
    }

    /// Records that `sequence` of `origin` was applied.
    pub fn advance(&mut self, origin: u16, sequence: i64) {
        self.0.insert(origin, sequence);
    }
}

/// What to do with an operation that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Everything it builds on is there.
    Apply,
    /// It was applied before.
    Duplicate,
    /// Something it builds on has not arrived.
    Wait,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(hlc: i64, origin: u16, target: Option<char>) -> TagVersion<char> {
        TagVersion {
            hlc,
            origin,
            target,
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as `resolve` wants it")]
    fn presence(digest: &char) -> Presence {
        match digest {
            'v' | 'w' => Presence::Visible,
            'p' => Presence::Pending,
            _ => Presence::Absent,
        }
    }

    #[test]
    fn the_later_clock_wins_and_the_origin_breaks_ties() {
        assert!(version(2, 1, Some('v')) > version(1, 9, None));
        assert!(version(2, 2, None) > version(2, 1, Some('v')));
    }

    #[test]
    fn a_tag_falls_back_over_pending_versions_only() {
        let ask = |targets: &[Option<char>]| {
            let versions: Vec<_> = (0..)
                .zip(targets)
                .map(|(age, target)| version(-age, 1, *target))
                .collect();
            resolve(&versions, presence).and_then(|version| version.target)
        };
        assert_eq!(ask(&[Some('v'), Some('w')]), Some('v'));
        assert_eq!(ask(&[Some('p'), Some('p'), Some('w')]), Some('w'));
        assert_eq!(ask(&[None, Some('w')]), None);
        assert_eq!(ask(&[Some('d'), Some('w')]), None);
        assert_eq!(ask(&[Some('p'), None, Some('w')]), None);
        assert_eq!(ask(&[]), None);
    }

    #[test]
    fn a_delete_removes_the_dots_it_observed_only() {
        let [first, second, third] = [1, 2, 3].map(|n| OperationId::new(n, 7, 0));
        let mut dots = Dots::default();
        dots.put(first, None);
        dots.put(second, Some(first));
        assert_eq!(dots.of_origin(7), Some(second));
        dots.delete(&[first]);
        assert!(dots.is_live());
        dots.delete(&[second, third]);
        assert!(!dots.is_live());
    }

    #[test]
    fn an_operation_waits_for_what_its_maker_had_seen() {
        let (mut here, mut dependencies) = (VersionVector::default(), VersionVector::default());
        dependencies.advance(2, 5);
        assert_eq!(here.judge(1, 1, &dependencies), Delivery::Wait);
        here.advance(2, 5);
        assert_eq!(here.judge(1, 2, &dependencies), Delivery::Wait);
        assert_eq!(here.judge(1, 1, &dependencies), Delivery::Apply);
        here.advance(1, 1);
        assert_eq!(here.judge(1, 1, &dependencies), Delivery::Duplicate);
    }
}
