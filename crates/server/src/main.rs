//! The binary `lazuli`: reads its command line, then runs one command.

mod background;
mod banner;
mod bounds;
mod certificates;
mod cli;
mod collecting;
mod commands;
mod config;
mod data_folder;
mod https;
mod identities;
mod journal;
mod logging;
mod master_key;
mod notify;
mod peer;
mod process;
mod proxy;
mod roster;
mod scrubbing;
mod secrets;
mod serve;
mod storage;
mod time;
mod wire_up;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::ArgMatches;

use cli::exit;
use config::Given;

fn main() -> ExitCode {
    let matches = cli::command().get_matches();
    match run(&matches) {
        Ok(()) => ExitCode::from(exit::OK),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "lazuli: {}", whole_message(&error));
            ExitCode::from(exit_code(&error))
        }
    }
}

/// Runs the command; the deepest subcommand decides.
fn run(matches: &ArgMatches) -> anyhow::Result<()> {
    let mut levels = vec![matches];
    let mut names = Vec::new();
    while let Some((name, sub)) = levels.last().and_then(|level| level.subcommand()) {
        names.push(name);
        levels.push(sub);
    }
    let given = cli::given(&levels);
    let innermost = levels.last().copied().unwrap_or(matches);
    match names.as_slice() {
        [] | ["serve"] => serve::run(&given),
        ["healthcheck"] => commands::healthcheck::run(&given),
        ["az-env"] => commands::az_env::run(innermost, &given),
        ["config"] => commands::config::run(innermost, &given),
        ["version"] => {
            writeln!(std::io::stdout(), "lazuli {}", env!("CARGO_PKG_VERSION"))?;
            Ok(())
        }
        other => block_on(command(other, innermost, &given)),
    }
}

async fn command(names: &[&str], matches: &ArgMatches, given: &Given) -> anyhow::Result<()> {
    match names {
        ["admin", "reset-password"] => commands::admin::reset_password(matches, given).await,
        ["admin", "rotate-keys"] => commands::admin::rotate_keys(matches, given).await,
        ["identity", rest @ ..] => commands::identity::run(rest, matches, given).await,
        ["backup"] => commands::backup::run(matches, given).await,
        ["restore"] => commands::backup::restore(matches, given).await,
        ["migrate"] => commands::migrate::run(matches, given).await,
        ["rebuild"] => commands::rebuild::run(matches, given).await,
        ["import-from"] => commands::import::run(matches, given).await,
        ["gc", "status"] => commands::gc::status(given).await,
        ["fsck"] => commands::fsck::run(matches, given).await,
        ["gc", "run"] => commands::gc::run(matches, given).await,
        ["scrub", "status"] => commands::scrub::status(given).await,
        ["scrub", "run"] => commands::scrub::run(matches, given).await,
        other => anyhow::bail!("unknown command: {}", other.join(" ")),
    }
}

/// Runs a short command.
fn block_on(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(command);
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

/// The message and its causes, each once: some name theirs themselves.
fn whole_message(error: &anyhow::Error) -> String {
    let mut message = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if message.is_empty() {
            message = cause;
        } else if !message.ends_with(&cause) {
            message.extend([": ", &cause]);
        }
    }
    message
}

fn exit_code(error: &anyhow::Error) -> u8 {
    let is = |cause: &(dyn std::error::Error + 'static)| {
        if cause.is::<config::Invalid>() {
            Some(exit::USAGE)
        } else if matches!(
            cause.downcast_ref(),
            Some(data_folder::FolderError::InUse { .. })
        ) {
            Some(exit::IN_USE)
        } else if cause.is::<commands::fsck::Unsound>()
            || cause.is::<commands::scrub::Damaged>()
            || cause.is::<commands::rebuild::Incomplete>()
        {
            Some(exit::DAMAGED)
        } else {
            None
        }
    };
    error.chain().find_map(is).unwrap_or(exit::FAILED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_told_once() {
        let path = std::path::Path::new("/nonexistent");
        let missing = data_folder::DataFolder::existing(path).map(drop);
        let missing = anyhow::Error::new(missing.unwrap_err()).context("while looking");
        assert!(whole_message(&missing).starts_with("while looking: there is no data folder"));
        let io = data_folder::FolderError::Io {
            path: "/data/key".into(),
            source: std::io::ErrorKind::NotFound.into(),
        };
        let said = whole_message(&anyhow::Error::new(io).context("the key is needed"));
        assert_eq!(said, "the key is needed: /data/key: entity not found");
    }

    #[test]
    fn errors_end_with_the_documented_codes() {
        let in_use = data_folder::FolderError::InUse {
            folder: "/data".into(),
            process: None,
        };
        assert_eq!(
            exit_code(&anyhow::Error::new(in_use).context("while starting")),
            3
        );
        let given = Given {
            file: Some("/nonexistent".into()),
            ..Given::default()
        };
        let invalid = config::Configuration::load(&given)
            .map(drop)
            .map_err(anyhow::Error::new);
        assert_eq!(invalid.map_err(|error| exit_code(&error)), Err(2));
        assert_eq!(exit_code(&anyhow::anyhow!("anything else")), 1);
    }
}
