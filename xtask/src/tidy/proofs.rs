//! The page about durability names the tests that fail when a promise is broken: each of them has to exist.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::workspace;

const PAGE: &str = "docs/explanation/durability.md";

/// Names on the page that no test has.
pub(super) fn check() -> Result<Vec<String>> {
    let mut functions = BTreeSet::new();
    for file in workspace::files_with("rs")? {
        if file.starts_with("crates/") {
            let text = workspace::read(&file)?.unwrap_or_default();
            functions.extend(functions_in(&text).map(str::to_owned));
        }
    }
    let page = workspace::read(PAGE)?.unwrap_or_default();
    let named = named_in(&page);
    anyhow::ensure!(named.len() > 20, "{PAGE} names hardly any test");
    Ok(named
        .into_iter()
        .filter(|name| !functions.contains(*name))
        .map(|name| format!("{PAGE}: there is no test {name}"))
        .collect())
}

/// The functions that a source file defines.
fn functions_in(text: &str) -> impl Iterator<Item = &str> {
    text.split("fn ").skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))?;
        Some(&rest[..end])
    })
}

/// The names of tests on a page: words of several parts in backticks.
fn named_in(page: &str) -> Vec<&str> {
    let quoted = page.split('`').skip(1).step_by(2);
    let is_name = |word: &&str| {
        word.matches('_').count() > 2
            && word
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    quoted.filter(is_name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_other_words() {
        let page = "`a_test_of_something` `storage.inline_blob_max` `x` text `fn a_b_c_d()`";
        assert_eq!(named_in(page), ["a_test_of_something"]);
        let text = "async fn one_two() {}\n    fn three<T>(x: T) {}";
        assert_eq!(functions_in(text).collect::<Vec<_>>(), ["one_two", "three"]);
    }
}
