//! One server: its registries, its identities, and which plane answers which path.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method, Response};
use lazuli_control::Control;
use lazuli_identity::{AuthError, Identity, Origin, Principal};
use lazuli_registry::Registry;
use lazuli_wire::entra::Route as EntraRoute;
use lazuli_wire::graph::Route as GraphRoute;
use lazuli_wire::token::{Challenge, Scope};

use crate::acr;
use crate::arm;
use crate::body::Body;
use crate::clouds;
use crate::connections::Connections;
use crate::endpoints::Naming;
use crate::entra;
use crate::errors::Refusal;
use crate::exchange::Observed;
use crate::exposition::Exposition;
use crate::graph;
use crate::headers::Cors;
use crate::health::Health;
use crate::limits::{BodyMemory, Limits, Slots};
use crate::metrics::{self, Endpoint, Metrics};
use crate::oci;
use crate::pool::BufferPool;
use crate::quotas::{Kind, QuotaLimiter};
use crate::rate::RateLimiter;
use crate::redirects::Redirects;
use crate::request_id::RequestIds;
use crate::resolver::{HostedRegistry, Resolver, ResolverOptions, Site};
use crate::server::{self, Ended, Listeners};
use crate::service::{App, Client, Received, Shell, Step};
use crate::token_plane;

/// What a server is told by the configuration.
#[derive(Debug, Clone)]
pub struct ApiOptions {
    /// Bounds on what clients may take.
    pub limits: Limits,
    /// How registries are found.
    pub resolver: ResolverOptions,
    /// Which web pages may read answers.
    pub cors: Cors,
    /// Who may read `/metrics`.
    pub metrics: MetricsAccess,
    /// Whether manifests, tags and blobs may be deleted; 405 if not.
    pub delete_enabled: bool,
    /// The names under which the parts of this server are found.
    pub naming: Naming,
    /// Which blobs clients fetch from the object store itself; `None`: none.
    pub redirects: Option<Redirects>,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            resolver: ResolverOptions::default(),
            cors: Cors::default(),
            metrics: MetricsAccess::default(),
            delete_enabled: true,
            naming: Naming::default(),
            redirects: None,
        }
    }
}

/// Who may read `/metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MetricsAccess {
    /// Nobody.
    Off,
    /// Programs on the same machine that come without a proxy.
    #[default]
    Loopback,
    /// Everybody who can reach the server.
    Everyone,
}

/// Writes further metrics at each scrape.
pub type Collector = Box<dyn Fn(&mut Exposition) + Send + Sync>;

/// A server.
pub struct Api {
    pub(crate) registry: Registry,
    pub(crate) identity: Identity,
    pub(crate) limits: Limits,
    pub(crate) delete_enabled: bool,
    pub(crate) redirects: Option<Redirects>,
    pub(crate) buffers: BufferPool,
    pub(crate) uploads: Slots,
    pub(crate) body_memory: BodyMemory,
    /// Memory for forms, which need no credentials: those who send them must not keep manifests out.
    pub(crate) form_memory: BodyMemory,
    pub(crate) shell: Arc<Shell>,
    pub(crate) resolver: Resolver,
    pub(crate) naming: Naming,
    /// The management plane, if there is one.
    pub(crate) control: Option<Control>,
    health: Health,
    pub(crate) rate: Option<RateLimiter>,
    pub(crate) quotas: Option<QuotaLimiter>,
    metrics: MetricsAccess,
    collectors: Vec<Collector>,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Api {
    /// A server of these registries.
    pub fn new(registry: Registry, identity: Identity, options: ApiOptions) -> Self {
        let limits = options.limits;
        let shell = Shell {
            connections: Connections::new(limits.clone()),
            limits: limits.clone(),
            cors: options.cors,
            observed: Arc::new(Observed {
                metrics: Metrics::default(),
                ids: RequestIds::new(),
            }),
        };
        Self {
            health: Health::of(&registry),
            registry,
            identity,
            buffers: BufferPool::default(),
            uploads: Slots::new(limits.max_uploads),
            body_memory: BodyMemory::new(limits.buffered_bodies, limits.max_manifest_bytes),
            form_memory: BodyMemory::new(limits.buffered_bodies / 4, limits.max_form_bytes),
            shell: Arc::new(shell),
            resolver: Resolver::new(options.resolver),
            naming: options.naming,
            control: None,
            rate: limits.rate.map(RateLimiter::new),
            quotas: QuotaLimiter::new(limits.quotas),
            limits,
            delete_enabled: options.delete_enabled,
            redirects: options.redirects,
            metrics: options.metrics,
            collectors: Vec::new(),
        }
    }

    /// Answers requests to the management plane, too.
    #[must_use]
    pub fn with_control(mut self, control: Control) -> Self {
        self.control = Some(control);
        self
    }

    /// Adds metrics of other parts of the program.
    #[must_use]
    pub fn with_collector(mut self, collector: Collector) -> Self {
        self.collectors.push(collector);
        self
    }

    /// Takes over how the registries are found, whenever that changed.
    pub fn set_registries(&self, registries: impl IntoIterator<Item = HostedRegistry>) {
        self.resolver.update(registries);
    }

    /// How many connections are open.
    pub fn open_connections(&self) -> usize {
        self.shell.connections.count()
    }

    /// Who sends the request, as far as that is known without waiting.
    pub(crate) fn principal_now(&self, site: &Site, headers: &HeaderMap) -> Option<Principal> {
        let authorization = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        self.identity
            .authenticate_cached(site.registry, &site.login_server, authorization)
    }

    /// Who sends the request. `scope`: what a refused caller should ask a token for.
    pub(crate) async fn principal(
        &self,
        site: &Site,
        request: &Parts,
        from: Origin,
        scope: impl FnOnce() -> Option<Scope>,
    ) -> Result<Principal, Refusal> {
        let headers = &request.headers;
        let authorization = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        let found = self
            .identity
            .authenticate(site.registry, &site.login_server, from, authorization)
            .await;
        found.map_err(|error| {
            let mut challenge = Challenge::new(site.scheme.as_str(), &site.login_server, scope());
            match error {
                AuthError::TooManyAttempts => {
                    return Refusal::too_many("too many attempts to sign in at the same time", 1);
                }
                AuthError::Internal(error) => {
                    tracing::error!(%error, "authentication failed");
                    return Refusal::unavailable(5, "authentication is not available");
                }
                AuthError::InvalidToken => challenge.error = Some(Challenge::INVALID_TOKEN),
                AuthError::Malformed(_) | AuthError::WrongPassword => {}
            }
            Refusal::unauthorized(&challenge)
        })
    }

    fn plan(&self, request: &mut Received, client: &Client) -> Result<Step<Pending>, Refusal> {
        let path = request.parts.uri.path();
        let is_read = matches!(request.parts.method, Method::GET | Method::HEAD);
        let (endpoint, step) = match path {
            "/healthz" => (Endpoint::Health, Step::Done(Health::live())),
            "/readyz" => (Endpoint::Health, Step::Later(Pending::Ready)),
            "/metrics" => {
                self.check_metrics_access(request, client)?;
                (Endpoint::Metrics, Step::Done(self.render_metrics()))
            }
            "/" => (Endpoint::Other, Step::Done(root())),
            _ if path == "/v2" || path.starts_with("/v2/") => {
                let site = self.site(request, client)?;
                return oci::begin(self, request, client, site);
            }
            _ if arm::is_path(path) => return arm::begin(self, request, client),
            _ if path.starts_with("/acr/v1/") => {
                let site = self.site(request, client)?;
                return acr::begin(self, request, client, site);
            }
            _ if let Some(route) = EntraRoute::parse(path) => {
                return entra::begin(self, request, client, route);
            }
            _ if GraphRoute::strip_prefix(path).is_some() => {
                return graph::begin(self, request, client);
            }
            _ if path.starts_with("/oauth2/") => {
                request.exchange.set_endpoint(Endpoint::Token);
                if request.parts.method == Method::OPTIONS {
                    return Ok(Step::Done(Cors::options("GET, POST")));
                }
                token_plane::check(&request.parts)?;
                let site = self.site(request, client)?;
                self.check_address_rate(request, client.remote.ip())?;
                self.check_quota(&[Kind::Token], site.registry.get(), None)?;
                return Ok(Step::Later(Pending::Token(site, client.remote.ip())));
            }
            _ if path.starts_with(clouds::PREFIX) => {
                let host = self.site(request, client)?;
                let path = request.parts.uri.path();
                let answer = clouds::answer(&self.naming, path, host.scheme, &host.login_server)?;
                (Endpoint::Other, Step::Done(answer))
            }
            _ => return Err(Refusal::no_endpoint()),
        };
        request.exchange.set_endpoint(endpoint);
        if is_read {
            Ok(step)
        } else {
            Err(Refusal::method_not_allowed("GET, HEAD"))
        }
    }

    pub(crate) fn site(
        &self,
        request: &mut Received,
        client: &Client,
    ) -> Result<Arc<Site>, Refusal> {
        let site = self.resolver.resolve(
            &request.parts,
            client.scheme,
            client.local,
            client.remote,
            &mut client.last_site.borrow_mut(),
        )?;
        request.strict_transport = site.is_strict;
        if request.exchange.has_note() {
            let remote = self
                .resolver
                .client_address(&request.parts, client.remote.ip());
            request.exchange.note(|note| {
                note.registry = Some(site.registry);
                note.set_remote(remote);
            });
        }
        Ok(site)
    }

    fn check_metrics_access(&self, request: &Received, client: &Client) -> Result<(), Refusal> {
        let is_local = client.remote.ip().to_canonical().is_loopback();
        let headers = &request.parts.headers;
        let is_proxied =
            headers.contains_key("x-forwarded-for") || headers.contains_key("forwarded");
        match self.metrics {
            MetricsAccess::Everyone => Ok(()),
            MetricsAccess::Loopback if is_local && !is_proxied => Ok(()),
            MetricsAccess::Loopback | MetricsAccess::Off => Err(Refusal::no_endpoint()),
        }
    }

    fn render_metrics(&self) -> Response<Body> {
        let mut out = Exposition::default();
        out.family("lazuli_build", "info", "The program.");
        out.sample("_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        self.shell.observed.metrics.render(&mut out);
        out.family("lazuli_http_connections_open", "gauge", "Open connections.");
        out.sample("", &[], self.open_connections() as f64);
        metrics::render_process(&mut out);
        metrics::render_database(&mut out, &self.registry.db().stats());
        for collector in &self.collectors {
            collector(&mut out);
        }
        let mut response = Response::new(Body::full(out.finish()));
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static(Exposition::CONTENT_TYPE),
        );
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// A request that has to wait.
pub(crate) enum Pending {
    Ready,
    Token(Arc<Site>, IpAddr),
    Entra(entra::Call),
    Graph(graph::Call),
    Oci(oci::Call),
    Acr(acr::Call),
    Arm(Box<arm::Call>),
}

impl App for Api {
    type Pending = Pending;

    fn answer_now(&self, request: &mut Received, client: &Client) -> Step<Pending> {
        self.plan(request, client)
            .unwrap_or_else(|refusal| Step::Done(refusal.into_response()))
    }

    async fn answer(&self, request: &mut Received, pending: Pending) -> Response<Body> {
        let answer = match pending {
            Pending::Ready => return self.health.ready().await,
            Pending::Token(site, remote) => token_plane::answer(self, request, &site, remote).await,
            Pending::Graph(call) => graph::answer(self, request, call).await,
            Pending::Entra(call) => entra::answer(self, request, call).await,
            Pending::Oci(call) => oci::answer(self, request, call).await,
            Pending::Acr(call) => acr::answer(self, request, call).await,
            Pending::Arm(call) => return arm::answer(self, request, *call).await,
        };
        answer.unwrap_or_else(Refusal::into_response)
    }
}

/// Serves until `shutdown` is ready, then lets requests under way finish, within the grace period.
pub async fn serve(
    api: Arc<Api>,
    listeners: Listeners,
    shutdown: impl Future<Output = ()>,
) -> Ended {
    let shell = api.shell.clone();
    let shutdown = async {
        shutdown.await;
        api.health.shut_down();
    };
    server::serve(api.clone(), shell, listeners, shutdown).await
}

fn root() -> Response<Body> {
    let mut response = Response::new(Body::full("An OCI registry. The interface is at /v2/.\n"));
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}
