//! The key that seals the secrets in the database: the data folder's own, or, for nodes that share a database, a given one.

use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use crate::config::Settings;
use crate::data_folder::{DataFolder, Held};

pub(crate) const LENGTH: usize = 32;

/// What a key looks like, for messages.
const FORM: &str = "a master key is 32 bytes, as 64 hexadecimal digits or in base64 (`openssl rand -hex 32` makes one)";

/// The key for the process that holds the data folder: the given one, or the folder's, which is made at first start.
pub(crate) fn for_server(
    settings: &Settings,
    folder: &DataFolder,
    held: &Held,
) -> anyhow::Result<[u8; LENGTH]> {
    match given(settings)? {
        Some(key) => Ok(key),
        None => Ok(folder.master_key_or_new(held)?),
    }
}

/// The key for a command beside a server.
pub(crate) fn for_command(
    settings: &Settings,
    folder: &DataFolder,
) -> anyhow::Result<[u8; LENGTH]> {
    match given(settings)? {
        Some(key) => Ok(key),
        None => Ok(folder.master_key()?),
    }
}

/// Whether the configuration gives one.
pub(crate) fn is_given(settings: &Settings) -> bool {
    settings.general.master_key.is_some() || settings.general.master_key_file.is_some()
}

fn given(settings: &Settings) -> anyhow::Result<Option<[u8; LENGTH]>> {
    let general = &settings.general;
    match (&general.master_key, &general.master_key_file) {
        (Some(_), Some(_)) => {
            anyhow::bail!(
                "the master key is given twice: by LAZULI_MASTER_KEY and by master_key_file"
            )
        }
        (Some(text), None) => {
            let key = parse(text.expose().as_bytes());
            Ok(Some(key.with_context(|| {
                format!("LAZULI_MASTER_KEY is not a key: {FORM}")
            })?))
        }
        (None, Some(path)) => read(path).map(Some),
        (None, None) => Ok(None),
    }
}

fn read(path: &Path) -> anyhow::Result<[u8; LENGTH]> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&bytes).with_context(|| format!("{} is not a key: {FORM}", path.display()))
}

/// A key as text, or the 32 bytes themselves, as the file of a data folder has them.
fn parse(bytes: &[u8]) -> Option<[u8; LENGTH]> {
    if let Ok(key) = bytes.try_into() {
        return Some(key);
    }
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let decoded = match text.len() {
        64 => hexadecimal(text)?,
        44 => STANDARD.decode(text).ok()?,
        _ => STANDARD_NO_PAD.decode(text).ok()?,
    };
    decoded.try_into().ok()
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            let value = digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?;
            u8::try_from(value).ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_base64_and_the_bytes_themselves() {
        let key: [u8; LENGTH] = std::array::from_fn(|i| i as u8 * 7);
        let hex = key
            .iter()
            .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        assert_eq!(parse(&key), Some(key));
        assert_eq!(parse(hex.as_bytes()), Some(key));
        assert_eq!(
            parse(format!("{}\n", hex.to_uppercase()).as_bytes()),
            Some(key)
        );
        assert_eq!(parse(STANDARD.encode(key).as_bytes()), Some(key));
        assert_eq!(parse(STANDARD_NO_PAD.encode(key).as_bytes()), Some(key));
        let cut = hex.get(..62).unwrap_or_default();
        let spoiled = hex.replace('0', "x");
        for wrong in ["", "short", cut, &spoiled, &STANDARD.encode([1; 31])] {
            assert_eq!(parse(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
