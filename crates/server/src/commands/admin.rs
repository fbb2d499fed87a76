//! `lazuli admin`: the admin user's passwords, and the keys that sign tokens. Works beside a running server.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command};
use lazuli_identity::{AdminPassword, OldTokens, RegistryId};

use super::opened::folder_of;
use crate::banner::{dialled, shell_word};
use crate::cli::{Shown, settings};
use crate::config::{Configuration, Given, absolute};
use crate::data_folder::write_private;
use crate::{identities, master_key, wire_up};

const EXAMPLES: &str = "\
Examples:
  lazuli admin reset-password                    replace the first password
  lazuli admin reset-password --name password2   replace the second one; the first stays valid
  lazuli admin reset-password --revoke-tokens    and end all tokens: somebody else knew the password

The new password is written to the file admin-password (or admin-password2) in the data folder. If the variable \
LAZULI_ADMIN_PASSWORD is set, it becomes the password and no file is written. A running server refuses the old \
password within ten seconds; tokens that were given for it live until they expire (up to four hours), unless \
--revoke-tokens is given.";

const KEYS_EXAMPLES: &str = "\
Examples:
  lazuli admin rotate-keys                   sign with new keys; tokens that are out live until they expire
  lazuli admin rotate-keys --revoke-tokens   and refuse all tokens that are out: clients sign in again

A running server does this by itself when the keys have the age of the setting tokens.key_lifetime. It takes new keys \
over within ten seconds.";

pub(crate) fn command() -> Command {
    let name = Arg::new("name")
        .long("name")
        .value_name("NAME")
        .value_parser(PossibleValuesParser::new(["password", "password2"]))
        .default_value("password")
        .help("Which of the two passwords");
    let revoke = Arg::new("revoke-tokens")
        .long("revoke-tokens")
        .action(ArgAction::SetTrue)
        .help("End all tokens that were given out, everybody's, by new signing keys");
    Command::new("admin")
        .about("Manage the admin user and the keys that sign tokens")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .after_help(EXAMPLES)
        .args(settings(Shown::Folder))
        .subcommand(
            Command::new("reset-password")
                .about("Replace one of the admin user's two passwords")
                .after_help(EXAMPLES)
                .arg(name)
                .arg(revoke.clone())
                .args(settings(Shown::Folder)),
        )
        .subcommand(
            Command::new("rotate-keys")
                .about("Replace the keys that sign tokens")
                .after_help(KEYS_EXAMPLES)
                .arg(revoke)
                .args(settings(Shown::Folder)),
        )
}

/// `lazuli admin reset-password`
pub(crate) async fn reset_password(matches: &ArgMatches, given: &Given) -> anyhow::Result<()> {
    let settings = Configuration::load(given)?.settings;
    let name = matches
        .get_one::<String>("name")
        .map_or("password", String::as_str);
    let which = AdminPassword::parse(name).context("there is no such password")?;
    let folder = folder_of(&settings)?;
    if folder.is_unused() && settings.admin.password.is_none() {
        bail!(
            "there is no data folder here that the new password could be written to: give the password by LAZULI_ADMIN_PASSWORD"
        );
    }
    let server = folder.check_running_server()?;
    let db = wire_up::open_database_beside(&settings, &folder)?;
    let clock = wire_up::clock_of(&db).await?;
    super::migrate::refuse_if_moving(&db).await?;
    let key = master_key::for_command(&settings, &folder)?;
    let identity = identities::open_identity_beside(&db, &clock, &key).await?;
    let admin = identity.registry_name(RegistryId::DEFAULT).await?;

    let path = absolute(&folder.password_file(name));
    let mut told = if let Some(password) = settings.admin.password {
        identity
            .set_password(RegistryId::DEFAULT, which, password)
            .await?;
        remove_outdated(&path)?;
        format!(
            "The admin user {admin} has the password of LAZULI_ADMIN_PASSWORD now, as its {name}.\n"
        )
    } else {
        let password = identity.regenerate(RegistryId::DEFAULT, which).await?;
        write_private(&path, format!("{}\n", password.expose()).as_bytes()).context(
            "the password was replaced, but the new one could not be written; run this again",
        )?;
        let address = settings
            .general
            .http
            .address()
            .or(settings.general.https.address());
        let server = address.map_or_else(|| "SERVER".to_owned(), dialled);
        format!(
            "The admin user {admin} has a new {name}. It is in {}\n\n  \
             docker login {server} -u {admin} --password-stdin < {}\n",
            path.display(),
            shell_word(&path)
        )
    };
    if matches.get_flag("revoke-tokens") {
        identity
            .rotate_signing_keys(RegistryId::DEFAULT, OldTokens::Revoke)
            .await
            .context("the password was replaced, but tokens live on; run `lazuli admin rotate-keys --revoke-tokens`")?;
        told += "\nTokens given out so far are not valid any more.\n";
    }
    if server.is_some() {
        told += "\nThe running server takes it over within ten seconds.\n";
    } else if folder.is_unused() {
        told += "\nRunning servers take it over within ten seconds.\n";
    }
    std::io::stdout().write_all(told.as_bytes())?;
    db.close(Duration::from_secs(10)).await?;
    Ok(())
}

/// `lazuli admin rotate-keys`
pub(crate) async fn rotate_keys(matches: &ArgMatches, given: &Given) -> anyhow::Result<()> {
    let settings = Configuration::load(given)?.settings;
    let folder = folder_of(&settings)?;
    let server = folder.check_running_server()?;
    let db = wire_up::open_database_beside(&settings, &folder)?;
    let clock = wire_up::clock_of(&db).await?;
    super::migrate::refuse_if_moving(&db).await?;
    let key = master_key::for_command(&settings, &folder)?;
    let identity = identities::open_identity_beside(&db, &clock, &key).await?;
    let (old, mut told) = if matches.get_flag("revoke-tokens") {
        (
            OldTokens::Revoke,
            "Tokens are signed with new keys now. Those given out so far are not valid any more.\n"
                .to_owned(),
        )
    } else {
        (
            OldTokens::Expire,
            "Tokens are signed with new keys now. Those given out so far live until they expire.\n"
                .to_owned(),
        )
    };
    identity
        .rotate_signing_keys(RegistryId::DEFAULT, old)
        .await?;
    if server.is_some() {
        told += "The running server takes this over within ten seconds.\n";
    } else if folder.is_unused() {
        told += "Running servers take this over within ten seconds.\n";
    }
    std::io::stdout().write_all(told.as_bytes())?;
    db.close(Duration::from_secs(10)).await?;
    Ok(())
}

fn remove_outdated(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error)
            .with_context(|| format!("cannot remove {}, which is out of date", path.display())),
        _ => Ok(()),
    }
}
