//! The OCI distribution plane, `/v2/` (distribution-spec 1.1).
//!
//! Every request goes the same way: the route is parsed, the caller authenticated, the permission that the route asks for
//! becomes an access value, one function of the registry is called, and its outcome rendered. What memory can answer goes
//! this way without waiting ([`begin`]); the rest, and everything memory did not have, in [`answer`].

mod authorize;
mod blobs;
mod catalog;
mod conditions;
mod error;
mod manifests;
mod referrers;
mod tags;
mod uploads;

use std::net::IpAddr;
use std::sync::Arc;

use http::header::{CONTENT_TYPE, ETAG, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode};
use lazuli_identity::{Delete, MetadataRead, Origin, Principal, Pull, Push};
use lazuli_wire::oci::{Endpoint as OciEndpoint, ErrorCode, Permission, Route, RouteError};
use lazuli_wire::query::{Query, QueryError, QueryLimits};

use crate::api::{Api, Pending};
use crate::body::Body;
use crate::errors::Refusal;
use crate::headers::{CONTENT_DIGEST, Cors};
use crate::metrics::Endpoint;
use crate::quotas::Kind;
use crate::resolver::Site;
use crate::service::{Client, Received, Step};

pub(crate) use authorize::scope;
pub(crate) use error::{body_refusal, deletion_is_off};

/// A request whose answer takes waiting, as far as it was understood.
pub(crate) struct Call {
    site: Arc<Site>,
    route: Route,
    permission: Permission,
    /// The caller, if no waiting was needed to know.
    principal: Option<Principal>,
    remote: IpAddr,
}

/// What a handler works with: the request, who sends it, and where to.
pub(crate) struct Task<'a> {
    pub(crate) api: &'a Api,
    pub(crate) request: &'a mut Received,
    pub(crate) site: &'a Site,
    pub(crate) principal: &'a Principal,
    pub(crate) permission: Permission,
    pub(crate) remote: IpAddr,
}

pub(crate) type Answer = Result<Response<Body>, Refusal>;

/// Parses a request and answers it from memory if that is possible.
pub(crate) fn begin(
    api: &Api,
    request: &mut Received,
    client: &Client,
    site: Arc<Site>,
) -> Result<Step<Pending>, Refusal> {
    let method = &request.parts.method;
    let route = match Route::parse(method, request.parts.uri.path()) {
        Ok(route) => route,
        Err(RouteError::MethodNotAllowed { allow }) if *method == Method::OPTIONS => {
            return Ok(Step::Done(Cors::options(allow)));
        }
        Err(error) => return Err(error::route_refusal(error, &request.parts)),
    };
    // The route was parsed for this method, so it has a permission.
    let permission = route.permission(method).ok_or_else(Refusal::no_endpoint)?;
    if permission == Permission::Delete && !api.delete_enabled {
        let is_blob = matches!(route, Route::Blob { .. });
        let allow = if is_blob {
            "GET, HEAD"
        } else {
            "GET, HEAD, PUT"
        };
        return Err(error::deletion_is_off(allow));
    }
    request.exchange.set_endpoint(endpoint(route.endpoint()));
    if let Some(name) = route.name() {
        request
            .exchange
            .note(|note| note.repository = Some(name.clone()));
    }
    let principal = api.principal_now(&site, &request.parts.headers);
    let mut call = Call {
        site,
        route,
        permission,
        principal: None,
        remote: client.remote.ip(),
    };
    let Some(principal) = principal else {
        return Ok(Step::Later(Pending::Oci(call)));
    };
    admit(api, request, &principal, &call)?;
    let mut task = Task {
        api,
        request,
        site: &call.site,
        principal: &principal,
        permission,
        remote: call.remote,
    };
    let answer = match &call.route {
        Route::Base => Some(base(&task)),
        Route::Manifest { name, reference } if permission == Permission::Pull => {
            manifests::get_now(&mut task, name, reference).transpose()
        }
        Route::Blob { name, digest } if permission == Permission::Pull => {
            blobs::get_now(&mut task, name, digest).transpose()
        }
        _ => None,
    };
    if let Some(answer) = answer {
        return answer.map(Step::Done);
    }
    call.principal = Some(principal);
    Ok(Step::Later(Pending::Oci(call)))
}

/// Answers what could not be answered from memory.
pub(crate) async fn answer(api: &Api, request: &mut Received, call: Call) -> Answer {
    let site = &call.site;
    let principal = if let Some(principal) = call.principal {
        principal
    } else {
        let scope = || authorize::scope(call.permission, call.route.name());
        let from = api.origin(&request.parts, call.remote);
        let found = api.principal(site, &request.parts, from, scope).await;
        if found.is_err() {
            // Guessing passwords is bounded too.
            api.check_address_rate(request, call.remote)?;
        }
        let principal = found?;
        admit(api, request, &principal, &call)?;
        principal
    };
    let mut task = Task {
        api,
        request,
        site,
        principal: &principal,
        permission: call.permission,
        remote: call.remote,
    };
    dispatch(&mut task, &call.route).await
}

async fn dispatch(task: &mut Task<'_>, route: &Route) -> Answer {
    // Cloned, because the rest of the request is handed on mutably. Standard methods are a byte.
    let method = task.request.parts.method.clone();
    match route {
        Route::Base => base(task),
        Route::Catalog => {
            let access = task.catalog()?;
            catalog::list(task, &access).await
        }
        Route::ExtensionDiscovery { name } => {
            match name {
                Some(name) => drop(task.access::<Pull>(name)?),
                None => task.base()?,
            }
            Ok(json(Body::full(r#"{"extensions":[]}"#)))
        }
        Route::Tags { name } => {
            let access = task.access::<MetadataRead>(name)?;
            tags::list(task, &access).await
        }
        Route::Manifest { name, reference } => match task.permission {
            Permission::Push => {
                let access = task.access::<Push>(name)?;
                manifests::put(task, &access, reference).await
            }
            Permission::Delete => {
                let access = task.access::<Delete>(name)?;
                manifests::delete(task, &access, reference).await
            }
            _ => {
                let access = task.access::<Pull>(name)?;
                manifests::get(task, &access, reference).await
            }
        },
        Route::Blob { name, digest } if task.permission == Permission::Delete => {
            let access = task.access::<Delete>(name)?;
            blobs::delete(task, &access, digest).await
        }
        Route::Blob { name, digest } => {
            let access = task.access::<Pull>(name)?;
            blobs::get(task, &access, digest).await
        }
        Route::Uploads { name } => {
            let access = task.access::<Push>(name)?;
            uploads::start(task, &access).await
        }
        Route::Upload { name, id } => {
            let access = task.access::<Push>(name)?;
            match method {
                Method::PATCH => uploads::append(task, &access, *id).await,
                Method::PUT => uploads::finish(task, &access, *id).await,
                Method::DELETE => uploads::cancel(task, &access, *id).await,
                _ => uploads::status(task, &access, *id).await,
            }
        }
        Route::Referrers { name, digest } => {
            let access = task.access::<Pull>(name)?;
            referrers::list(task, &access, digest).await
        }
    }
}

fn admit(
    api: &Api,
    request: &mut Received,
    principal: &Principal,
    call: &Call,
) -> Result<(), Refusal> {
    request.exchange.set_principal(principal);
    let kinds = Kind::of(&call.route, call.permission);
    api.check_rate(principal, request, call.remote, kinds)
}

/// `GET /v2/`: whether the registry speaks this protocol, and where tokens are made.
fn base(task: &Task<'_>) -> Answer {
    task.base()?;
    Ok(json(Body::full("{}")))
}

fn endpoint(endpoint: OciEndpoint) -> Endpoint {
    match endpoint {
        OciEndpoint::Base => Endpoint::Base,
        OciEndpoint::Catalog => Endpoint::Catalog,
        OciEndpoint::ExtensionDiscovery | OciEndpoint::RepositoryExtensionDiscovery => {
            Endpoint::Extensions
        }
        OciEndpoint::Tags => Endpoint::Tags,
        OciEndpoint::Manifest => Endpoint::Manifest,
        OciEndpoint::Blob => Endpoint::Blob,
        OciEndpoint::Uploads | OciEndpoint::Upload => Endpoint::Upload,
        OciEndpoint::Referrers => Endpoint::Referrers,
    }
}

impl Task<'_> {
    /// Where the request comes from.
    pub(crate) fn origin(&self) -> Origin {
        self.api.origin(&self.request.parts, self.remote)
    }

    /// The query of the request.
    pub(crate) fn query(&self) -> Result<Query<'_>, Refusal> {
        let text = self.request.parts.uri.query().unwrap_or_default();
        Query::parse(text, &QueryLimits::QUERY).map_err(|error| {
            let status = match error {
                QueryError::TooLong | QueryError::TooMany => StatusCode::URI_TOO_LONG,
                QueryError::Escape | QueryError::Encoding | QueryError::Repeated => {
                    StatusCode::BAD_REQUEST
                }
            };
            Refusal::with(status, ErrorCode::Unsupported, error, None)
        })
    }

    /// A header's text; `None` when it is absent or no text.
    fn header(&self, name: &HeaderName) -> Option<&str> {
        self.request.parts.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn request_id(&self) -> Arc<str> {
        self.request.exchange.id().shared()
    }

    /// The map of the request's headers, emptied for the answer: hyper then never allocates one.
    fn answer_headers(&mut self) -> HeaderMap {
        let mut headers = std::mem::take(&mut self.request.parts.headers);
        headers.clear();
        headers
    }
}

pub(crate) fn json(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/json; charset=utf-8"),
    );
    response
}

pub(crate) fn respond(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// A header value from text that is known to be printable: names, digests, numbers.
pub(crate) fn value(text: impl Into<bytes::Bytes>) -> HeaderValue {
    HeaderValue::from_maybe_shared(text.into()).unwrap_or(HeaderValue::from_static(""))
}

/// Names the content of an answer.
fn identify(headers: &mut HeaderMap, digest_text: &bytes::Bytes, entity_tag: &bytes::Bytes) {
    headers.insert(CONTENT_DIGEST, value(digest_text.clone()));
    headers.insert(ETAG, value(entity_tag.clone()));
}
