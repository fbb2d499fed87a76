//! The table of az's commands in the documentation, from the last run that was written down.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::workspace;

/// What was seen in the last run whose results were written down.
pub(crate) const SEEN: &str = "tests/az/seen.json";

/// A command, or a check, that was as it has to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Row {
    section: String,
    command: String,
    /// What az ended with.
    exit: i64,
    /// What differs from Azure, or needs a word.
    note: String,
    /// How az found the server.
    setups: BTreeSet<String>,
}

/// The last run on this machine, if nothing failed in it and everything was tried; as the text of [`SEEN`].
pub(crate) fn last_run() -> Result<Option<String>> {
    let Ok(bytes) = fs::read(workspace::output_dir()?.join("az.json")) else {
        return Ok(None);
    };
    let lines: Vec<Value> = serde_json::from_slice(&bytes)?;
    let setups: BTreeSet<&str> = lines
        .iter()
        .filter_map(|line| line["setup"].as_str())
        .collect();
    let wanted = super::SETUPS.iter().filter(|setup| setup.in_tests);
    if !wanted
        .map(|setup| setup.name)
        .all(|name| setups.contains(name))
        || lines.iter().any(|line| line["ok"] != true)
    {
        return Ok(None);
    }
    let mut rows: Vec<Row> = Vec::new();
    for line in &lines {
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        let (command, exit) = (text("template"), line["exit"].as_i64().unwrap_or(0));
        let known = rows
            .iter_mut()
            .find(|row| row.command == command && row.exit == exit);
        match known {
            Some(row) => _ = row.setups.insert(text("setup")),
            None => rows.push(Row {
                section: text("section"),
                command,
                exit,
                note: text("note"),
                setups: BTreeSet::from([text("setup")]),
            }),
        }
    }
    Ok(Some(serde_json::to_string_pretty(&rows)? + "\n"))
}

/// The chapter of the page, from [`SEEN`].
pub(crate) fn chapter() -> Result<String> {
    // Not there before the first whole run.
    let Ok(text) = fs::read_to_string(workspace::root().join(SEEN)) else {
        return Ok(String::new());
    };
    let rows: Vec<Row> = serde_json::from_str(&text).context(SEEN)?;
    let (az, others): (Vec<&Row>, Vec<&Row>) =
        rows.iter().partition(|row| row.command.starts_with("az "));
    let lines: BTreeSet<&str> = az.iter().map(|row| row.command.as_str()).collect();
    let mut page = format!(
        "\n## az\n\nazure-cli {}, unmodified, by `cargo xtask az`: {} different command lines. `{{name}}` stands for what the run \
         filled in. *works*: the answer was checked; *refused*: az has to end with an error, and does. One port, and the names by \
         the proxy, are two [ways to reach the server](../how-to/az.md).\n",
        super::version()?,
        lines.len()
    );
    let mut section = "";
    for row in az {
        if row.section != section {
            section = &row.section;
            let _ = writeln!(
                page,
                "\n### {section}\n\n| command | here | by | difference to Azure, or why |\n|---|---|---|---|"
            );
        }
        let here = if row.exit == 0 { "works" } else { "refused" };
        let by: Vec<&str> = row.setups.iter().map(|setup| by(setup)).collect();
        let command = row.command.replace('|', "\\|");
        let _ = writeln!(
            page,
            "| `{command}` | {here} | {} | {} |",
            by.join(", "),
            row.note
        );
    }
    page.push_str("\n### besides commands of az\n\n");
    for row in others {
        let _ = writeln!(page, "- {}", row.command);
    }
    Ok(page)
}

fn by(setup: &str) -> &str {
    match setup {
        "adfs" => "one port",
        "proxy" => "names (proxy)",
        "names" => "names (DNS)",
        "entra" => "one port, as Entra",
        other => other,
    }
}
