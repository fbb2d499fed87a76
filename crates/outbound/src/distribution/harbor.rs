//! Harbor lists its repositories by an API of its own (`/api/v2.0`): its catalog is for administrators only. Everything else is
//! the distribution protocol.

use http::{Method, StatusCode};
use serde::Deserialize;

use super::remote::{Call, unexpected};
use super::{Error, Remote};

/// What the credentials for the API are remembered by. It knows passwords only, and does not ask for them: who shows none is
/// told of public projects.
const SCOPE: &str = "harbor";
/// The most that Harbor gives at once.
const PAGE: usize = 100;
/// Pages read of one list.
const MOST_PAGES: usize = 100_000;

impl Remote {
    /// The names of all repositories that can be known: by the API of Harbor, if this is one, else by the catalog.
    pub async fn repositories(&self) -> Result<Vec<String>, Error> {
        if !self.is_harbor().await? {
            return self.catalog().await;
        }
        match self.harbor_repositories().await {
            // A robot that may not list projects may still be allowed to see the catalog.
            Err(denied @ Error::Denied { .. }) => self.catalog().await.map_err(|_| denied),
            listed => listed,
        }
    }

    fn api(&self, path: &[&str], query: &str) -> Result<Call, Error> {
        let mut call = self.call(Method::GET, "/api/v2.0", SCOPE.to_owned())?;
        if let Ok(mut segments) = call.url.path_segments_mut() {
            segments.extend(path);
        }
        call.url.set_query((!query.is_empty()).then_some(query));
        Ok(call)
    }

    /// Whether the registry says that it is a Harbor.
    async fn is_harbor(&self) -> Result<bool, Error> {
        let answer = self.make(self.api(&["systeminfo"], "")?).await?;
        if answer.status() != StatusCode::OK {
            return Ok(false);
        }
        // Whatever else answers here is another program.
        let bytes = answer.bytes().await.unwrap_or_default();
        Ok(is_harbor(&bytes))
    }

    async fn harbor_repositories(&self) -> Result<Vec<String>, Error> {
        self.show_password(SCOPE);
        let projects = self.all(&["projects"], "&with_detail=false").await?;
        let mut found = Vec::new();
        for project in &projects {
            let of_project = self.all(&["projects", project, "repositories"], "").await?;
            found.extend(of_project);
        }
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// The names of all that a list has.
    async fn all(&self, path: &[&str], more: &str) -> Result<Vec<String>, Error> {
        let mut found = Vec::new();
        for page in 1..=MOST_PAGES {
            let query = format!("page={page}&page_size={PAGE}{more}");
            let answer = self.make(self.api(path, &query)?).await?;
            if answer.status() != StatusCode::OK {
                return Err(unexpected(answer).await);
            }
            let url = answer.url().to_owned();
            let total = answer.text(http::header::HeaderName::from_static("x-total-count"));
            let total = total.and_then(|text| text.trim().parse::<usize>().ok());
            let names = names(&answer.bytes().await?).ok_or_else(|| Error::Protocol {
                url,
                what: "the list is not one of names".to_owned(),
            })?;
            let is_empty = names.is_empty();
            found.extend(names);
            if is_empty || total.is_some_and(|total| found.len() >= total) {
                return Ok(found);
            }
        }
        Err(Error::Protocol {
            url: format!("/api/v2.0/{}", path.join("/")),
            what: "the list does not end".to_owned(),
        })
    }
}

/// Reads `systeminfo`. Strangers see a part of it, and of newer versions less.
pub(super) fn is_harbor(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Info {
        harbor_version: Option<String>,
        auth_mode: Option<String>,
        self_registration: Option<bool>,
    }
    serde_json::from_slice::<Info>(bytes).is_ok_and(|info| {
        let is_usual = info.auth_mode.is_some() && info.self_registration.is_some();
        info.harbor_version.is_some() || is_usual
    })
}

/// Reads a list of projects or repositories.
pub(super) fn names(bytes: &[u8]) -> Option<Vec<String>> {
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }
    let all: Vec<Named> = serde_json::from_slice(bytes).ok()?;
    Some(all.into_iter().map(|named| named.name).collect())
}
