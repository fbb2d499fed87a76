//! The address of a PostgreSQL server, as libpq reads it. The driver knows most of it; how the server proves who it is, we read.

use std::path::PathBuf;

use tokio_postgres::Config;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};

use super::tls::{Tls, Verify};
use crate::{Error, Result};

/// Reads a URL or a list of `key=value`.
pub(super) fn parse(address: &str) -> Result<(Config, Tls)> {
    let (rest, pairs) =
        if address.starts_with("postgres://") || address.starts_with("postgresql://") {
            split_url(address)?
        } else {
            split_list(address)?
        };
    let mut config: Config = rest.parse().map_err(|e: tokio_postgres::Error| {
        // The text may hold a password, so it is not repeated.
        let cause = std::error::Error::source(&e)
            .map(|cause| format!(": {cause}"))
            .unwrap_or_default();
        unreadable(&format!("{e}{cause}"))
    })?;
    let find = |name: &str| {
        let pair = pairs.iter().rev().find(|(key, _)| key == name);
        pair.map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    };
    let roots = find("sslrootcert").filter(|path| *path != "system");
    let (mode, verify) = match find("sslmode") {
        None | Some("prefer" | "allow") => (SslMode::Prefer, Verify::Nothing),
        Some("disable") => (SslMode::Disable, Verify::Nothing),
        // As libpq does: who names a root wants it to be looked at.
        Some("require") if roots.is_some() => (SslMode::Require, Verify::Authority),
        Some("require") => (SslMode::Require, Verify::Nothing),
        Some("verify-ca") => (SslMode::Require, Verify::Authority),
        Some("verify-full") => (SslMode::Require, Verify::Name),
        Some(_) => return Err(unreadable("unknown value of sslmode")),
    };
    let certificate = match (find("sslcert"), find("sslkey")) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some((PathBuf::from(certificate), PathBuf::from(key))),
        _ => return Err(unreadable("sslcert and sslkey belong together")),
    };
    config.ssl_mode(mode);
    // A standby cannot serve: it takes no writes, and lags behind what its primary has acknowledged.
    if config.get_target_session_attrs() == TargetSessionAttrs::Any {
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    }
    let tls = Tls {
        verify,
        roots: roots.map(PathBuf::from),
        certificate,
    };
    Ok((config, tls))
}

fn unreadable(why: &str) -> Error {
    Error::Unsuitable(format!("the PostgreSQL address cannot be read: {why}").into())
}

/// What the driver does not read, or not all values of.
fn is_ours(key: &str) -> bool {
    ["sslmode", "sslrootcert", "sslcert", "sslkey"].contains(&key)
}

type Pairs = Vec<(String, String)>;

fn split_url(address: &str) -> Result<(String, Pairs)> {
    let Some((base, query)) = address.split_once('?') else {
        return Ok((address.to_owned(), Vec::new()));
    };
    let (mut kept, mut ours) = (Vec::new(), Vec::new());
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some((key, value)) if is_ours(key) => ours.push((key.to_owned(), decode(value)?)),
            _ => kept.push(pair),
        }
    }
    let separator = if kept.is_empty() { "" } else { "?" };
    Ok((format!("{base}{separator}{}", kept.join("&")), ours))
}

fn decode(text: &str) -> Result<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let value = digit().and_then(|high| Some(high << 4 | digit()?));
        out.push(
            value
                .and_then(|value| u8::try_from(value).ok())
                .ok_or_else(|| unreadable("a percent sign that encodes nothing"))?,
        );
    }
    String::from_utf8(out).map_err(|_| unreadable("text that is not UTF-8"))
}

/// `key = 'value'`, with backslashes before quotation marks and backslashes.
fn split_list(address: &str) -> Result<(String, Pairs)> {
    let (mut kept, mut ours) = (String::new(), Vec::new());
    let mut rest = address.trim_start();
    while !rest.is_empty() {
        let Some((key, after)) = rest.split_once('=') else {
            // The driver says what is wrong with it.
            kept.push_str(rest);
            break;
        };
        let after = after.trim_start();
        let (value, length) = value_of(after)?;
        let key = key.trim();
        if is_ours(key) {
            ours.push((key.to_owned(), value));
        } else {
            kept.push_str(key);
            kept.push('=');
            kept.push_str(&after[..length]);
            kept.push(' ');
        }
        rest = after[length..].trim_start();
    }
    Ok((kept, ours))
}

/// The value at the beginning of the text, and how many bytes of the text it takes.
fn value_of(text: &str) -> Result<(String, usize)> {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut characters = text.char_indices().skip(usize::from(quoted));
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return Ok((value, at + 1)),
            space if !quoted && space.is_whitespace() => return Ok((value, at)),
            other => value.push(other),
        }
    }
    if quoted {
        return Err(unreadable("a quotation mark that is not closed"));
    }
    Ok((value, text.len()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio_postgres::config::Host;

    use super::*;

    #[test]
    fn both_forms_of_an_address() {
        for address in [
            "postgres://u:p%40ss@h/d?sslmode=verify-full&sslrootcert=%2Fa%20b%2Fca.pem&connect_timeout=7",
            r"host=h user=u password='p@ss' dbname = d sslmode=verify-full sslrootcert='/a b/ca.pem' connect_timeout=7",
        ] {
            let (config, tls) = parse(address).unwrap();
            assert_eq!(config.get_user(), Some("u"));
            assert_eq!(config.get_password(), Some(&b"p@ss"[..]));
            assert_eq!(config.get_dbname(), Some("d"));
            assert_eq!(config.get_hosts(), [Host::Tcp("h".to_owned())]);
            assert_eq!(config.get_connect_timeout().unwrap().as_secs(), 7);
            assert_eq!(config.get_ssl_mode(), SslMode::Require);
            assert_eq!(tls.verify, Verify::Name);
            assert_eq!(tls.roots.unwrap().to_str(), Some("/a b/ca.pem"));
        }
    }

    #[test]
    fn modes_mean_what_libpq_means() {
        let mode = |text: &str| {
            let (config, tls) = parse(&format!("postgres://h/d{text}")).unwrap();
            (config.get_ssl_mode(), tls.verify)
        };
        assert_eq!(mode(""), (SslMode::Prefer, Verify::Nothing));
        assert_eq!(
            mode("?sslmode=disable"),
            (SslMode::Disable, Verify::Nothing)
        );
        assert_eq!(
            mode("?sslmode=require"),
            (SslMode::Require, Verify::Nothing)
        );
        assert_eq!(
            mode("?sslmode=require&sslrootcert=/ca"),
            (SslMode::Require, Verify::Authority)
        );
        assert_eq!(
            mode("?sslmode=verify-ca"),
            (SslMode::Require, Verify::Authority)
        );
        assert_eq!(
            mode("?sslrootcert=system&sslmode=verify-full"),
            (SslMode::Require, Verify::Name)
        );
    }

    #[test]
    fn several_hosts_are_asked_for_the_one_that_writes() {
        let (config, _) = parse("postgres://u@a:1,b:2/d").unwrap();
        assert_eq!(config.get_hosts().len(), 2);
        assert_eq!(config.get_ports(), [1, 2]);
        assert_eq!(
            config.get_target_session_attrs(),
            TargetSessionAttrs::ReadWrite
        );
    }

    #[test]
    fn what_cannot_be_read_is_refused_without_repeating_it() {
        for address in [
            "postgres://u:secret@h/d?sslmode=sometimes",
            "postgres://u:secret@h/d?sslcert=/a",
            "postgres://u:secret@h/d?sslrootcert=%zz",
            "postgres://u:secret@h/d?secret=1",
            "password='secret",
            "password=secret nonsense",
        ] {
            let refused = parse(address).err().unwrap().to_string();
            assert!(refused.contains("cannot be read"), "{refused}");
            assert!(!refused.contains("secret@"), "{refused}");
        }
    }
}
