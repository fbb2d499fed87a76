//! The management plane, as Azure Resource Manager answers. Every handler parses, authenticates, authorizes from its route's
//! rule, calls one function of the control crate, and renders.

mod answer;
mod children;
mod groups;
mod identities;
mod locks;
mod page;
mod providers;
mod registries;
mod render;
mod resources;
mod roles;
mod tenants;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use lazuli_control::{Actor, Control, Precondition};
use lazuli_identity::{ArmDenied, Audience, AuthError, Caller};
use lazuli_wire::arm::{MAX_BODY, Object, Route, RouteError, Rule, Verb, read_object};
use lazuli_wire::arm_scope::ArmScope;
use lazuli_wire::query::{Query, QueryLimits};
use lazuli_wire::rbac::ArmAction;

use crate::api::{Api, Pending};
use crate::body::Body;
use crate::clouds;
use crate::endpoints::Endpoints;
use crate::errors::Refusal;
use crate::headers::Cors;
use crate::metrics::Endpoint;
use crate::oci;
use crate::resolver::Site;
use crate::service::{Client, Received, Step};

use self::answer::{Answer, Refused};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");

/// A request to the management plane, on its way.
pub(crate) struct Call {
    route: Route,
    rule: Rule,
    site: Arc<Site>,
    remote: IpAddr,
}

/// Whether a path is of this plane. Paths of Azure have slashes too many sometimes.
pub(crate) fn is_path(path: &str) -> bool {
    let rest = path.trim_start_matches('/');
    let first = rest.split('/').next().unwrap_or_default();
    ["subscriptions", "tenants", "providers"]
        .iter()
        .any(|word| first.eq_ignore_ascii_case(word))
        || rest
            .trim_end_matches('/')
            .eq_ignore_ascii_case("metadata/endpoints")
}

/// Refuses what is no request of this plane before its body is read.
pub(crate) fn begin(
    api: &Api,
    request: &mut Received,
    client: &Client,
) -> Result<Step<Pending>, Refusal> {
    request.exchange.set_endpoint(Endpoint::Management);
    let site = api.site(request, client)?;
    api.check_address_rate(request, client.remote.ip())?;
    let method = &request.parts.method;
    let parsed = Route::parse(method, request.parts.uri.path())
        .and_then(|route| route.rule().map(|rule| (route, rule)));
    match parsed {
        Ok((route, rule)) => Ok(Step::Later(Pending::Arm(Box::new(Call {
            route,
            rule,
            site,
            remote: client.remote.ip(),
        })))),
        Err(RouteError::MethodNotAllowed { allow }) if *method == http::Method::OPTIONS => {
            Ok(Step::Done(Cors::options(allow)))
        }
        Err(error) => Ok(Step::Done(Refused::from(error).into_response())),
    }
}

/// Answers. Errors are in the form of this plane.
pub(crate) async fn answer(api: &Api, request: &mut Received, call: Call) -> Response<Body> {
    let id = request.exchange.id().header();
    let mut response = match handle(api, request, call).await {
        Ok(answer) => answer.into_response(),
        Err(refused) => refused.into_response(),
    };
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

async fn handle(api: &Api, request: &mut Received, call: Call) -> Result<Answer, Refused> {
    let endpoints = api
        .naming
        .endpoints(call.site.scheme, &call.site.login_server);
    if call.rule == Rule::Public {
        return Ok(Answer::ok(clouds::document(
            &endpoints,
            &endpoints.authority,
        )));
    }
    let Some(control) = &api.control else {
        return Err(Refused::not_here());
    };
    let caller = authenticate(api, request, &endpoints).await?;
    let proof = match &call.rule {
        // What is shown is decided entry by entry.
        Rule::Public | Rule::SignedIn | Rule::Shows { .. } => None,
        Rule::Needs { action, scope } => {
            let action = action_of(action)?;
            let proof = api.identity.authorize_arm(&caller, &action, scope).await;
            Some(proof.map_err(|denied| refuse_denied(denied, &endpoints))?)
        }
    };
    let from = api.origin(&request.parts, call.remote);
    let body = collect(api, request, from).await?;
    let query = request.parts.uri.query().unwrap_or_default().to_owned();
    let query = Query::parse(&query, &QueryLimits::QUERY).map_err(|_| Refused::bad_query())?;
    let request_id = request.exchange.id().shared();
    let task = Task {
        api,
        control,
        request,
        endpoints,
        caller,
        actor: proof.map(|proof| Actor::new(proof, request_id)),
        body,
        query,
    };
    dispatch(&task, &call.route).await
}

/// A request that is allowed, and what its handler needs.
struct Task<'a> {
    api: &'a Api,
    control: &'a Control,
    request: &'a Received,
    endpoints: Endpoints,
    caller: Caller,
    actor: Option<Actor>,
    body: Bytes,
    query: Query<'a>,
}

impl Task<'_> {
    /// Who asks, with the proof that the route's rule demands.
    fn actor(&self) -> Result<&Actor, Refused> {
        self.actor.as_ref().ok_or_else(Refused::internal)
    }

    /// The body, as an object.
    fn object(&self) -> Result<Object, Refused> {
        Ok(read_object(&self.body)?)
    }

    /// A parameter of the query.
    fn parameter(&self, name: &str) -> Result<Option<&str>, Refused> {
        let mut values = self
            .query
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value);
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            _ => Err(Refused::bad_query()),
        }
    }

    /// The condition of a change.
    fn condition(&self) -> Result<Precondition, Refused> {
        let headers = &self.request.parts.headers;
        let text = |name| {
            let value: Option<&HeaderValue> = headers.get(name);
            value
                .map(|value| value.to_str().map_err(|_| Refused::bad_query()))
                .transpose()
        };
        if let Some(tags) = text(IF_MATCH)? {
            if tags.trim() == "*" {
                return Ok(Precondition::Exists);
            }
            let tags = tags
                .split(',')
                .map(|tag| tag.trim().trim_start_matches("W/").trim_matches('"'));
            return Ok(Precondition::Is(tags.map(str::to_owned).collect()));
        }
        Ok(match text(IF_NONE_MATCH)? {
            Some(tags) if tags.trim() == "*" => Precondition::Absent,
            _ => Precondition::None,
        })
    }

    /// Those of several resources that the caller may do the route's action with.
    async fn visible<T>(
        &self,
        resources: Vec<T>,
        scope: impl Fn(&T) -> Option<ArmScope>,
        action: &'static str,
    ) -> Result<Vec<T>, Refused> {
        let scopes: Vec<_> = resources.iter().filter_map(&scope).collect();
        let action = action_of(action)?;
        let proofs = self
            .api
            .identity
            .authorize_arm_many(&self.caller, &action, &scopes)
            .await
            .map_err(|denied| refuse_denied(denied, &self.endpoints))?;
        let allowed: std::collections::HashSet<&str> =
            proofs.iter().map(|proof| proof.scope().key()).collect();
        let shown = resources
            .into_iter()
            .filter(|resource| scope(resource).is_some_and(|scope| allowed.contains(scope.key())));
        Ok(shown.collect())
    }

    /// The login server of a registry, as this client reaches it.
    fn login_server(&self, registry: &lazuli_control::RegistryResource) -> String {
        let name = registry.login_name();
        self.endpoints
            .login_server(&name, &registry.hosts, registry.is_default())
    }
}

async fn dispatch(task: &Task<'_>, route: &Route) -> Result<Answer, Refused> {
    match route {
        Route::Metadata => Err(Refused::internal()),
        Route::Tenants => tenants::tenants(task).await,
        Route::Subscriptions => tenants::subscriptions(task).await,
        Route::Subscription(id) => tenants::subscription(task, *id).await,
        Route::Locations(id) => tenants::locations(task, *id).await,
        Route::Resources(within) => resources::list(task, within).await,
        Route::Groups(subscription) => groups::list(task, *subscription).await,
        Route::Group(group, verb) => groups::one(task, group, *verb).await,
        Route::Providers(subscription) => Ok(providers::list(*subscription)),
        Route::Provider(subscription, namespace) => providers::show(*subscription, namespace),
        Route::RegisterProvider(subscription, namespace, register) => {
            providers::register(*subscription, namespace, *register)
        }
        Route::Operations(namespace) => providers::operations(namespace),
        Route::CheckName(_) => registries::check_name(task).await,
        Route::Registries(within) => registries::list(task, within).await,
        Route::Registry(path, verb) => registries::one(task, path, *verb).await,
        Route::Usages(path) => registries::usages(task, path).await,
        Route::ListCredentials(path) => registries::list_credentials(task, path).await,
        Route::RegenerateCredential(path) => registries::regenerate(task, path).await,
        Route::GenerateCredentials(path) => children::generate_credentials(task, path).await,
        Route::ScopeMaps(path) => children::scope_maps(task, path).await,
        Route::ScopeMap(path, name, verb) => children::scope_map(task, path, name, *verb).await,
        Route::Tokens(path) => children::tokens(task, path).await,
        Route::Token(path, name, verb) => children::token(task, path, name, *verb).await,
        Route::LaterList(path, _) => children::later_list(task, path).await,
        Route::LaterItem(path, kind, name, verb) => {
            children::later_item(task, path, *kind, name, *verb).await
        }
        Route::LaterItemAction(path, kind, name, _) => {
            children::later_item(task, path, *kind, name, Verb::Get).await
        }
        Route::LaterAction(path, action) => children::later_action(task, path, *action).await,
        Route::OperationStatus(subscription, id) => groups::progress(task, *subscription, id).await,
        Route::Identities(within) => identities::list(task, within).await,
        Route::Identity(path, verb) => identities::one(task, path, *verb).await,
        Route::RoleDefinitions(_) => roles::definitions(task).await,
        Route::RoleDefinition(_, id, verb) => roles::definition(task, *id, *verb).await,
        Route::RoleAssignments(_) => roles::assignments(task).await,
        Route::RoleAssignment(_, id, verb) => roles::assignment(task, *id, *verb).await,
        Route::DenyAssignments(_) => roles::denials(task).await,
        Route::DenyAssignment(_, id) => roles::denial(task, *id).await,
        Route::Locks(_) => locks::list(task).await,
        Route::Lock(_, name, verb) => locks::one(task, name, *verb).await,
    }
}

async fn authenticate(
    api: &Api,
    request: &Received,
    endpoints: &Endpoints,
) -> Result<Caller, Refused> {
    let mut values = request.parts.headers.get_all(AUTHORIZATION).iter();
    let token = match (values.next(), values.next()) {
        (None, _) => return Err(Refused::no_token(endpoints)),
        (Some(value), None) => value.to_str().ok().and_then(bearer),
        _ => None,
    };
    let Some(token) = token else {
        return Err(Refused::bad_token(endpoints));
    };
    if let Some(caller) = api
        .identity
        .directory_token_cached(token, Audience::Management)
    {
        return Ok(caller);
    }
    let found = api
        .identity
        .verify_directory_token(token, Audience::Management);
    found.await.map_err(|error| match error {
        AuthError::Internal(error) => Refused::from(lazuli_control::Error::from(error)),
        AuthError::TooManyAttempts => Refused::busy(),
        _ => Refused::bad_token(endpoints),
    })
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Names of providers and types come from the path, so that an action may be none.
fn action_of(text: &str) -> Result<ArmAction, Refused> {
    ArmAction::parse(text).map_err(|_| Refused::from(RouteError::NotFound))
}

fn refuse_denied(denied: ArmDenied, endpoints: &Endpoints) -> Refused {
    match denied {
        ArmDenied::SignedOut => Refused::bad_token(endpoints),
        ArmDenied::Forbidden { .. } => Refused::forbidden(&denied),
        ArmDenied::Internal(error) => lazuli_control::Error::from(error).into(),
    }
}

/// Reads a body that is small, after its sender was found to be somebody.
async fn collect(
    api: &Api,
    request: &mut Received,
    from: lazuli_identity::Origin,
) -> Result<Bytes, Refused> {
    let limit = MAX_BODY as u64;
    if request.body.is_over() {
        return Ok(Bytes::new());
    }
    let length = request.body.announced().unwrap_or(limit).min(limit);
    let memory = api.body_memory.take(from, length).await;
    let _memory = memory.map_err(|later| Refused::Oci(Refusal::overloaded(later)))?;
    let body = request.body.collect(limit).await;
    body.map_err(|error| Refused::Oci(oci::body_refusal(error)))
}
