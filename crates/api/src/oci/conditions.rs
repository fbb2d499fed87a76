//! Conditional requests (RFC 9110, section 13). A condition that is not understood is refused, never ignored.

use http::StatusCode;
use http::header::{HeaderMap, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use lazuli_registry::manifests::Condition;
use lazuli_wire::oci::{Digest, ErrorCode, Reference};

use crate::errors::Refusal;

/// Whether the client has this content already (`If-None-Match`). Refused when it wants other content (`If-Match`); `code`
/// says what it then does not find.
pub(super) fn is_known(
    headers: &HeaderMap,
    entity_tag: &[u8],
    code: ErrorCode,
) -> Result<bool, Refusal> {
    let mut wanted = headers.get_all(IF_MATCH).iter().peekable();
    // Only strong tags match here (RFC 9110, section 13.1.1).
    if wanted.peek().is_some() && !wanted.any(|value| lists(value, entity_tag, false)) {
        return Err(Refusal::with(
            StatusCode::PRECONDITION_FAILED,
            code,
            "the content is not what If-Match names",
            None,
        ));
    }
    let mut had = headers.get_all(IF_NONE_MATCH).iter();
    Ok(had.any(|value| lists(value, entity_tag, true)))
}

/// Whether a list of entity tags has this one, or is `*`.
fn lists(value: &HeaderValue, entity_tag: &[u8], is_weak_enough: bool) -> bool {
    let strip = |tag| {
        let strong = <[u8]>::strip_prefix(tag, b"W/").filter(|_| is_weak_enough);
        strong.unwrap_or(tag)
    };
    value
        .as_bytes()
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .any(|tag| tag == b"*" || strip(tag) == entity_tag)
}

/// Deletions and uploads take no conditions.
pub(super) fn refuse(headers: &HeaderMap) -> Result<(), Refusal> {
    for name in [IF_MATCH, IF_NONE_MATCH] {
        if headers.contains_key(&name) {
            return Err(unsupported(
                "this request takes no condition; send it without If-Match and If-None-Match",
            ));
        }
    }
    Ok(())
}

/// What the tag has to be that a manifest is pushed to.
pub(super) fn of_push(
    headers: &HeaderMap,
    reference: &Reference,
) -> Result<Option<Condition>, Refusal> {
    // Of several fields each would have to hold; only one is understood.
    let text = |name| {
        let mut values = headers.get_all(name).iter();
        let value: &HeaderValue = values.next()?;
        let is_alone = values.next().is_none();
        Some(
            value
                .to_str()
                .ok()
                .filter(|_| is_alone)
                .map_or("", str::trim),
        )
    };
    let condition = match (text(IF_MATCH), text(IF_NONE_MATCH)) {
        (None, None) => return Ok(None),
        (Some("*"), None) => Some(Condition::Exists),
        (None, Some("*")) => Some(Condition::Absent),
        (Some(tag), None) => quoted(tag).map(Condition::Names),
        _ => None,
    };
    match condition {
        Some(condition) if reference.tag().is_some() => Ok(Some(condition)),
        Some(_) => Err(unsupported("only a push by tag takes a condition")),
        None => Err(unsupported(
            "a push takes If-Match: \"<digest the tag names>\", If-Match: * or If-None-Match: *",
        )),
    }
}

fn quoted(text: &str) -> Option<Digest> {
    let text = text.strip_prefix('"')?.strip_suffix('"')?;
    Digest::parse(text).ok()
}

fn unsupported(message: &'static str) -> Refusal {
    Refusal::with(
        StatusCode::BAD_REQUEST,
        ErrorCode::Unsupported,
        message,
        None,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_tags_are_found_in_lists() {
        let value = HeaderValue::from_static;
        let list = |text| lists(&value(text), b"\"a\"", true);
        assert!(list("\"a\"") && list("\"b\", \"a\"") && list("W/\"a\"") && list("*"));
        assert!(!list("\"b\"") && !list("a") && !list("") && !list("\"a\"b"));
        assert!(!lists(&value("W/\"a\""), b"\"a\"", false));
    }
}
