//! Paging of listings (distribution-spec, "Listing Tags"; RFC 8288 links) with Azure's `orderby`.

use std::fmt::{self, Write as _};

use crate::percent::Encoded;
use crate::query::{Query, QueryError};

/// The order of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OrderBy {
    /// By name, in byte order.
    #[default]
    Name,
    /// The most recently updated first.
    TimeDescending,
    /// The least recently updated first.
    TimeAscending,
}

impl OrderBy {
    /// Reads the parameter.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "" | "none" => Some(Self::Name),
            "timedesc" => Some(Self::TimeDescending),
            "timeasc" => Some(Self::TimeAscending),
            _ => None,
        }
    }

    /// The parameter, as links carry it: empty for the default.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "",
            Self::TimeDescending => "timedesc",
            Self::TimeAscending => "timeasc",
        }
    }
}

/// What part of a listing is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PageQuery {
    /// How many entries at most; the server has a limit of its own. 0 asks for none, and then there is no next page.
    pub n: Option<u64>,
    /// The entry before the first one wanted. It need not exist.
    pub last: Option<String>,
    /// The order.
    pub order_by: OrderBy,
    /// Of a listing by time, when the entry `last` was updated, in microseconds: it may have been updated again since. Only
    /// links of this registry carry it.
    pub at: Option<i64>,
}

/// Why paging parameters are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// `n` is no number. Clients see `PAGINATION_NUMBER_INVALID`.
    #[error("n must be a non-negative integer")]
    NumberInvalid,
    /// `last` is longer than any name.
    #[error("last is too long")]
    LastInvalid,
    /// `orderby` is unknown.
    #[error("orderby must be none, timedesc or timeasc")]
    OrderInvalid,
    /// `at` is no time.
    #[error("at must be as the link to this page has it")]
    PositionInvalid,
    /// A parameter is given twice.
    #[error(transparent)]
    Query(#[from] QueryError),
}

impl PageQuery {
    /// The longest `last` in bytes: the longest repository name.
    pub const MAX_LAST: usize = super::RepositoryName::MAX_LENGTH;

    /// Reads the parameters. An empty one is an absent one. A number too large for its type is the largest.
    pub fn parse(query: &Query<'_>) -> Result<Self, PageError> {
        let single =
            |name| Ok::<_, PageError>(query.single(name)?.filter(|value| !value.is_empty()));
        let n = single("n")?.map(number).transpose()?;
        let last = single("last")?;
        if last.is_some_and(|last| last.len() > Self::MAX_LAST) {
            return Err(PageError::LastInvalid);
        }
        let order_by = OrderBy::parse(single("orderby")?.unwrap_or_default())
            .ok_or(PageError::OrderInvalid)?;
        let at = single("at")?.map(position).transpose()?;
        Ok(Self {
            n,
            last: last.map(str::to_owned),
            order_by,
            at,
        })
    }

    /// How many entries to serve: what was asked for, or `default`, and never more than `max`.
    pub fn size(&self, default: usize, max: usize) -> usize {
        let wanted = self
            .n
            .map_or(default, |n| usize::try_from(n).unwrap_or(usize::MAX));
        wanted.min(max)
    }
}

fn number(text: &str) -> Result<u64, PageError> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(text.parse().unwrap_or(u64::MAX))
    } else {
        Err(PageError::NumberInvalid)
    }
}

fn position(text: &str) -> Result<i64, PageError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let position = text.parse().ok().filter(|_| digits);
    position.ok_or(PageError::PositionInvalid)
}

/// The value of a `Link` header to the next page: relative, its parameters percent-encoded.
///
/// `path` is written as it is: routes consist of characters that need no escape.
pub fn next_link<'a>(
    path: impl fmt::Display,
    parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> String {
    let mut link = format!("<{path}");
    for (index, (name, value)) in parameters.into_iter().enumerate() {
        let separator = if index == 0 { '?' } else { '&' };
        // Writing to a string cannot fail.
        let _ = write!(link, "{separator}{name}={}", Encoded(value));
    }
    link.push_str(">; rel=\"next\"");
    link
}

/// The link to the page of `n` entries after `last`, with `orderby` even where it is empty, as Azure writes it. `at`: when `last`
/// was updated, in a listing by time.
pub fn next_page_link(
    path: impl fmt::Display,
    last: &str,
    n: usize,
    order_by: OrderBy,
    at: Option<i64>,
) -> String {
    let (n, at) = (n.to_string(), at.map(|at| at.to_string()));
    let page = [("last", last), ("n", &n), ("orderby", order_by.as_str())];
    let at = at.as_deref().map(|at| ("at", at));
    next_link(path, page.into_iter().chain(at))
}
