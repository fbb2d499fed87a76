//! `Range` of reads (RFC 9110 §14.2) and `Content-Range` of uploaded chunks (distribution-spec, "Pushing a blob in chunks").

/// What a `Range` header asks of a representation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeOutcome {
    /// Serve all of it with 200: the header means nothing here, or asks for several ranges, which a server may ignore.
    Whole,
    /// Serve these bytes with 206. Both ends are inside the representation.
    Single {
        /// The first byte.
        start: u64,
        /// The last byte.
        end_inclusive: u64,
    },
    /// Nothing of it is inside the representation: 416 with `Content-Range: bytes */<size>`.
    Unsatisfiable,
}

/// Reads a `Range` header for a representation of `size` bytes.
pub fn parse_range(header: &str, size: u64) -> RangeOutcome {
    byte_range(header, size).unwrap_or(RangeOutcome::Whole)
}

/// `None`: not a valid single byte range.
fn byte_range(header: &str, size: u64) -> Option<RangeOutcome> {
    let (unit, ranges) = header.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    // A list has commas, which are no digits, and so falls through.
    let (first, last) = ranges.trim_matches([' ', '\t']).split_once('-')?;
    let last_byte = size.checked_sub(1);
    if first.is_empty() {
        let length = Decimal::parse(last)?.saturated();
        return match (length, last_byte) {
            (0, _) => Some(RangeOutcome::Unsatisfiable),
            // All of nothing cannot be written as a range.
            (_, None) => Some(RangeOutcome::Whole),
            (_, Some(end_inclusive)) => Some(RangeOutcome::Single {
                start: size.saturating_sub(length),
                end_inclusive,
            }),
        };
    }
    let first = Decimal::parse(first)?;
    let last = if last.is_empty() {
        None
    } else {
        Some(Decimal::parse(last)?)
    };
    if last.as_ref().is_some_and(|last| *last < first) {
        return None;
    }
    let start = first.saturated();
    let end = last.map_or(u64::MAX, |last| last.saturated());
    Some(match last_byte {
        Some(last_byte) if start <= last_byte => RangeOutcome::Single {
            start,
            end_inclusive: end.min(last_byte),
        },
        _ => RangeOutcome::Unsatisfiable,
    })
}

/// Digits of any number without leading zeros; ordered by value.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Decimal<'a> {
    length: usize,
    digits: &'a str,
}

impl<'a> Decimal<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let digits = text.trim_start_matches('0');
        Some(Self {
            length: digits.len(),
            digits,
        })
    }

    fn saturated(&self) -> u64 {
        if self.digits.is_empty() {
            0
        } else {
            self.digits.parse().unwrap_or(u64::MAX)
        }
    }
}

/// Why a `Content-Range` is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContentRangeError {
    /// It is not `<start>-<end>`.
    #[error("a chunk's Content-Range is '<start>-<end>', both inclusive")]
    Malformed,
    /// It ends before it starts.
    #[error("the range ends before it starts")]
    Reversed,
    /// It reaches beyond the largest size a blob can have.
    #[error("the range is too large")]
    TooLarge,
}

/// The largest size of a blob or descriptor in bytes: sizes are signed 64 bit numbers for most clients and in the database.
pub const MAX_SIZE: u64 = i64::MAX as u64;

/// Reads the `Content-Range` of an uploaded chunk: its first and last byte, both inclusive.
///
/// The specification's form is `<start>-<end>`; `bytes <start>-<end>/<total or *>`, the form of HTTP, is read too.
pub fn parse_content_range(header: &str) -> Result<(u64, u64), ContentRangeError> {
    let header = header.trim_matches([' ', '\t']);
    let (range, total) = match header.split_once(' ') {
        Some((unit, rest)) if unit.eq_ignore_ascii_case("bytes") => {
            let (range, total) = rest.split_once('/').ok_or(ContentRangeError::Malformed)?;
            (range, Some(total))
        }
        Some(_) => return Err(ContentRangeError::Malformed),
        None => (header, None),
    };
    let number = |text| Decimal::parse(text).ok_or(ContentRangeError::Malformed);
    let (start, end) = range.split_once('-').ok_or(ContentRangeError::Malformed)?;
    let (start, end) = (number(start)?, number(end)?);
    if let Some(total) = total.filter(|total| *total != "*")
        && number(total)? <= end
    {
        return Err(ContentRangeError::Malformed);
    }
    if end < start {
        return Err(ContentRangeError::Reversed);
    }
    let (start, end) = (start.saturated(), end.saturated());
    if end >= MAX_SIZE {
        Err(ContentRangeError::TooLarge)
    } else {
        Ok((start, end))
    }
}
