//! What commands that work beside a server, or in place of one, have in common.

use std::time::Duration;

use clap::{Arg, ArgAction, Command};
use lazuli_db::Db;
use lazuli_registry::Registry;

use crate::cli::{Shown, settings};
use crate::config::{Configuration, DatabaseUrl, Given, Settings, StorageUrl, absolute};
use crate::data_folder::{DataFolder, FolderError, Held};
use crate::{master_key, wire_up};

/// How long the database has to close.
const CLOSING: Duration = Duration::from_secs(10);

/// The data folder of a server that ran here, or, where everything is elsewhere, none. Refused when a running server is of
/// another version.
pub(crate) fn folder_of(settings: &Settings) -> Result<DataFolder, FolderError> {
    let path = &settings.general.data_dir;
    let folder = match DataFolder::existing(path) {
        Err(FolderError::Missing(_)) if keeps_nothing_here(settings) => {
            return if master_key::is_given(settings) {
                Ok(DataFolder::unused(path))
            } else {
                Err(FolderError::KeyNotGiven(absolute(path)))
            };
        }
        found => found?,
    };
    folder.check_running_server()?;
    Ok(folder)
}

fn keeps_nothing_here(settings: &Settings) -> bool {
    let database = matches!(settings.database.url, DatabaseUrl::Postgres(_));
    database && matches!(settings.storage.url, StorageUrl::Bucket { .. })
}

/// An installation that is there already.
pub(crate) struct Opened {
    pub(crate) settings: Settings,
    pub(crate) folder: DataFolder,
    pub(crate) db: Db,
    pub(crate) registry: Registry,
}

impl Opened {
    pub(crate) async fn new(given: &Given) -> anyhow::Result<Self> {
        let settings = Configuration::load(given)?.settings;
        let folder = folder_of(&settings)?;
        let key = master_key::for_command(&settings, &folder)?;
        let db = wire_up::open_database_beside(&settings, &folder)?;
        let clock = wire_up::clock_of(&db).await?;
        let registry = wire_up::open_registry(&settings, folder.path(), &db, &clock, &key).await?;
        Ok(Self {
            settings,
            folder,
            db,
            registry,
        })
    }

    /// Keeps servers from starting on the folder; `None` if one runs.
    pub(crate) fn lock(&self) -> anyhow::Result<Option<Held>> {
        match self.folder.lock() {
            Ok(held) => Ok(Some(held)),
            Err(FolderError::InUse { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// After a command that only looked: closing only tidies up, for which a full disk has no room.
    pub(crate) async fn leave(self) {
        let _ = self.close().await;
    }

    /// After a command that wrote.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        drop(self.registry);
        Ok(self.db.close(CLOSING).await?)
    }
}

/// What a command over something that servers do by themselves says of its parts.
pub(crate) struct Duty {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) status: &'static str,
    pub(crate) run: &'static str,
    pub(crate) examples: &'static str,
}

impl Duty {
    /// `NAME status` and `NAME run [--watch]`.
    pub(crate) fn command(&self) -> Command {
        let sub = |name: &'static str, about: &'static str| {
            Command::new(name)
                .about(about)
                .after_help(self.examples)
                .args(settings(Shown::Folder))
        };
        let watch = Arg::new("watch")
            .long("watch")
            .action(ArgAction::SetTrue)
            .help("Show how far it is until the end");
        Command::new(self.name)
            .about(self.about)
            .subcommand_required(true)
            .arg_required_else_help(true)
            .disable_help_subcommand(true)
            .after_help(self.examples)
            .args(settings(Shown::Folder))
            .subcommand(sub("status", self.status))
            .subcommand(sub("run", self.run).arg(watch))
    }
}
