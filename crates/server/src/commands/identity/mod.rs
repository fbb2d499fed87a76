//! `lazuli identity`: the embedded directory and whom it trusts. Works on a stopped server and beside a running one.

mod groups;
mod issuers;
mod managed;
mod opened;
mod programs;
mod users;

use std::io::Write as _;

use clap::{Arg, ArgMatches, Command};

use crate::cli::{Shown, settings};
use crate::config::Given;

use self::opened::Directory;

const EXAMPLES: &str = "\
Examples:
  lazuli identity show                                  the tenant, its domain, how many there are of everything
  lazuli identity user add anna --display-name 'Anna'   a user anna@DOMAIN; prints her password once
  lazuli identity sp add ci --role AcrPush              a service principal; prints its secret once
  lazuli identity group add pullers
  lazuli identity group add-member pullers anna
  lazuli identity rotate-keys                           sign with a new key; tokens that are out stay good
  lazuli identity rotate-keys --revoke-tokens           everybody has to sign in again

Objects are named by their ID, a user also by the name to sign in with (the domain may be left out), a service principal \
by its application ID, and everything by its display name if only one has it. az and the Azure SDKs sign in with what is \
made here: `lazuli az-env` says how. A running server takes changes over within ten seconds.";

/// A subcommand with arguments.
fn sub(name: &'static str, about: &'static str, arguments: Vec<Arg>) -> Command {
    Command::new(name)
        .about(about)
        .args(arguments)
        .args(settings(Shown::Folder))
}

/// A noun with its verbs.
fn noun(
    name: &'static str,
    about: &'static str,
    examples: &'static str,
    verbs: Vec<Command>,
) -> Command {
    Command::new(name)
        .about(about)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .after_help(examples)
        .args(settings(Shown::Folder))
        .subcommands(verbs.into_iter().map(move |verb| verb.after_help(examples)))
}

/// A required argument by its place.
fn place(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).value_name(name).required(true).help(help)
}

/// An option.
fn option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

/// The text of an argument that is required.
fn text<'m>(matches: &'m ArgMatches, name: &str) -> &'m str {
    matches.get_one::<String>(name).map_or("", String::as_str)
}

pub(crate) fn command() -> Command {
    noun(
        "identity",
        "Manage users, groups and programs that sign in, and whom else to trust",
        EXAMPLES,
        vec![
            sub("show", "Show the tenant", Vec::new()),
            sub(
                "rotate-keys",
                "Sign tokens of the directory with a new key",
                vec![
                    Arg::new("revoke-tokens")
                        .long("revoke-tokens")
                        .action(clap::ArgAction::SetTrue)
                        .help("End everybody's tokens and sessions"),
                ],
            ),
        ],
    )
    .subcommands([
        users::command(),
        groups::command(),
        programs::app_command(),
        programs::sp_command(),
        managed::command(),
        issuers::command(),
    ])
}

/// `lazuli identity NOUN VERB`
pub(crate) async fn run(names: &[&str], matches: &ArgMatches, given: &Given) -> anyhow::Result<()> {
    let directory = Directory::open(given).await?;
    let told = match names {
        ["show"] => directory.show().await,
        ["rotate-keys"] => directory.rotate(matches.get_flag("revoke-tokens")).await,
        ["user", verb] => users::run(verb, matches, &directory).await,
        ["group", verb] => groups::run(verb, matches, &directory).await,
        ["app", verb] => programs::run_app(verb, matches, &directory).await,
        ["sp", verb] => programs::run_sp(verb, matches, &directory).await,
        ["issuer", verb] => issuers::run(verb, matches, &directory).await,
        ["managed-identity", verb] => managed::run(verb, matches, &directory).await,
        other => Err(anyhow::anyhow!(
            "unknown command: identity {}",
            other.join(" ")
        )),
    };
    let closed = directory.close().await;
    std::io::stdout().write_all(told?.as_bytes())?;
    closed
}
