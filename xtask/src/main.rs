//! The project's own commands: `cargo xtask help`.
#![allow(
    clippy::disallowed_methods,
    reason = "a build tool: it times real commands and looks at real files"
)]

mod az;
mod clients;
mod crash;
mod daemon;
mod deny;
mod deploy;
mod docs;
mod engines;
mod exec;
mod leftovers;
mod packages;
mod python;
mod report;
mod scratch;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use report::Results;

const HELP: &str = "\
The project's own commands.

    cargo xtask test [--only PART]...    everything that CI runs; --list shows the parts
    cargo xtask tidy                     the house rules: sizes, layers, words, links, licences, generated documents
    cargo xtask clients [NAME]...        real clients against the release binary; --list shows them,
                                         --binary PATH takes another one; --nodes: against three nodes behind nginx, as
                                         deploy/compose starts them, one being killed every few seconds; --help tells more
    cargo xtask az [SETUP]...            the real az against the release binary, --binary PATH takes another one
    cargo xtask crash [--rounds N]...    kills the server under load and looks what is left; --help shows its flags
    cargo xtask deploy [--binary PATH]   what deploy/ holds, with the release binary or another one
    cargo xtask docs                     writes the generated documents
    cargo xtask deny [CHECK]...          cargo-deny with deny.toml, if cargo-deny is installed

`cargo xtask test` installs the Debian packages it needs when it runs as root, and says which ones are missing when it
does not; Azurite comes from npm into target/xtask-cache. With CI=true a client that cannot run is a failure.";

const CLIENTS_HELP: &str = "\
Real clients against a real server; each is a suite of named cases, and installs what it needs.

    cargo xtask clients                  all, against one server
    cargo xtask clients docker oras      some of them; --list shows all
    cargo xtask clients --nodes          against three nodes behind nginx, with PostgreSQL and a Ceph RGW: processes with
                                         the settings and the nginx.conf of deploy/compose
    cargo xtask clients --compose        the same in containers: Docker Compose runs deploy/compose itself as its page says, with
                                         this machine's PostgreSQL, nginx and Ceph RGW as images, and MinIO's client

    --binary PATH           the server's program; otherwise the release build is made and taken
    --seed N                with nodes: which node is killed and when; it is printed, and repeats the decisions
    --kill-every SECONDS    with nodes: about how long after the kill before (4)

A killed node comes back with an empty data folder. A command whose connection broke while a node was killed is run again, at
most three times: each time is a line AGAIN, and counted. At the end `lazuli fsck --verify` reads everything. Logs and results are
in target/xtask: clients.json, clients-nodes.json, clients-compose.json, logs/.";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = dispatch(&args);
    scratch::clean();
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the command; false when something it checked is wrong.
fn dispatch(args: &[String]) -> Result<bool> {
    let (command, rest) = args
        .split_first()
        .map_or(("help", args), |(first, rest)| (first.as_str(), rest));
    match command {
        "test" => test::run(rest),
        "tidy" => {
            no_arguments(rest)?;
            let mut results = Results::new();
            tidy::run(&mut results);
            Ok(results.summary())
        }
        "clients" => clients_command(rest),
        "az" => az::command(rest),
        "crash" => Ok(crash::run(rest)),
        "deploy" => deploy_command(rest),
        "docs" => {
            no_arguments(rest)?;
            docs::write().map(|()| true)
        }
        "deny" => deny::run(rest),
        "help" | "--help" | "-h" => {
            println!("{HELP}");
            Ok(true)
        }
        other => bail!("no command `{other}`\n\n{HELP}"),
    }
}

fn clients_command(args: &[String]) -> Result<bool> {
    let mut binary = None;
    let mut names = Vec::new();
    let mut deaths: Option<clients::Deaths> = None;
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().with_context(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--list" => {
                list_clients();
                return Ok(true);
            }
            "--help" | "-h" => {
                println!("{CLIENTS_HELP}");
                return Ok(true);
            }
            "--binary" => {
                let path = value()?;
                binary = Some(std::fs::canonicalize(path).with_context(|| path.clone())?);
            }
            "--compose" => deaths.get_or_insert_default().in_containers = true,
            "--nodes" => _ = deaths.get_or_insert(clients::Deaths::default()),
            "--seed" => deaths.get_or_insert_default().seed = value()?.parse()?,
            "--kill-every" => deaths.get_or_insert_default().every = value()?.parse()?,
            flag if flag.starts_with('-') => bail!("unknown flag {flag}; see cargo xtask help"),
            name => names.push(name.to_owned()),
        }
    }
    let mut results = Results::new();
    let binary = match binary {
        Some(binary) => binary,
        None if test::build_release(&mut results) => test::release_binary(),
        None => return Ok(results.summary()),
    };
    let run = match deaths {
        Some(deaths) => clients::run_on_nodes(&binary, &names, deaths, &mut results)?,
        None => clients::run_all(&binary, &names, &mut results)?,
    };
    if let Some(why) = run {
        results.not_run("clients", "all", why);
    }
    Ok(results.summary())
}

fn list_clients() {
    for client in clients::CLIENTS {
        println!(
            "{:<18} {} cases  {}",
            client.name,
            client.cases().len(),
            client.origin
        );
    }
}

fn deploy_command(args: &[String]) -> Result<bool> {
    let mut results = Results::new();
    match args {
        [] => deploy::part(&mut results),
        [flag, path] if flag == "--binary" => {
            let binary = std::fs::canonicalize(path).with_context(|| path.clone())?;
            deploy::with(&binary, &mut results);
        }
        _ => bail!("usage: cargo xtask deploy [--binary PATH]"),
    }
    Ok(results.summary())
}

fn no_arguments(args: &[String]) -> Result<()> {
    match args.first() {
        Some(arg) => bail!("unexpected argument {arg}"),
        None => Ok(()),
    }
}
