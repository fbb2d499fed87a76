//! Pages of lists: `$top`, `$skiptoken`, `nextLink`.

use std::fmt::Write as _;

use super::Task;
use super::answer::{Answer, Refused};
use lazuli_wire::query::Query;
use serde_json::{Value, json};

/// Entries of a page at most.
pub(super) const MOST: u32 = 500;

/// Which page is asked for.
pub(super) struct Asked {
    /// Entries at most.
    pub(super) limit: u32,
    /// The key of the last entry of the page before; empty for the first.
    pub(super) after: String,
}

impl Task<'_> {
    /// The page a client asks for.
    pub(super) fn page(&self) -> Result<Asked, Refused> {
        let limit = match self.parameter("$top")? {
            None => MOST,
            Some(text) => match text.parse::<u32>() {
                Ok(limit) if limit > 0 => limit.min(MOST),
                _ => return Err(Refused::bad_query()),
            },
        };
        let after = self.parameter("$skiptoken")?.unwrap_or_default();
        Ok(Asked {
            limit,
            after: after.to_owned(),
        })
    }

    /// A page, with where the next one is. `next`: the key of the last entry that was looked at, if there may be more.
    pub(super) fn paged(&self, items: Vec<Value>, next: Option<&str>) -> Answer {
        let mut body = json!({"value": Value::Array(items)});
        if let Some(next) = next {
            body["nextLink"] = json!(self.next_link(next));
        }
        Answer::ok(body)
    }

    fn next_link(&self, after: &str) -> String {
        let uri = &self.request.parts.uri;
        let path = format!("/{}", uri.path().trim_start_matches('/'));
        let mut link = format!("{}{path}?", self.endpoints.management);
        let is_token = |name: &str| name.eq_ignore_ascii_case("$skiptoken");
        for (name, value) in self.query.iter().filter(|(name, _)| !is_token(name)) {
            let _ = write!(link, "{}={}&", Query::encode(name), Query::encode(value));
        }
        let _ = write!(link, "%24skiptoken={}", Query::encode(after));
        link
    }
}
