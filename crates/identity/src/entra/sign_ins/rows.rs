//! Rows of sign-ins.

use lazuli_db::{Tx, params};

use super::SignIn;

/// Microseconds between two questions below which it is told to slow down: less than the interval, for clocks differ.
const TOO_SOON: i64 = 2_000_000;

/// Most sign-ins under way.
const MOST: i64 = 10_000;

pub(super) fn insert(
    tx: &mut Tx<'_>,
    id: &[u8],
    kind: &str,
    user_code: Option<&[u8]>,
    sign_in: &SignIn,
    now: i64,
    expires_at: i64,
) -> Result<bool, lazuli_db::Error> {
    tx.execute("DELETE FROM sign_ins WHERE expires_at < ?1", params![now])?;
    let count = tx.query_one("SELECT count(*) FROM sign_ins", params![], |row| {
        row.get_i64(0)
    })?;
    if count.unwrap_or(0) >= MOST {
        return Ok(false);
    }
    // Texts: serialising into memory has no way to fail.
    let state = serde_json::to_string(sign_in).unwrap_or_default();
    let added = tx.execute(
        "INSERT INTO sign_ins (id, kind, user_code, state, polled_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO NOTHING",
        params![id, kind, user_code, &state, 0_i64, expires_at],
    )?;
    Ok(added == 1)
}

pub(super) fn take_code(
    tx: &mut Tx<'_>,
    id: &[u8],
    now: i64,
) -> Result<Option<SignIn>, lazuli_db::Error> {
    let found = tx.query_one(
        "SELECT state, expires_at FROM sign_ins WHERE id = ?1 AND kind = 'code'",
        params![id],
        |row| Ok((row.get_string(0)?, row.get_i64(1)?)),
    )?;
    tx.execute(
        "DELETE FROM sign_ins WHERE id = ?1 AND kind = 'code'",
        params![id],
    )?;
    let found = found.filter(|(_, expires_at)| now < *expires_at);
    Ok(found.and_then(|(state, _)| serde_json::from_str(&state).ok()))
}

/// What a device is told.
pub(super) enum Polled {
    Over,
    TooSoon,
    Pending,
    Declined,
    SignedIn(Box<SignIn>),
}

pub(super) fn poll(tx: &mut Tx<'_>, id: &[u8], now: i64) -> Result<Polled, lazuli_db::Error> {
    let found = tx.query_one(
        "SELECT state, polled_at, expires_at FROM sign_ins WHERE id = ?1 AND kind = 'device'",
        params![id],
        |row| Ok((row.get_string(0)?, row.get_i64(1)?, row.get_i64(2)?)),
    )?;
    let Some((state, polled_at, expires_at)) = found else {
        return Ok(Polled::Over);
    };
    let sign_in: Option<SignIn> = serde_json::from_str(&state).ok();
    let outcome = match sign_in {
        _ if now >= expires_at => Polled::Over,
        None => Polled::Over,
        Some(sign_in) if sign_in.declined => Polled::Declined,
        Some(sign_in) if sign_in.user.is_some() => Polled::SignedIn(Box::new(sign_in)),
        Some(_) if now - polled_at < TOO_SOON => Polled::TooSoon,
        Some(_) => Polled::Pending,
    };
    if matches!(outcome, Polled::Pending | Polled::TooSoon) {
        tx.execute(
            "UPDATE sign_ins SET polled_at = ?2 WHERE id = ?1",
            params![id, now],
        )?;
    } else {
        tx.execute("DELETE FROM sign_ins WHERE id = ?1", params![id])?;
    }
    Ok(outcome)
}

pub(super) fn waiting(
    tx: &mut Tx<'_>,
    user_code: &[u8],
    now: i64,
) -> Result<Option<SignIn>, lazuli_db::Error> {
    let found = tx.query_one(
        "SELECT state, expires_at FROM sign_ins WHERE user_code = ?1 AND kind = 'device'",
        params![user_code],
        |row| Ok((row.get_string(0)?, row.get_i64(1)?)),
    )?;
    let found = found.filter(|(_, expires_at)| now < *expires_at);
    let found: Option<SignIn> = found.and_then(|(state, _)| serde_json::from_str(&state).ok());
    Ok(found.filter(|sign_in| sign_in.user.is_none() && !sign_in.declined))
}
