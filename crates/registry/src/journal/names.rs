//! Names of records.
//!
//! ```text
//! journal/00000003/snapshot-000001.jsonl    all rows, in parts
//! journal/00000003/complete.json            written last: the snapshot is whole
//! journal/00000003/00000001.jsonl           what changed since, one after the other
//! ```

use std::collections::BTreeSet;

pub(super) fn part(generation: u64, number: u64) -> String {
    format!("{generation:08}/snapshot-{number:06}.jsonl")
}

pub(super) fn complete(generation: u64) -> String {
    format!("{generation:08}/complete.json")
}

pub(super) fn segment(generation: u64, number: u64) -> String {
    format!("{generation:08}/{number:08}.jsonl")
}

/// Which generation a record is of.
pub(super) fn generation(name: &str) -> Option<u64> {
    let (folder, _) = name.split_once('/')?;
    folder.parse().ok().filter(|number| *number > 0)
}

/// Those whose snapshot is whole.
pub(super) fn whole(names: &[String]) -> BTreeSet<u64> {
    let generations = names.iter().filter_map(|name| generation(name));
    generations
        .filter(|number| names.binary_search(&complete(*number)).is_ok())
        .collect()
}

/// The newest there is anything of; 0: there is nothing.
pub(super) fn newest(names: &[String]) -> u64 {
    let generations = names.iter().filter_map(|name| generation(name));
    generations.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_are_told_apart() {
        let mut names = vec![part(2, 1), complete(2), segment(2, 1), part(10, 1)];
        names.extend(["notes.txt".to_owned(), "x/complete.json".to_owned()]);
        names.sort();
        assert_eq!(whole(&names), BTreeSet::from([2]));
        assert_eq!(newest(&names), 10);
        assert_eq!(newest(&[]), 0);
        assert!(segment(2, 9) < segment(2, 10) && part(9, 1) < part(10, 1));
    }
}
