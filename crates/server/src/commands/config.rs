//! `lazuli config`: the effective configuration, or whether it is valid.

use std::io::Write as _;

use clap::ArgMatches;

use crate::config::{Configuration, Given, markdown};

pub(crate) fn run(matches: &ArgMatches, given: &Given) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if let Some(page) = matches.get_one::<String>("reference") {
        let page = if page == "cli" {
            crate::cli::markdown()
        } else {
            markdown()
        };
        out.write_all(page.as_bytes())?;
        return Ok(());
    }
    let configuration = Configuration::load(given)?;
    if matches.get_flag("check") {
        match &configuration.file {
            Some(path) => writeln!(out, "The configuration is valid (file: {})", path.display())?,
            None => writeln!(out, "The configuration is valid (no file)")?,
        }
    } else {
        out.write_all(configuration.to_toml().as_bytes())?;
    }
    Ok(())
}
