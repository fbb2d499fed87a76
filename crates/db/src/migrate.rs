//! The schema's history, applied forward at opening.
//!
//! A migration's text never changes once it is released: its checksum is stored with it, and a database whose
//! checksums differ, or that knows a newer migration, is refused.

use crate::clock::{Clock, SystemClock};
use crate::dialect::Engine;
use crate::{Error, Result, Tx, params};

pub(crate) struct Migration {
    pub(crate) version: i64,
    pub(crate) name: &'static str,
    pub(crate) sql: &'static str,
}

/// All migrations, oldest first, numbered from 1 without gaps.
pub(crate) const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "init",
    sql: include_str!("../migrations/0001_init.sql"),
}];

/// The newest version that this program knows.
pub(crate) fn newest() -> i64 {
    MIGRATIONS.last().map_or(0, |last| last.version)
}

const TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (
  version {i64} NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  checksum TEXT NOT NULL,
  applied_at {i64} NOT NULL
) {table};";

/// Brings the schema up to the newest of `migrations`, within a transaction that nobody else is in.
pub(crate) fn apply(tx: &mut Tx<'_>, engine: Engine, migrations: &[Migration]) -> Result<()> {
    tx.batch(&engine.render_migration(TABLE))?;
    let applied = tx.query(
        "SELECT version, checksum FROM schema_migrations ORDER BY version",
        params![],
        |row| Ok((row.get_i64(0)?, row.get_string(1)?)),
    )?;
    let known = migrations.last().map_or(0, |last| last.version);
    if let Some((found, _)) = applied.last().filter(|(version, _)| *version > known) {
        return Err(Error::SchemaTooNew {
            found: *found,
            known,
        });
    }
    let now = SystemClock::new().now_us();
    for migration in migrations {
        let checksum = checksum(migration.sql);
        match applied
            .iter()
            .find(|(version, _)| *version == migration.version)
        {
            Some((_, stored)) if *stored == checksum => {}
            Some(_) => {
                return Err(Error::MigrationChanged {
                    version: migration.version,
                });
            }
            None => {
                tx.batch(&engine.render_migration(migration.sql))?;
                tx.execute(
                    "INSERT INTO schema_migrations (version, name, checksum, applied_at) VALUES (?1, ?2, ?3, ?4)",
                    params![migration.version, migration.name, &checksum, now],
                )?;
                tracing::info!(
                    version = migration.version,
                    name = migration.name,
                    "schema migrated"
                );
            }
        }
    }
    Ok(())
}

/// SHA-256 of the text as it is in the repository, in hexadecimal.
fn checksum(sql: &str) -> String {
    use sha2::Digest;
    use std::fmt::Write;
    sha2::Sha256::digest(sql.as_bytes())
        .iter()
        .fold(String::with_capacity(64), |mut out, byte| {
            let _ = write!(out, "{byte:02x}");
            out
        })
}
