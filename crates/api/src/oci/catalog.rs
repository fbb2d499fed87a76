//! `/v2/_catalog`, and the paging it shares with the list of tags.

use std::fmt::Display;

use http::StatusCode;
use http::header::LINK;
use lazuli_identity::CatalogAccess;
use lazuli_registry::listing::{Page, PageRequest};
use lazuli_wire::oci::{ErrorCode, OrderBy, PageError, PageQuery, Route, next_page_link};
use serde::Serialize;

use super::{Answer, Task, json, value};
use crate::body::Body;
use crate::errors::Refusal;

/// Names on a page when the client does not say, and the most on any.
const PAGE: usize = 1000;

#[derive(Serialize)]
struct Catalog<'a> {
    repositories: &'a [Box<str>],
}

pub(super) async fn list(task: &mut Task<'_>, access: &CatalogAccess) -> Answer {
    let asked = task.page()?;
    let page = task.api.registry.catalog(access, asked.request()).await;
    let page = page.map_err(|error| task.refusal(&error))?;
    let body = page.rendered(|page| {
        let list = Catalog {
            repositories: &page.names,
        };
        // Text only: serialising into memory has no way to fail.
        serde_json::to_vec(&list).unwrap_or_default().into()
    });
    let mut response = json(Body::full(body.clone()));
    if let Some(link) = asked.link_after(&page, || Route::Catalog) {
        response.headers_mut().insert(LINK, value(link));
    }
    Ok(response)
}

/// A page as it was asked for, and as it is given.
pub(crate) struct Asked {
    pub(crate) query: PageQuery,
    pub(crate) limit: u32,
}

impl Task<'_> {
    /// The paging parameters of the request.
    pub(super) fn page(&self) -> Result<Asked, Refusal> {
        self.page_of(PAGE)
    }

    /// As [`Self::page`], with another size where the client asks for none.
    pub(crate) fn page_of(&self, default: usize) -> Result<Asked, Refusal> {
        let query = PageQuery::parse(&self.query()?).map_err(|error| {
            let code = match error {
                PageError::NumberInvalid => ErrorCode::PaginationNumberInvalid,
                PageError::LastInvalid
                | PageError::OrderInvalid
                | PageError::PositionInvalid
                | PageError::Query(_) => ErrorCode::Unsupported,
            };
            Refusal::with(StatusCode::BAD_REQUEST, code, error, None)
        })?;
        let limit = query.size(default, PAGE) as u32;
        Ok(Asked { query, limit })
    }
}

impl Asked {
    /// The link to the next page, if there is one. Nobody who asks for no names wants a next page.
    pub(crate) fn link_after<R: Display>(
        &self,
        page: &Page,
        place: impl FnOnce() -> R,
    ) -> Option<String> {
        let last = page.names.last().filter(|_| page.more)?;
        Some(self.link(place(), last, page.at))
    }

    /// The link to the page after `last`, which was updated at that time if the order is by time.
    pub(crate) fn link(&self, place: impl Display, last: &str, at: Option<i64>) -> String {
        let by_time = self.query.order_by != OrderBy::Name;
        let at = at.filter(|_| by_time);
        next_page_link(place, last, self.limit as usize, self.query.order_by, at)
    }

    /// What the registry is asked for.
    pub(crate) fn request(&self) -> PageRequest<'_> {
        PageRequest {
            last: self.query.last.as_deref(),
            limit: self.limit,
            order_by: self.query.order_by,
            at: self.query.at,
        }
    }
}
