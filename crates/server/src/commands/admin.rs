//! `lazuli admin`: the admin user's passwords. Works beside a running server.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches, Command};
use lazuli_identity::{AdminPassword, RegistryId};

use crate::banner::{dialled, shell_word};
use crate::cli::{Shown, settings};
use crate::config::{Configuration, Given, absolute};
use crate::data_folder::{DataFolder, write_private};
use crate::wire_up;

const EXAMPLES: &str = "\
Examples:
  lazuli admin reset-password                    replace the first password
  lazuli admin reset-password --name password2   replace the second one; the first stays valid

The new password is written to the file admin-password (or admin-password2) in the data folder. If the variable \
LAZULI_ADMIN_PASSWORD is set, it becomes the password and no file is written. A running server refuses the old \
password within ten seconds; tokens that were given for it live until they expire.";

pub(crate) fn command() -> Command {
    let name = Arg::new("name")
        .long("name")
        .value_name("NAME")
        .value_parser(PossibleValuesParser::new(["password", "password2"]))
        .default_value("password")
        .help("Which of the two passwords");
    Command::new("admin")
        .about("Manage the admin user")
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
    let folder = DataFolder::existing(&settings.general.data_dir)?;
    let server = folder.check_running_server()?;
    let clock = wire_up::clock();
    let db = wire_up::open_database(&settings, &folder)?;
    let identity = wire_up::open_identity_beside(&db, &clock, &folder.master_key()?).await?;
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
    if server.is_some() {
        told += "\nThe running server takes it over within ten seconds.\n";
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
