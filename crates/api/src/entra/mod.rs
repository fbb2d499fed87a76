//! The authority: signing in, as Microsoft Entra ID has it.

mod answer;
mod documents;
mod pages;
mod sign_in;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http::header::AUTHORIZATION;
use lazuli_identity::{Audience, Authority, Origin};
use lazuli_wire::entra::{
    Failure, Flavor, Resource, Route, RouteError, Tenant, TokenForm, WellKnown,
};
use lazuli_wire::query::{Query, QueryLimits};

use crate::api::{Api, Pending};
use crate::body::Body;
use crate::endpoints::Endpoints;
use crate::errors::Refusal;
use crate::headers::Cors;
use crate::metrics::Endpoint;
use crate::oci;
use crate::resolver::{Scheme, Site};
use crate::service::{Client, Received, Step};

use self::answer::Refused;

/// A request to the authority, on its way.
pub(crate) struct Call {
    route: Route,
    site: Arc<Site>,
    remote: IpAddr,
}

/// Refuses what is no request of this plane before its body is read.
pub(crate) fn begin(
    api: &Api,
    request: &mut Received,
    client: &Client,
    route: Route,
) -> Result<Step<Pending>, Refusal> {
    request.exchange.set_endpoint(Endpoint::SignIn);
    if request.parts.method == http::Method::OPTIONS {
        return Ok(Step::Done(Cors::options(route.allowed_methods())));
    }
    if let Err(RouteError::MethodNotAllowed { allow }) = route.check_method(&request.parts.method) {
        return Err(Refusal::method_not_allowed(allow));
    }
    let site = api.site(request, client)?;
    api.check_address_rate(request, client.remote.ip())?;
    Ok(Step::Later(Pending::Entra(Call {
        route,
        site,
        remote: client.remote.ip(),
    })))
}

pub(crate) async fn answer(
    api: &Api,
    request: &mut Received,
    call: Call,
) -> Result<Response<Body>, Refusal> {
    let from = api.origin(&request.parts, call.remote);
    let body = collect(api, request, from).await?;
    let at = Place {
        endpoints: api
            .naming
            .endpoints(call.site.scheme, &call.site.login_server),
        scheme: call.site.scheme,
        from,
    };
    let outcome = handle(api, request, &call.route, &at, &body).await;
    let response = match outcome {
        Ok(response) => response,
        Err(Refused::Json(failure)) => answer::failure(api, request, &failure),
    };
    Ok(response)
}

/// Reads a body that is small.
pub(crate) async fn collect(
    api: &Api,
    request: &mut Received,
    from: Origin,
) -> Result<Bytes, Refusal> {
    let limit = api.limits.max_form_bytes;
    let length = request.body.announced().unwrap_or(limit).min(limit);
    // A request without a body waits for nobody's.
    let _memory = if request.body.is_over() {
        None
    } else {
        let memory = api.form_memory.take(from, length).await;
        Some(memory.map_err(Refusal::overloaded)?)
    };
    let body = request.body.collect(limit).await;
    body.map_err(oci::body_refusal)
}

/// Where a request came to, and from.
struct Place {
    endpoints: Endpoints,
    scheme: Scheme,
    from: Origin,
}

impl Place {
    fn authority<'a>(
        &'a self,
        tenant: &'a Tenant,
        flavor: Flavor,
        audience: &'a (dyn Fn(&Resource) -> Option<Audience> + Sync),
    ) -> Authority<'a> {
        Authority {
            base: &self.endpoints.authority,
            tenant,
            flavor,
            from: self.from,
            audience,
        }
    }

    /// Which audience a resource is: one of Microsoft's names, or one of our own.
    fn audience(&self, resource: &Resource) -> Option<Audience> {
        if let Some(known) = resource.well_known() {
            return Some(match known {
                WellKnown::Management => Audience::Management,
                WellKnown::Registry => Audience::Registry,
                WellKnown::Graph => Audience::Graph,
            });
        }
        let (host, path) = resource.https()?;
        let is_at = |url: &str| {
            let own = Resource::parse(url).and_then(|own| own.https());
            own.is_some_and(|own| own == (host.clone(), path.clone()))
        };
        if is_at(&self.endpoints.graph) {
            return Some(Audience::Graph);
        }
        if is_at(&self.endpoints.management) || is_at(&self.endpoints.authority) {
            return Some(Audience::Management);
        }
        let suffix = format!(".{}", self.endpoints.registries);
        (path.is_empty() && host.ends_with(&suffix)).then_some(Audience::Registry)
    }
}

async fn handle(
    api: &Api,
    request: &Received,
    route: &Route,
    at: &Place,
    body: &[u8],
) -> Result<Response<Body>, Refused> {
    match route {
        Route::Token(tenant, flavor) => token(api, request, at, tenant, *flavor, body).await,
        Route::Configuration(tenant, flavor) => {
            let known = api.identity.tenant_named(tenant).await?;
            Ok(documents::configuration(
                &at.endpoints,
                tenant,
                known.id,
                *flavor,
            ))
        }
        Route::Keys(tenant) => {
            api.identity.tenant_named(tenant).await?;
            let keys = api.identity.directory_keys().await;
            let keys = keys.map_err(|error| answer::unavailable(&error))?;
            Ok(documents::keys(&keys))
        }
        Route::Instance => Ok(documents::instance(&at.endpoints)),
        Route::UserRealm => Ok(documents::user_realm(request)),
        Route::Authorize(tenant, flavor) => {
            let audience = |resource: &Resource| at.audience(resource);
            let authority = at.authority(tenant, *flavor, &audience);
            Ok(sign_in::authorize(api, request, &authority, at.scheme, body).await)
        }
        Route::DeviceCode(tenant, flavor) => {
            let audience = |resource: &Resource| at.audience(resource);
            let authority = at.authority(tenant, *flavor, &audience);
            sign_in::device_code(api, &authority, *flavor, body).await
        }
        Route::DeviceLogin => {
            let audience = |resource: &Resource| at.audience(resource);
            let authority = at.authority(&Tenant::Common, Flavor::V2, &audience);
            Ok(sign_in::device_login(api, request, &authority, at.scheme, body).await)
        }
        Route::Logout(_) => Ok(sign_in::logout()),
        Route::ManagedIdentity => managed(api, request, at).await,
    }
}

/// GET `/msi/token`, as Azure App Service has it.
async fn managed(api: &Api, request: &Received, at: &Place) -> Result<Response<Body>, Refused> {
    let query = request.parts.uri.query().unwrap_or_default();
    let query = Query::parse(query, &QueryLimits::QUERY);
    let query = query.map_err(|_| Failure::Malformed("the query"))?;
    let one = |name: &'static str| query.single(name).map_err(|_| Failure::Malformed(name));
    let header = request.parts.headers.get("x-identity-header");
    let header = header.and_then(|value| value.to_str().ok());
    let header = header.ok_or(Failure::ManagedIdentity)?;
    let resource = one("resource")?.ok_or(Failure::Missing("resource"))?;
    let named = match one("client_id")? {
        Some(client) => Some(client),
        None => one("principal_id")?.or(one("object_id")?),
    };
    let audience = |resource: &Resource| at.audience(resource);
    let authority = at.authority(&Tenant::Common, Flavor::V1, &audience);
    let made = api
        .identity
        .managed_token(&authority, header, resource, named)
        .await?;
    Ok(answer::json(&made))
}

async fn token(
    api: &Api,
    request: &Received,
    at: &Place,
    tenant: &Tenant,
    flavor: Flavor,
    body: &[u8],
) -> Result<Response<Body>, Refused> {
    let form = Query::parse_bytes(body, &QueryLimits::FORM);
    let form = form.map_err(|_| Failure::Malformed("the form"))?;
    let authorization = request.parts.headers.get(AUTHORIZATION);
    let basic = match authorization.map(http::HeaderValue::as_bytes) {
        Some(header) => {
            let basic = lazuli_identity::basic_credentials(header);
            Some(basic.ok_or(Failure::Malformed("Authorization"))?)
        }
        None => None,
    };
    let basic = basic
        .as_ref()
        .map(|(client, secret)| (client.as_str(), secret.expose()));
    let form = TokenForm::read(&form, flavor, basic)?;
    let audience = |resource: &Resource| at.audience(resource);
    let authority = at.authority(tenant, flavor, &audience);
    let made = api.identity.directory_token(&authority, &form).await?;
    Ok(answer::json(&made))
}
