//! Secrets of the configuration, which are given themselves or as a file.

use std::path::Path;

use anyhow::Context as _;
use lazuli_wire::token::Secret;

/// The secret with this key, or the text of the file that the key with `_file` at its end names, without white space around.
pub(crate) fn given(
    key: &str,
    secret: Option<&Secret>,
    file: Option<&Path>,
) -> anyhow::Result<Option<String>> {
    match (secret, file) {
        (Some(_), Some(_)) => {
            anyhow::bail!("{key} and {key}_file are both set; give one of them")
        }
        (Some(secret), None) => Ok(Some(secret.expose().to_owned())),
        (None, Some(path)) => read(path).map(Some),
        (None, None) => Ok(None),
    }
}

/// The text of a file with a secret, without white space around.
pub(crate) fn read(path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path);
    let text = text.with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text.trim().to_owned())
}
