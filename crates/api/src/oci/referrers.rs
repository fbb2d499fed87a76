//! `/v2/<name>/referrers/<digest>`

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, LINK};
use http::{Response, StatusCode};
use lazuli_identity::{Pull, RepositoryAccess};
use lazuli_wire::oci::media_type::OCI_INDEX;
use lazuli_wire::oci::{
    ARTIFACT_TYPE_FILTER, Digest, ErrorCode, Referrer, Route, artifact_type_filter, next_link,
    referrers_index,
};

use super::{Answer, Task, value};
use crate::body::Body;
use crate::errors::Refusal;

const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

/// Most referrers on a page.
const PAGE: usize = 1000;
/// A page ends with the referrer that makes it larger than this, in bytes of annotations.
const PAGE_BYTES: usize = 2 << 20;
/// Referrers read at once at first. Annotations may be megabytes, so more are read only when they turn out small.
const FIRST_READ: usize = 16;
/// Most referrers looked at for one page when not all of them are wanted.
const MOST_SEEN: usize = 10_000;

pub(super) async fn list(
    task: &mut Task<'_>,
    access: &RepositoryAccess<Pull>,
    subject: &Digest,
) -> Answer {
    let asked = task.page()?;
    let wanted = artifact_type_filter(&task.query()?);
    let last = asked.query.last.as_deref().map(Digest::parse).transpose();
    let last = last.map_err(|error| {
        Refusal::with(
            StatusCode::BAD_REQUEST,
            ErrorCode::DigestInvalid,
            error,
            None,
        )
    })?;
    let limit = (asked.limit as usize).min(PAGE);
    let page = gather(task, access, subject, &wanted, last, limit).await?;
    let mut response = Response::new(Body::full(referrers_index(&page.items)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(OCI_INDEX));
    if !wanted.is_empty() {
        let applied = HeaderValue::from_static(ARTIFACT_TYPE_FILTER);
        headers.insert(FILTERS_APPLIED, applied);
    }
    if let Some(last) = page.next {
        let (last, n) = (last.to_string(), limit.to_string());
        let place = Route::Referrers {
            name: access.repository().clone(),
            digest: *subject,
        };
        let filters = wanted
            .iter()
            .map(|wanted| (ARTIFACT_TYPE_FILTER, wanted.as_str()));
        let parameters = filters.chain([("last", last.as_str()), ("n", n.as_str())]);
        headers.insert(LINK, value(next_link(place, parameters)));
    }
    Ok(response)
}

/// A page, and after which digest the next one begins.
#[derive(Default)]
struct Gathered {
    items: Vec<Referrer>,
    next: Option<Digest>,
}

/// Reads a page in steps, so that memory is bounded by the page and not by what annotations could hold.
async fn gather(
    task: &Task<'_>,
    access: &RepositoryAccess<Pull>,
    subject: &Digest,
    wanted: &[String],
    mut last: Option<Digest>,
    limit: usize,
) -> Result<Gathered, Refusal> {
    let mut page = Gathered::default();
    let (mut bytes, mut seen, mut step) = (0, 0, FIRST_READ);
    while page.items.len() < limit {
        // The registry filters by one type; a choice of several is made here.
        let filter = match wanted {
            [one] => Some(one.clone()),
            _ => None,
        };
        let count = step.min(limit - page.items.len()) as u32;
        let read = task
            .api
            .registry
            .referrers(access, subject, filter, last, count)
            .await
            .map_err(|error| task.refusal(&error))?;
        let Some(newest) = read.items.last().map(|item| item.digest) else {
            break;
        };
        last = Some(newest);
        page.next = last.filter(|_| read.more);
        seen += read.items.len();
        for item in read.items {
            bytes += item.annotations.as_ref().map_or(0, String::len);
            let is_wanted = |types: &[String]| {
                types.len() < 2
                    || item
                        .artifact_type
                        .as_ref()
                        .is_some_and(|t| types.contains(t))
            };
            if is_wanted(wanted) {
                page.items.push(describe(item));
            }
        }
        if page.next.is_none() || bytes > PAGE_BYTES || seen > MOST_SEEN {
            break;
        }
        if bytes < PAGE_BYTES / 16 {
            step = (step * 4).min(256);
        }
    }
    Ok(page)
}

fn describe(item: lazuli_registry::referrers::Referrer) -> Referrer {
    let annotations = item.annotations.as_deref().map(serde_json::from_str);
    Referrer {
        media_type: item.media_type,
        digest: item.digest,
        size: item.size,
        artifact_type: item.artifact_type,
        // Written by the registry from what it had parsed.
        annotations: annotations.and_then(Result::ok).unwrap_or_default(),
    }
}
