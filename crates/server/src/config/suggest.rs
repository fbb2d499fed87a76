//! "Did you mean …?" for a misspelt key.

/// The candidate that was most likely meant, if one is near enough.
pub(crate) fn nearest<'a>(
    written: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let written = normal(written);
    let leaf = last_word(&written);
    candidates
        .filter_map(|candidate| {
            let name = normal(candidate);
            let whole = distance(&written, &name);
            // The right key in the wrong section: `max_connections` for `limits.max_connections`.
            let moved = if last_word(&name) == leaf && leaf.len() > 3 {
                1
            } else {
                usize::MAX
            };
            let cost = whole.min(moved);
            (cost <= 1 + written.len() / 5).then_some((cost, whole, candidate))
        })
        .min()
        .map(|(_, _, candidate)| candidate)
}

/// Lower case, hyphens as underscores: `Limits.Max-Connections` is a spelling of `limits.max_connections`.
fn normal(name: &str) -> String {
    name.to_ascii_lowercase().replace('-', "_")
}

fn last_word(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// Edits (insert, delete, replace, swap of neighbours) that make `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) =
        (a.chars().take(80).collect(), b.chars().take(80).collect());
    let mut before_last: Vec<usize> = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 6] = [
        "http",
        "https",
        "limits.max_connections",
        "log.level",
        "data_dir",
        "gc.enabled",
    ];

    fn hint(written: &str) -> Option<&'static str> {
        nearest(written, NAMES.into_iter())
    }

    #[test]
    fn a_slip_of_the_finger_is_recognised() {
        assert_eq!(hint("htpp"), Some("http"));
        assert_eq!(hint("datadir"), Some("data_dir"));
        assert_eq!(hint("data-dir"), Some("data_dir"));
        assert_eq!(hint("log.levle"), Some("log.level"));
        assert_eq!(
            hint("limits.max_conections"),
            Some("limits.max_connections")
        );
    }

    #[test]
    fn the_right_key_in_the_wrong_section_is_recognised() {
        assert_eq!(hint("max_connections"), Some("limits.max_connections"));
        assert_eq!(hint("logging.level"), Some("log.level"));
        assert_eq!(hint("garbage.enabled"), Some("gc.enabled"));
    }

    #[test]
    fn something_else_gets_no_hint() {
        assert_eq!(hint("proxy.remoteurl"), None);
        assert_eq!(hint("x"), None);
    }

    #[test]
    fn distance_counts_a_swap_as_one() {
        assert_eq!(distance("ab", "ba"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
