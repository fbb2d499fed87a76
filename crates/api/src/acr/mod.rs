//! The data plane of Azure Container Registry, `/acr/v1/`: what is known of repositories, tags and manifests, and their
//! attributes.
//!
//! Requests go the same way as those of `/v2/`, and everything that the two have in common is there.

mod absent;
mod error;
mod manifests;
mod render;
mod repositories;
mod tags;

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, Method, Response, StatusCode};
use lazuli_identity::{
    Delete, DeletedRead, DeletedRestore, MetadataRead, MetadataWrite, Principal, Push,
};
use lazuli_wire::acr::{AttributesChange, Endpoint as AcrEndpoint, Route};
use lazuli_wire::oci::{ErrorCode, Permission, RouteError};
use serde::Serialize;

use crate::api::{Api, Pending};
use crate::body::Body;
use crate::errors::Refusal;
use crate::headers::{Cors, PLENTY, REMAINING_CALLS};
use crate::metrics::Endpoint;
use crate::oci::{self, Answer, Task, body_refusal, deletion_is_off, json};
use crate::quotas::Kind;
use crate::resolver::Site;
use crate::service::{Client, Received, Step};

/// Entries on a page when the client does not say.
const PAGE: usize = 100;

/// A request as far as it was understood.
pub(crate) struct Call {
    site: Arc<Site>,
    route: Route,
    permission: Permission,
    remote: IpAddr,
}

/// Parses a request.
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
        Err(error) => return Err(error::route_refusal(error, method)),
    };
    // The route was parsed for this method, so it has a permission.
    let permission = route.permission(method).ok_or_else(Refusal::no_endpoint)?;
    if permission == Permission::Delete && !api.delete_enabled {
        return Err(deletion_is_off("GET, HEAD, PATCH"));
    }
    request.exchange.set_endpoint(endpoint(route.endpoint()));
    if let Some(name) = route.name() {
        request
            .exchange
            .note(|note| note.repository = Some(name.clone()));
    }
    Ok(Step::Later(Pending::Acr(Call {
        site,
        route,
        permission,
        remote: client.remote.ip(),
    })))
}

fn endpoint(endpoint: AcrEndpoint) -> Endpoint {
    match endpoint {
        AcrEndpoint::Catalog | AcrEndpoint::DeletedCatalog => Endpoint::Catalog,
        AcrEndpoint::Tags | AcrEndpoint::Tag | AcrEndpoint::DeletedTags => Endpoint::Tags,
        AcrEndpoint::Repository
        | AcrEndpoint::Manifests
        | AcrEndpoint::Manifest
        | AcrEndpoint::DeletedManifests
        | AcrEndpoint::DeletedManifest
        | AcrEndpoint::Streaming
        | AcrEndpoint::Operation
        | AcrEndpoint::Cancel
        | AcrEndpoint::Metadata => Endpoint::Attributes,
    }
}

/// Authenticates, authorizes and answers a request.
pub(crate) async fn answer(api: &Api, request: &mut Received, call: Call) -> Answer {
    let site = &call.site;
    let principal = if let Some(known) = api.principal_now(site, &request.parts.headers) {
        known
    } else {
        let scope = || oci::scope(call.permission, call.route.name());
        let from = api.origin(&request.parts, call.remote);
        let found = api.principal(site, &request.parts, from, scope).await;
        if found.is_err() {
            // Guessing passwords is bounded too.
            api.check_address_rate(request, call.remote)?;
        }
        found?
    };
    admit(api, request, &principal, &call)?;
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

fn admit(
    api: &Api,
    request: &mut Received,
    principal: &Principal,
    call: &Call,
) -> Result<(), Refusal> {
    request.exchange.set_principal(principal);
    let kinds = Kind::of_permission(call.permission);
    api.check_rate(principal, request, call.remote, kinds)
}

/// Each branch asks for the access that its function takes; the permission of the route decides which.
async fn dispatch(task: &mut Task<'_>, route: &Route) -> Answer {
    let permission = task.permission;
    match route {
        Route::Catalog => {
            let access = task.catalog()?;
            repositories::list(task, &access).await
        }
        Route::Repository { name } => match permission {
            Permission::MetadataWrite => {
                let access = task.access::<MetadataWrite>(name)?;
                repositories::change(task, &access).await
            }
            Permission::Delete => {
                let access = task.access::<Delete>(name)?;
                repositories::delete(task, &access).await
            }
            _ => {
                let access = task.access::<MetadataRead>(name)?;
                repositories::get(task, &access).await
            }
        },
        Route::Tags { name } => {
            let access = task.access::<MetadataRead>(name)?;
            tags::list(task, &access).await
        }
        Route::Tag { name, tag } => match permission {
            Permission::MetadataWrite => {
                let access = task.access::<MetadataWrite>(name)?;
                tags::change(task, &access, tag).await
            }
            Permission::Delete => {
                let access = task.access::<Delete>(name)?;
                tags::delete(task, &access, tag).await
            }
            _ => {
                let access = task.access::<MetadataRead>(name)?;
                tags::get(task, &access, tag).await
            }
        },
        Route::Manifests { name } => {
            let access = task.access::<MetadataRead>(name)?;
            manifests::list(task, &access).await
        }
        Route::Manifest { name, digest } if permission == Permission::MetadataWrite => {
            let access = task.access::<MetadataWrite>(name)?;
            manifests::change(task, &access, digest).await
        }
        Route::Manifest { name, digest } => {
            let access = task.access::<MetadataRead>(name)?;
            manifests::get(task, &access, digest).await
        }
        Route::DeletedCatalog => {
            task.deleted_catalog()?;
            Ok(absent::deleted_catalog())
        }
        Route::DeletedTags { name } => {
            task.access::<DeletedRead>(name)?;
            Ok(absent::deleted_tags(task, name))
        }
        Route::DeletedManifests { name } => {
            task.access::<DeletedRead>(name)?;
            Ok(absent::deleted_manifests(task, name))
        }
        Route::DeletedManifest { name, digest } => {
            task.access::<DeletedRestore>(name)?;
            Err(absent::restore(digest))
        }
        Route::Streaming { name, .. }
        | Route::Operation { name, .. }
        | Route::Cancel { name, .. }
        | Route::Metadata { name, .. } => {
            match permission {
                Permission::Push => drop(task.access::<Push>(name)?),
                Permission::MetadataWrite => drop(task.access::<MetadataWrite>(name)?),
                _ => drop(task.access::<MetadataRead>(name)?),
            }
            absent::feature(task, route)
        }
    }
}

impl Task<'_> {
    /// The body of a `PATCH`.
    async fn change(&mut self) -> Result<AttributesChange, Refusal> {
        let limit = AttributesChange::MAX_BODY as u64;
        self.request.body.set_limit(limit).map_err(body_refusal)?;
        let length = self.request.body.announced().unwrap_or(limit);
        let memory = self.api.body_memory.take(self.origin(), length).await;
        let _memory = memory.map_err(Refusal::overloaded)?;
        let body = self.request.body.collect(limit).await;
        let body = body.map_err(body_refusal)?;
        AttributesChange::parse(&body).map_err(|error| {
            let status = StatusCode::BAD_REQUEST;
            Refusal::with(status, ErrorCode::Unsupported, error, None)
        })
    }
}

/// An answer of JSON.
fn answer_of(value: &impl Serialize) -> Response<Body> {
    // Texts and numbers: serialising into memory has no way to fail.
    json(Body::full(serde_json::to_vec(value).unwrap_or_default()))
}

/// 202, for what was deleted.
fn accepted(mut response: Response<Body>) -> Response<Body> {
    *response.status_mut() = StatusCode::ACCEPTED;
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(REMAINING_CALLS, PLENTY);
    response
}
