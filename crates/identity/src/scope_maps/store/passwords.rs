//! The passwords of tokens.

use lazuli_db::{Error, Result, Tx, params};

use super::{ScopeMapError, token};
use crate::principal::RegistryId;
use crate::rbac::policy;
use crate::scope_maps::GeneratedTokenPassword;

/// Which of a token's two passwords.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenPasswordName {
    /// `password1`
    First,
    /// `password2`
    Second,
}

impl TokenPasswordName {
    /// Its name in Azure's interface and in rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::First => "password1",
            Self::Second => "password2",
        }
    }

    /// The password of a name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::First, Self::Second]
            .into_iter()
            .find(|password| password.as_str() == name)
    }
}

/// What is told about a token's password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenPassword {
    /// Which one.
    pub name: TokenPasswordName,
    /// Microseconds since the Unix epoch.
    pub created_at: i64,
    /// Microseconds since the Unix epoch; `None`: never.
    pub expires_at: Option<i64>,
}

/// The passwords of a token.
pub fn list_passwords(
    tx: &mut Tx<'_>,
    registry: RegistryId,
    token: &str,
) -> Result<Vec<TokenPassword>> {
    let rows = tx.query(
        "SELECT name, created_at, expires_at FROM credentials
         WHERE registry_id = ?1 AND kind = 'token' AND owner = ?2 ORDER BY name LIMIT 10",
        params![registry.get(), &token.to_lowercase()],
        |row| {
            let name = TokenPasswordName::parse(row.get_text(0)?);
            Ok(TokenPassword {
                name: name.ok_or(Error::Corrupt("credentials.name"))?,
                created_at: row.get_i64(1)?,
                expires_at: row.get_i64_opt(2)?,
            })
        },
    )?;
    Ok(rows)
}

/// Sets one of a token's passwords.
pub fn put_password(
    tx: &mut Tx<'_>,
    registry: RegistryId,
    token_name: &str,
    which: TokenPasswordName,
    password: &GeneratedTokenPassword,
    expires_at: Option<i64>,
    now: i64,
) -> std::result::Result<(), ScopeMapError> {
    if token(tx, registry, token_name)?.is_none() {
        return Err(ScopeMapError::UnknownToken(token_name.to_owned()));
    }
    let hash = &password.hash;
    tx.execute(
        "INSERT INTO credentials (registry_id, kind, owner, name, salt, iterations, hash, created_at, expires_at)
         VALUES (?1, 'token', ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (registry_id, kind, owner, name) DO UPDATE SET salt = excluded.salt,
           iterations = excluded.iterations, hash = excluded.hash, created_at = excluded.created_at,
           expires_at = excluded.expires_at",
        params![
            registry.get(),
            &token_name.to_lowercase(),
            which.as_str(),
            hash.salt(),
            hash.iterations(),
            hash.hash(),
            now,
            expires_at
        ],
    )?;
    policy::bump(tx)?;
    Ok(())
}

/// Changes until when a password counts, or removes it when it is not in `keep`: what a token's PATCH does.
pub fn keep_passwords(
    tx: &mut Tx<'_>,
    registry: RegistryId,
    token_name: &str,
    keep: &[(TokenPasswordName, Option<i64>)],
) -> Result<()> {
    let owner = token_name.to_lowercase();
    for known in list_passwords(tx, registry, token_name)? {
        match keep.iter().find(|(name, _)| *name == known.name) {
            Some((_, expires_at)) if *expires_at == known.expires_at => {}
            Some((_, expires_at)) => {
                tx.execute(
                    "UPDATE credentials SET expires_at = ?4
                     WHERE registry_id = ?1 AND kind = 'token' AND owner = ?2 AND name = ?3",
                    params![registry.get(), &owner, known.name.as_str(), *expires_at],
                )?;
            }
            None => {
                tx.execute(
                    "DELETE FROM credentials
                     WHERE registry_id = ?1 AND kind = 'token' AND owner = ?2 AND name = ?3",
                    params![registry.get(), &owner, known.name.as_str()],
                )?;
            }
        }
    }
    policy::bump(tx)
}
