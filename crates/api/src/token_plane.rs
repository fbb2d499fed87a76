//! Leads requests to the token plane: its bodies are small and read whole before it sees them.

use std::net::IpAddr;

use http::request::Parts;
use http::{Request, Response};
use lazuli_wire::token::{Route, RouteError};

use crate::api::Api;
use crate::body::Body;
use crate::errors::Refusal;
use crate::oci;
use crate::resolver::Site;
use crate::service::Received;
use crate::token;

/// Refuses what is no request of this plane before its body is read.
pub(crate) fn check(request: &Parts) -> Result<(), Refusal> {
    match Route::parse(&request.method, request.uri.path()) {
        Ok(_) => Ok(()),
        Err(RouteError::NotFound) => Err(Refusal::no_endpoint()),
        Err(RouteError::MethodNotAllowed { allow }) => Err(Refusal::method_not_allowed(allow)),
    }
}

pub(crate) async fn answer(
    api: &Api,
    request: &mut Received,
    site: &Site,
    remote: IpAddr,
) -> Result<Response<Body>, Refusal> {
    let from = api.origin(&request.parts, remote);
    let limit = api.limits.max_form_bytes;
    let length = request.body.announced().unwrap_or(limit).min(limit);
    // A request without a body waits for nobody's.
    let _memory = if request.body.is_over() {
        None
    } else {
        let memory = api.form_memory.take(from, length).await;
        Some(memory.map_err(Refusal::overloaded)?)
    };
    let body = request
        .body
        .collect(limit)
        .await
        .map_err(oci::body_refusal)?;
    let mut inner = Request::new(body);
    *inner.method_mut() = request.parts.method.clone();
    *inner.uri_mut() = request.parts.uri.clone();
    *inner.headers_mut() = std::mem::take(&mut request.parts.headers);
    let response = token::handle(
        &api.identity,
        site.registry,
        &site.login_server,
        from,
        inner,
    )
    .await;
    Ok(response.map(Body::full))
}
