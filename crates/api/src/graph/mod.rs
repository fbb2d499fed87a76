//! The directory's own interface, as Microsoft Graph 1.0 has it.
//!
//! Administrators of the directory may do everything; everybody else of it may read names, and all of himself.

mod answer;
mod credentials;
mod objects;
mod reads;
mod shape;

use std::net::IpAddr;
use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{Method, Response};
use lazuli_identity::{ArmDenied, Audience, Caller, CallerKind, DirectoryWrite};
use lazuli_wire::graph::Route;
use serde_json::{Map, Value};

use crate::api::{Api, Pending};
use crate::body::Body;
use crate::errors::Refusal;
use crate::headers::Cors;
use crate::metrics::Endpoint;
use crate::resolver::Site;
use crate::service::{Client, Received, Step};

use self::answer::Refused;

/// A request to the directory, on its way.
pub(crate) struct Call {
    site: Arc<Site>,
    remote: IpAddr,
}

pub(crate) fn begin(
    api: &Api,
    request: &mut Received,
    client: &Client,
) -> Result<Step<Pending>, Refusal> {
    request.exchange.set_endpoint(Endpoint::Graph);
    if request.parts.method == Method::OPTIONS {
        return Ok(Step::Done(Cors::options("GET, POST, PATCH, DELETE")));
    }
    let site = api.site(request, client)?;
    api.check_address_rate(request, client.remote.ip())?;
    Ok(Step::Later(Pending::Graph(Call {
        site,
        remote: client.remote.ip(),
    })))
}

pub(crate) async fn answer(
    api: &Api,
    request: &mut Received,
    call: Call,
) -> Result<Response<Body>, Refusal> {
    let outcome = match authenticate(api, request).await {
        Ok(may) => {
            let from = api.origin(&request.parts, call.remote);
            let body = crate::entra::collect(api, request, from).await?;
            let endpoints = api
                .naming
                .endpoints(call.site.scheme, &call.site.login_server);
            handle(api, request, may, endpoints.graph, &body).await
        }
        Err(refused) => Err(refused),
    };
    Ok(match outcome {
        Ok(response) => response,
        Err(refused) => answer::refusal(request, &refused),
    })
}

/// Who asks, and whether they may change things.
struct May {
    caller: Caller,
    write: Option<DirectoryWrite>,
}

impl May {
    fn write(&self) -> Result<&DirectoryWrite, Refused> {
        self.write.as_ref().ok_or(Refused::Forbidden)
    }

    /// Whether the caller may know everything of an object.
    fn knows(&self, object: lazuli_wire::Guid) -> bool {
        self.write.is_some() || self.caller.object() == object
    }
}

async fn authenticate(api: &Api, request: &Received) -> Result<May, Refused> {
    let header = request.parts.headers.get(AUTHORIZATION);
    let header = header.and_then(|value| value.to_str().ok());
    let token = header.and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let token = token.ok_or(Refused::Unauthenticated)?;
    let caller = api
        .identity
        .verify_directory_token(token, Audience::Graph)
        .await
        .map_err(|error| match error {
            lazuli_identity::AuthError::Internal(error) => Refused::internal(&error),
            _ => Refused::Unauthenticated,
        })?;
    let write = match api.identity.authorize_directory(&caller).await {
        Ok(write) => Some(write),
        Err(ArmDenied::Forbidden { .. }) => None,
        Err(ArmDenied::SignedOut) => return Err(Refused::Unauthenticated),
        Err(ArmDenied::Internal(error)) => return Err(Refused::internal(&error)),
    };
    if write.is_none() && caller.kind() == CallerKind::External {
        return Err(Refused::Forbidden);
    }
    Ok(May { caller, write })
}

/// A request, once it is known whose it is.
struct Asked<'a> {
    api: &'a Api,
    may: May,
    /// `https://host/graph`
    graph: String,
    method: Method,
    query: &'a str,
    body: Map<String, Value>,
}

async fn handle(
    api: &Api,
    request: &Received,
    may: May,
    graph: String,
    body: &[u8],
) -> Result<Response<Body>, Refused> {
    let parts = &request.parts;
    let rest = Route::strip_prefix(parts.uri.path()).ok_or(Refused::NoEndpoint)?;
    let route = Route::parse(rest).ok_or(Refused::NoEndpoint)?;
    if !route.has_method(&parts.method) {
        return Err(Refused::Method(route.allowed_methods()));
    }
    if route.changes(&parts.method) {
        may.write()?;
    }
    let body = if body.is_empty() {
        Map::new()
    } else {
        let read: Result<Map<String, Value>, _> = serde_json::from_slice(body);
        read.map_err(|error| Refused::Bad(format!("The body is no JSON object: {error}.")))?
    };
    let asked = Asked {
        api,
        may,
        graph,
        method: parts.method.clone(),
        query: parts.uri.query().unwrap_or_default(),
        body,
    };
    match route {
        Route::Me => asked.me().await,
        Route::MeRelated(relation) => {
            let id = asked.may.caller.object();
            asked.related_to(id, relation).await
        }
        Route::MyObjects => Ok(asked.page("directoryObjects", Vec::new(), None)),
        Route::Grants if asked.method == Method::GET => {
            Ok(asked.page("oauth2PermissionGrants", Vec::new(), None))
        }
        Route::Grants => Err(Refused::NotHere(
            "Grants of delegated permissions are not needed here: users consent to nothing.",
        )),
        Route::MeVerb(verb) => {
            let id = asked.may.caller.object();
            asked.verb(id, verb).await
        }
        Route::Organization => asked.organization().await,
        Route::GetByIds => asked.get_by_ids().await,
        Route::Object(id) => asked.object(id).await,
        Route::ObjectVerb(id, verb) => asked.verb(id, verb).await,
        Route::List(set) if asked.method == Method::GET => asked.list(set).await,
        Route::List(set) => asked.create(set).await,
        Route::One(set, key) => {
            let object = asked.find(set, &key).await?;
            match asked.method {
                Method::PATCH => asked.change(set, object).await,
                Method::DELETE => asked.remove(object).await,
                _ => asked.show(object).await,
            }
        }
        Route::Related(set, key, relation) => {
            let object = asked.find(set, &key).await?;
            asked.related_to(object.id, relation).await
        }
        Route::RelatedRef(set, key, relation) => {
            let object = asked.find(set, &key).await?;
            asked.add_related(&object, relation).await
        }
        Route::RelatedOneRef(set, key, relation, id) => {
            let object = asked.find(set, &key).await?;
            asked.remove_related(&object, relation, id).await
        }
        Route::Verb(set, key, verb) => {
            let object = asked.find(set, &key).await?;
            asked.verb(object.id, verb).await
        }
        Route::Federations(key) => asked.federations(&key).await,
        Route::Federation(key, name) => asked.federation(&key, &name).await,
    }
}
