//! The subcommands. Each module declares its part of the command line and runs it.

pub(crate) mod admin;
pub(crate) mod az_env;
pub(crate) mod backup;
pub(crate) mod config;
pub(crate) mod fsck;
pub(crate) mod gc;
pub(crate) mod healthcheck;
pub(crate) mod identity;
pub(crate) mod import;
pub(crate) mod migrate;
mod opened;
pub(crate) mod rebuild;
pub(crate) mod scrub;
mod ticker;

use clap::Command;

/// The subcommands besides those of `cli`.
pub(crate) fn declared() -> Vec<Command> {
    vec![
        admin::command(),
        identity::command(),
        az_env::command(),
        gc::command(),
        fsck::command(),
        scrub::command(),
        backup::command(),
        backup::restore_command(),
        rebuild::command(),
        healthcheck::command(),
        import::command(),
        migrate::command(),
    ]
}
