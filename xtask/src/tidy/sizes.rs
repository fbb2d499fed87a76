//! Rust files have at most 400 lines. `xtask/long-files.txt` lists those that are longer for now, each with its exact
//! length: a listed file that grew fails, one that shrank has to be written down, so the list only shrinks.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use crate::workspace;

const LIMIT: usize = 400;
const HARD_LIMIT: usize = 600;
const LIST: &str = "xtask/long-files.txt";

pub(super) fn check() -> Result<Vec<String>> {
    let mut lengths = BTreeMap::new();
    for name in workspace::files_with("rs")? {
        let text = workspace::read(&name)?.with_context(|| format!("{name} is not UTF-8"))?;
        lengths.insert(name, text.lines().count());
    }
    let list = workspace::read(LIST)?.unwrap_or_default();
    Ok(compare(&lengths, &parse(&list)?))
}

fn parse(list: &str) -> Result<BTreeMap<String, usize>> {
    let mut exceptions = BTreeMap::new();
    for line in list
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let Some((lines, name)) = line.split_once(' ') else {
            bail!("{LIST}: `{line}` is not `LINES FILE`")
        };
        exceptions.insert(
            name.to_owned(),
            lines.parse().with_context(|| format!("{LIST}: {line}"))?,
        );
    }
    Ok(exceptions)
}

fn compare(lengths: &BTreeMap<String, usize>, exceptions: &BTreeMap<String, usize>) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, &lines) in lengths {
        match exceptions.get(name) {
            _ if lines > HARD_LIMIT => problems.push(format!(
                "{name}: {lines} lines, {HARD_LIMIT} is the end: split it"
            )),
            None if lines > LIMIT => {
                problems.push(format!("{name}: {lines} lines, at most {LIMIT}: split it"));
            }
            Some(_) if lines <= LIMIT => {
                problems.push(format!("{name}: short again, take it off {LIST}"));
            }
            Some(&noted) if lines > noted => {
                problems.push(format!("{name}: grew from {noted} to {lines} lines"));
            }
            Some(&noted) if lines < noted => problems.push(format!(
                "{name}: shrank, write {lines} instead of {noted} in {LIST}"
            )),
            _ => {}
        }
    }
    problems.extend(
        exceptions
            .keys()
            .filter(|name| !lengths.contains_key(*name))
            .map(|name| format!("{LIST}: no file {name}")),
    );
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(lines: usize, list: &str) -> Vec<String> {
        compare(
            &BTreeMap::from([("a.rs".to_owned(), lines)]),
            &parse(list).unwrap(),
        )
    }

    #[test]
    fn the_exception_list_can_only_shrink() {
        assert!(problems(400, "").is_empty());
        assert_eq!(problems(401, "").len(), 1);
        assert!(problems(500, "# why\n500 a.rs\n").is_empty());
        assert_eq!(problems(501, "500 a.rs").len(), 1);
        assert_eq!(problems(499, "500 a.rs").len(), 1);
        assert_eq!(problems(400, "500 a.rs").len(), 1);
        assert_eq!(problems(601, "601 a.rs").len(), 1);
        assert_eq!(problems(10, "500 gone.rs").len(), 1);
    }
}
