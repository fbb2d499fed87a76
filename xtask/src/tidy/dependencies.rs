//! Licences and bans of `deny.toml` checked against `cargo tree`, which needs nothing installed. `cargo xtask deny`
//! runs cargo-deny itself, with advisories.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use crate::workspace;

const POLICY: &str = "deny.toml";
const PAGE: &str = "ARCHITECTURE.md";

pub(super) fn licences() -> Result<Vec<String>> {
    let allowed = allowed_licences(&policy()?);
    anyhow::ensure!(!allowed.is_empty(), "{POLICY} allows no licence");
    let mut problems = BTreeSet::new();
    for (name, licence) in tree()?.iter().map(|line| (&line.name, &line.licence)) {
        if !is_allowed(licence, &allowed) {
            problems.insert(format!(
                "{name}: licence `{licence}` is not allowed by {POLICY}"
            ));
        }
    }
    Ok(problems.into_iter().collect())
}

pub(super) fn bans() -> Result<Vec<String>> {
    let bans = entries(&policy()?, "deny = [");
    anyhow::ensure!(!bans.is_empty(), "{POLICY} bans nothing");
    Ok(find_banned(&tree()?, &bans))
}

/// Every crate is there in one version, but for those that [`POLICY`] excuses; an excuse nobody needs goes.
pub(super) fn duplicates() -> Result<Vec<String>> {
    let excused: BTreeSet<String> = entries(&policy()?, "skip = [")
        .into_iter()
        .map(|entry| entry.name)
        .collect();
    let twice = in_several_versions(&tree()?);
    let more = twice
        .difference(&excused)
        .map(|name| format!("{name} is built in several versions: cargo tree --duplicates"));
    let fewer = excused
        .difference(&twice)
        .map(|name| format!("{name} is there once only: take it off the list in {POLICY}"));
    Ok(more.chain(fewer).collect())
}

/// `Cargo.toml` promises that every direct dependency is explained in the architecture page.
pub(super) fn reasons() -> Result<Vec<String>> {
    let page = workspace::read(PAGE)?.unwrap_or_default();
    let metadata = workspace::metadata()?;
    let mut names = BTreeSet::new();
    for package in metadata["packages"].as_array().context("no packages")? {
        for dependency in package["dependencies"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|d| d["path"].is_null())
        {
            names.extend(dependency["name"].as_str());
        }
    }
    let explained = explained(&page);
    anyhow::ensure!(
        !explained.is_empty(),
        "{PAGE} has no table with the columns crate and why"
    );
    let missing = names.into_iter().filter(|name| !explained.contains(*name));
    Ok(missing
        .map(|name| format!("{PAGE} does not say why we use {name}"))
        .collect())
}

/// The names in the first column of the table `| crate | why |`.
fn explained(page: &str) -> BTreeSet<String> {
    let mut lines = page
        .lines()
        .skip_while(|line| !line.starts_with("| crate | why"));
    lines.next();
    let rows = lines.take_while(|line| line.starts_with('|'));
    let cells = rows.filter_map(|row| row.split('|').nth(1));
    let bare = |name: &str| {
        name.split('(')
            .next()
            .unwrap_or_default()
            .trim()
            .trim_matches('`')
            .to_owned()
    };
    cells
        .flat_map(|cell| cell.split(',').map(bare).collect::<Vec<_>>())
        .collect()
}

struct Line {
    depth: usize,
    name: String,
    version: String,
    licence: String,
}

struct Ban {
    name: String,
    wrappers: Vec<String>,
    reason: String,
}

fn policy() -> Result<String> {
    workspace::read(POLICY)?.with_context(|| format!("{POLICY} is not UTF-8"))
}

/// The crates that are really built, each below the one that uses it.
fn tree() -> Result<Vec<Line>> {
    let text = workspace::cargo()
        .args([
            "tree",
            "--workspace",
            "--locked",
            "--edges",
            "normal,build,dev",
            "--prefix",
            "depth",
            "--format",
            "\t{p}\t{l}",
        ])
        .run()?;
    Ok(parse_tree(&text))
}

fn parse_tree(text: &str) -> Vec<Line> {
    text.lines()
        .filter_map(|line| {
            let mut parts = line.split('\t');
            let depth = parts.next()?.parse().ok()?;
            let mut package = parts.next()?.split(' ').map(str::to_owned);
            let (name, version) = (package.next()?, package.next()?);
            let licence = parts
                .next()
                .unwrap_or_default()
                .trim_end_matches("(*)")
                .trim()
                .to_owned();
            Some(Line {
                depth,
                name,
                version,
                licence,
            })
        })
        .collect()
}

fn find_banned(tree: &[Line], bans: &[Ban]) -> Vec<String> {
    let mut path: Vec<&str> = Vec::new();
    let mut problems = BTreeSet::new();
    for line in tree {
        path.truncate(line.depth);
        for ban in bans.iter().filter(|ban| ban.name == line.name) {
            let user = path.last().copied().unwrap_or("the workspace");
            if !ban.wrappers.iter().any(|wrapper| wrapper == user) {
                problems.insert(format!("{user} uses {}: {}", ban.name, ban.reason));
            }
        }
        path.push(&line.name);
    }
    problems.into_iter().collect()
}

fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('"').skip(1).step_by(2)
}

/// The strings of `allow = [...]` below `[licenses]`.
fn allowed_licences(policy: &str) -> Vec<String> {
    let section = policy.split("\n[licenses]").nth(1).unwrap_or_default();
    let list = section
        .split("allow = [")
        .nth(1)
        .and_then(|rest| rest.split(']').next());
    quoted(list.unwrap_or_default())
        .map(str::to_owned)
        .collect()
}

/// The lines `{ crate = "...", wrappers = ["..."], reason = "..." },` of a list.
fn entries(policy: &str, list: &str) -> Vec<Ban> {
    let value = |line: &str, key: &str| {
        line.split(key)
            .nth(1)
            .and_then(|rest| quoted(rest).next().map(str::to_owned))
    };
    let lines = policy
        .split(list)
        .nth(1)
        .unwrap_or_default()
        .lines()
        .take_while(|line| !line.starts_with(']'));
    lines
        .filter_map(|line| {
            let name = value(line, "crate = ")?;
            let wrappers = line
                .split("wrappers = [")
                .nth(1)
                .and_then(|rest| rest.split(']').next())
                .unwrap_or_default();
            let wrappers = quoted(wrappers).map(str::to_owned).collect();
            Some(Ban {
                name,
                wrappers,
                reason: value(line, "reason = ").unwrap_or_default(),
            })
        })
        .collect()
}

fn in_several_versions(tree: &[Line]) -> BTreeSet<String> {
    let packages: BTreeSet<(&str, &str)> = tree
        .iter()
        .map(|line| (line.name.as_str(), line.version.as_str()))
        .collect();
    let names: Vec<&str> = packages.iter().map(|(name, _)| *name).collect();
    names
        .windows(2)
        .filter(|pair| pair[0] == pair[1])
        .map(|pair| pair[0].to_owned())
        .collect()
}

/// Whether an SPDX expression can be met with the allowed licences alone.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let mut tokens: Vec<&str> = spaced.split_whitespace().collect();
    tokens.reverse();
    !tokens.is_empty() && any(&mut tokens, allowed) && tokens.is_empty()
}

fn any(tokens: &mut Vec<&str>, allowed: &[String]) -> bool {
    let mut result = all(tokens, allowed);
    while tokens.last() == Some(&"OR") {
        tokens.pop();
        result |= all(tokens, allowed);
    }
    result
}

fn all(tokens: &mut Vec<&str>, allowed: &[String]) -> bool {
    let mut result = one(tokens, allowed);
    while tokens.last() == Some(&"AND") {
        tokens.pop();
        result &= one(tokens, allowed);
    }
    result
}

fn one(tokens: &mut Vec<&str>, allowed: &[String]) -> bool {
    let Some(token) = tokens.pop() else {
        return false;
    };
    if token == "(" {
        let result = any(tokens, allowed);
        return tokens.pop() == Some(")") && result;
    }
    let mut name = token.to_owned();
    if tokens.last() == Some(&"WITH") {
        tokens.pop();
        name = format!("{name} WITH {}", tokens.pop().unwrap_or_default());
    }
    allowed.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licence_expressions() {
        let allowed = allowed_licences("\n[licenses]\nallow = [\"MIT\", \"ISC\", \"A WITH B\"]\n");
        for good in [
            "MIT",
            "X OR MIT",
            "X/MIT",
            "(X OR ISC) AND MIT",
            "A WITH B OR X",
            "X AND Y OR MIT",
        ] {
            assert!(is_allowed(good, &allowed), "{good}");
        }
        for bad in ["", "X", "X AND MIT", "(MIT", "A WITH C", "MIT AND (X OR Y)"] {
            assert!(!is_allowed(bad, &allowed), "{bad}");
        }
    }

    #[test]
    fn the_table_of_reasons() {
        let page = "| crate | what |\n\n| crate | why |\n|---|---|\n| a, `b` (bundled c) | x |\n| d-e | y |\n\n| f | |\n";
        let names = explained(page);
        for name in ["a", "b", "d-e"] {
            assert!(names.contains(name), "{name}");
        }
        assert!(!names.contains("f") && !names.contains("x"));
    }

    #[test]
    fn a_ban_holds_except_for_its_wrappers() {
        let bans = entries(
            "deny = [\n  { crate = \"bad\", wrappers = [\"w\"], reason = \"why\" },\n]\n",
            "deny = [",
        );
        let tree = parse_tree("0\tours v1 (/x)\tMIT\n1\tw v1\tMIT\n2\tbad v2\tMIT\n");
        assert!(find_banned(&tree, &bans).is_empty());
        let tree = parse_tree("0\tours v1\tMIT\n1\tw v1\tMIT\n1\tbad v2\tMIT (*)\n");
        assert_eq!(find_banned(&tree, &bans), ["ours uses bad: why"]);
        assert_eq!(tree[2].licence, "MIT");
    }

    #[test]
    fn versions_are_counted_once_each() {
        let tree = parse_tree(
            "0\ta v1\tMIT\n1\tb v1\tMIT\n1\tc v1\tMIT\n2\tb v2\tMIT\n1\tc v1\tMIT (*)\n",
        );
        assert_eq!(in_several_versions(&tree), BTreeSet::from(["b".to_owned()]));
    }
}
