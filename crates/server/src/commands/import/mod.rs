//! `lazuli import-from`: copies repositories of another registry into a running server, through its HTTP API, so that every
//! rule and the operation log apply, and any number of servers may be behind it.

mod blobs;
mod copy;
mod layout;
mod report;
mod source;
mod tree;
mod verify;

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use lazuli_outbound::distribution::{Credentials, Remote};
use lazuli_outbound::{Client, Options, Reach, Url};

use crate::cli::{Shown, settings};
use crate::config::{Configuration, Given};
use crate::data_folder::DataFolder;
use copy::Import;
use layout::Layout;
use source::Source;
use tree::Tree;

const EXAMPLES: &str = "\
Examples:
  lazuli import-from https://registry.example.com --dry-run     what would be copied
  lazuli import-from https://registry.example.com               every repository, with signatures and referrers
  lazuli import-from http://127.0.0.1:5001 --repository 'team/*' --tag 'v*' --to old
  lazuli import-from https://registry-1.docker.io --repository library/alpine --tag 3.22
  lazuli import-from file:/var/lib/registry                     the folder of a CNCF distribution registry
  lazuli import-from oci:./layout --repository team/app         an OCI layout, as skopeo and oras write it

The user of the source is LAZULI_IMPORT_USER or --user, the password LAZULI_IMPORT_PASSWORD. The password of the target is \
LAZULI_INTO_PASSWORD, LAZULI_ADMIN_PASSWORD, or in the file admin-password of the data folder.

Run it again and what is there is skipped: so it goes on after an interruption. The exit code is 1 if anything is missing; \
the messages name it.";

/// Variables of this command, which are no settings.
const OWN_VARIABLES: [&str; 3] = [
    "LAZULI_IMPORT_USER",
    "LAZULI_IMPORT_PASSWORD",
    "LAZULI_INTO_PASSWORD",
];

pub(crate) fn command() -> Command {
    let many = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name(value)
            .action(ArgAction::Append)
            .help(help)
    };
    let one = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .action(ArgAction::SetTrue)
            .help(help)
    };
    Command::new("import-from")
        .about("Copy repositories of another registry into a running server")
        .after_help(EXAMPLES)
        .arg(
            Arg::new("source")
                .value_name("SOURCE")
                .required(true)
                .help("The URL of a registry, file:FOLDER of a distribution registry, or oci:FOLDER of an OCI layout"),
        )
        .arg(many(
            "repository",
            "NAME",
            "Only this repository; * stands for anything; may be repeated [default: all of the source's catalog]",
        ))
        .arg(many(
            "tag",
            "TAG",
            "Only this tag, and what signs or refers to it; * stands for anything; may be repeated",
        ))
        .arg(one("to", "PREFIX", "Put before the name of each repository, with a slash"))
        .arg(flag("dry-run", "Only say what would be copied"))
        .arg(
            one("into", "URL", "The server to copy into").default_value("http://127.0.0.1:5000"),
        )
        .arg(one("user", "USER", "The user of the source [variable LAZULI_IMPORT_USER]"))
        .arg(one("into-user", "USER", "The user of the target").default_value("lazuli"))
        .arg(flag("plain-http", "Allow http:// to other machines, passwords included"))
        .arg(flag(
            "allow-private",
            "Allow a source in a private network; without it only public addresses and what is named of this machine",
        ))
        .arg(
            many("ca", "FILE", "Trust these certificates (PEM) too; may be repeated")
                .value_parser(value_parser!(PathBuf)),
        )
        .args(settings(Shown::Folder))
}

/// `lazuli import-from`
pub(crate) async fn run(matches: &ArgMatches, given: &Given) -> anyhow::Result<()> {
    let source = source(matches)?;
    let target = target(matches, given)?;
    if let Source::Registry(remote) = &source {
        remote.ping().await.context("the source cannot be used")?;
    }
    target.ping().await.context(
        "the target cannot be used: --into names a running server, LAZULI_ADMIN_PASSWORD its password",
    )?;
    let import = Import::new(source, target, matches.get_flag("dry-run"));
    let selection = copy::Selection {
        repositories: texts(matches, "repository"),
        tags: texts(matches, "tag"),
        prefix: text(matches, "to").map(|prefix| prefix.trim_matches('/').to_owned()),
    };
    import.all(&selection).await?;
    let failures = import.report.end();
    writeln!(
        std::io::stdout(),
        "{}",
        import.report.summary(import.dry_run)
    )?;
    if failures == 0 {
        return Ok(());
    }
    let more = if import.report.is_stopped() {
        ", and all that was not tried"
    } else {
        ""
    };
    bail!(
        "{failures} things are missing{more}; what is there is whole: run it again when they can be had"
    )
}

fn text(matches: &ArgMatches, name: &str) -> Option<String> {
    matches.get_one::<String>(name).cloned()
}

fn texts(matches: &ArgMatches, name: &str) -> Vec<String> {
    let all = matches.get_many::<String>(name);
    all.into_iter().flatten().cloned().collect()
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn url(text: &str) -> anyhow::Result<Url> {
    Url::parse(text)
        .with_context(|| format!("{text:?} is no URL such as https://registry.example.com"))
}

fn remote(
    matches: &ArgMatches,
    url: Url,
    mut reach: Reach,
    credentials: Option<Credentials>,
) -> anyhow::Result<Remote> {
    if matches.get_flag("plain-http") {
        reach = reach.and_plain_http();
    }
    let read = |path: &PathBuf| {
        std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
    };
    let files = matches.get_many::<PathBuf>("ca").into_iter().flatten();
    let options = Options {
        reach: reach.and_named(&url),
        authorities: files.map(read).collect::<anyhow::Result<_>>()?,
        ..Options::default()
    };
    Ok(Remote::new(Client::new(options)?, url, credentials)?)
}

fn source(matches: &ArgMatches) -> anyhow::Result<Source> {
    let text_of = text(matches, "source").context("no source was given")?;
    if let Some(folder) = text_of.strip_prefix("file:") {
        let folder = folder.strip_prefix("//").unwrap_or(folder);
        return Ok(Source::Tree(Tree::open(folder.as_ref())?));
    }
    if let Some(folder) = text_of.strip_prefix("oci:") {
        if texts(matches, "repository").len() != 1 {
            bail!("an OCI layout has no name: give one --repository to copy it into");
        }
        return Ok(Source::Layout(Layout::open(folder.as_ref())?));
    }
    let user = text(matches, "user").or_else(|| variable("LAZULI_IMPORT_USER"));
    let password = variable("LAZULI_IMPORT_PASSWORD");
    let credentials = match (user, password) {
        (Some(user), Some(password)) => Some(Credentials { user, password }),
        (None, None) => None,
        _ => bail!(
            "the source's user (--user or LAZULI_IMPORT_USER) and password (LAZULI_IMPORT_PASSWORD) go together"
        ),
    };
    let mut reach = Reach::public();
    if matches.get_flag("allow-private") {
        reach = reach.and_private();
    }
    let remote = remote(matches, url(&text_of)?, reach, credentials)?;
    Ok(Source::Registry(Box::new(remote)))
}

fn target(matches: &ArgMatches, given: &Given) -> anyhow::Result<Remote> {
    let into = url(&text(matches, "into").unwrap_or_default())?;
    let password = variable("LAZULI_INTO_PASSWORD")
        .or_else(|| variable("LAZULI_ADMIN_PASSWORD"))
        .or_else(|| password_file(given));
    let credentials = password.map(|password| Credentials {
        user: text(matches, "into-user").unwrap_or_default(),
        password,
    });
    // It is the operator's own, wherever it is.
    remote(matches, into, Reach::public().and_private(), credentials)
}

/// The password made at first start, if this machine has the server's data folder.
fn password_file(given: &Given) -> Option<String> {
    let mut settings = Given {
        file: given.file.clone(),
        flags: given.flags.clone(),
        variables: given.variables.clone(),
    };
    settings
        .variables
        .retain(|(name, _)| !OWN_VARIABLES.iter().any(|own| name == own));
    let settings = Configuration::load(&settings).ok()?.settings;
    let folder = DataFolder::existing(&settings.general.data_dir).ok()?;
    let password = std::fs::read_to_string(folder.password_file("password")).ok()?;
    Some(password.trim_end().to_owned())
}
