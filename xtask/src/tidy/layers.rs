//! Compares the table of levels in `ARCHITECTURE.md` with `cargo metadata`: a crate uses crates of lower levels only.
//!
//! The table is the first one in the page whose heading row starts with `level` and `crate`. A level is a number, or
//! `dev` for crates that only tests use.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::workspace;

const PAGE: &str = "ARCHITECTURE.md";

#[derive(Clone, Copy, PartialEq, Debug)]
enum Level {
    Number(u32),
    Dev,
}

struct Edge {
    from: String,
    to: String,
    for_tests: bool,
}

pub(super) fn check() -> Result<Vec<String>> {
    let page = workspace::read(PAGE)?.with_context(|| format!("{PAGE} is not UTF-8"))?;
    let (crates, edges) = graph(&workspace::metadata()?)?;
    Ok(compare(&parse_table(&page)?, &crates, &edges))
}

fn parse_table(page: &str) -> Result<BTreeMap<String, Level>> {
    let cells = |line: &str| -> Vec<String> {
        line.trim()
            .trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect()
    };
    let mut lines = page.lines().skip_while(|line| {
        let head = cells(line);
        !(line.starts_with('|')
            && head.first().is_some_and(|c| c == "level")
            && head.get(1).is_some_and(|c| c.starts_with("crate")))
    });
    lines
        .next()
        .with_context(|| format!("{PAGE} has no table with the columns level and crate"))?;
    let mut levels = BTreeMap::new();
    for row in lines
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(cells)
    {
        let [level, names, ..] = row.as_slice() else {
            bail!("{PAGE}: a row of the table of levels is too short")
        };
        let level = match level.as_str() {
            "dev" => Level::Dev,
            number => Level::Number(
                number
                    .parse()
                    .with_context(|| format!("{PAGE}: level `{number}`"))?,
            ),
        };
        for name in names.split('`').skip(1).step_by(2) {
            levels.insert(name.trim_start_matches("lazuli-").to_owned(), level);
        }
    }
    Ok(levels)
}

/// The crates below `crates/` by folder name, and who uses whom.
fn graph(metadata: &Value) -> Result<(Vec<String>, Vec<Edge>)> {
    let packages = metadata["packages"]
        .as_array()
        .context("no packages in the metadata")?;
    let folder = |path: &str| {
        path.rsplit_once("crates/")
            .map(|(_, rest)| rest.trim_end_matches("/Cargo.toml").to_owned())
    };
    let mut crates = Vec::new();
    let mut edges = Vec::new();
    for package in packages {
        let Some(from) = package["manifest_path"].as_str().and_then(folder) else {
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let Some(to) = dependency["path"].as_str().and_then(folder) else {
                continue;
            };
            edges.push(Edge {
                from: from.clone(),
                to,
                for_tests: dependency["kind"].as_str() == Some("dev"),
            });
        }
        crates.push(from);
    }
    Ok((crates, edges))
}

fn compare(levels: &BTreeMap<String, Level>, crates: &[String], edges: &[Edge]) -> Vec<String> {
    let mut problems = Vec::new();
    for name in crates.iter().filter(|name| !levels.contains_key(*name)) {
        problems.push(format!(
            "crates/{name} is not in the table of levels in {PAGE}"
        ));
    }
    for name in levels.keys().filter(|name| !crates.contains(name)) {
        problems.push(format!(
            "{PAGE} lists `{name}`, which is no crate of the workspace"
        ));
    }
    for Edge {
        from,
        to,
        for_tests,
    } in edges
    {
        let (Some(&low), Some(&high)) = (levels.get(to), levels.get(from)) else {
            continue;
        };
        // A crate that uses itself in its tests turns on a feature for them.
        let allowed = match (high, low) {
            _ if from == to => *for_tests,
            (Level::Number(high), Level::Number(low)) => low < high,
            (Level::Number(_), Level::Dev) => *for_tests,
            (Level::Dev, _) => true,
        };
        if !allowed {
            problems.push(format!(
                "crates/{from} ({high:?}) must not use crates/{to} ({low:?})"
            ));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# x\n\n| level | crate | holds |\n|---|---|---|\n| 0 | `wire` | |\n| 1 | `db`, `lazuli-blobs` | |\n| dev | `testkit` | |\n\n| level | crate |\n|---|---|\n| 9 | `no` |\n";

    fn problems(edges: &[(&str, &str, bool)]) -> Vec<String> {
        let crates = ["wire", "db", "blobs", "testkit"].map(str::to_owned);
        let edges: Vec<Edge> = edges
            .iter()
            .map(|&(from, to, for_tests)| Edge {
                from: from.into(),
                to: to.into(),
                for_tests,
            })
            .collect();
        compare(&parse_table(PAGE).unwrap(), &crates, &edges)
    }

    #[test]
    fn lower_levels_only() {
        assert!(
            problems(&[
                ("db", "wire", false),
                ("testkit", "db", false),
                ("wire", "testkit", true),
                ("db", "db", true)
            ])
            .is_empty()
        );
        assert_eq!(problems(&[("wire", "db", false)]).len(), 1);
        assert_eq!(
            problems(&[("db", "blobs", false)]).len(),
            1,
            "the same level"
        );
        assert_eq!(
            problems(&[("db", "testkit", false)]).len(),
            1,
            "a test crate in the product"
        );
    }

    #[test]
    fn page_and_workspace_name_the_same_crates() {
        let levels = parse_table(PAGE).unwrap();
        assert_eq!(
            compare(&levels, &["wire".into(), "db".into(), "blobs".into()], &[]).len(),
            1
        );
        assert_eq!(
            compare(
                &levels,
                &["wire", "db", "blobs", "testkit", "new"].map(str::to_owned),
                &[]
            )
            .len(),
            1
        );
        assert!(parse_table("no table").is_err());
    }
}
