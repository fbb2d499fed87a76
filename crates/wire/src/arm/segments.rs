//! Paths taken apart.

use std::borrow::Cow;

use super::route::RouteError;
use crate::percent;

/// The longest path, in bytes.
const MAX_PATH: usize = 4096;
/// The most segments.
const MAX_SEGMENTS: usize = 40;

/// The segments of a path, decoded once.
pub(super) fn split(path: &str) -> Result<Vec<Cow<'_, str>>, RouteError> {
    if path.len() > MAX_PATH || !path.starts_with('/') {
        return Err(RouteError::Malformed);
    }
    let mut segments = Vec::new();
    // Clients leave parts of a template empty: `providers/NAMESPACE//TYPE/NAME`.
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        if segments.len() == MAX_SEGMENTS {
            return Err(RouteError::Malformed);
        }
        let segment = decode(segment).ok_or(RouteError::Malformed)?;
        if matches!(&*segment, "." | "..") || segment.chars().any(|c| !is_plain(c)) {
            return Err(RouteError::Malformed);
        }
        segments.push(segment);
    }
    Ok(segments)
}

/// Whether a character may be in a name: what could make structure, or be decoded again, is in none.
fn is_plain(character: char) -> bool {
    !character.is_control()
        && !matches!(
            character,
            '/' | '\\' | '%' | '?' | '#' | '"' | '\'' | '<' | '>'
        )
}

fn decode(segment: &str) -> Option<Cow<'_, str>> {
    let bytes = segment.as_bytes();
    if !bytes.contains(&b'%') {
        return Some(Cow::Borrowed(segment));
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut position = 0;
    while let Some(byte) = bytes.get(position) {
        let (byte, length) = if *byte == b'%' {
            (percent::escape(&bytes[position..])?, 3)
        } else {
            (*byte, 1)
        };
        decoded.push(byte);
        position += length;
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}
