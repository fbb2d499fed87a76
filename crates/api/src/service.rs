//! From hyper's request to an answer: what is the same for every request, whatever it asks for.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::service::Service;

use crate::body::{Body, RequestBody};
use crate::connections::{Connection, Connections};
use crate::errors::Refusal;
use crate::exchange::{Exchange, Observed};
use crate::headers::{self, Cors};
use crate::hygiene;
use crate::limits::Limits;
use crate::resolver::{LastSite, Scheme};
use crate::stream::Seen;

/// The parts of a server that know nothing of registries.
#[derive(Debug)]
pub(crate) struct Shell {
    pub(crate) limits: Limits,
    pub(crate) cors: Cors,
    pub(crate) observed: Arc<Observed>,
    pub(crate) connections: Arc<Connections>,
}

/// What answers requests.
pub(crate) trait App: Send + Sync + 'static {
    /// What is already known of a request that has to wait.
    type Pending: Send + 'static;

    /// Answers at once what needs no waiting. Most requests by far: they cost no task, no box and no queue.
    fn answer_now(&self, request: &mut Received, client: &Client) -> Step<Self::Pending>;

    /// Answers the others. Dropped when the client goes away.
    fn answer(
        &self,
        request: &mut Received,
        pending: Self::Pending,
    ) -> impl Future<Output = Response<Body>> + Send;
}

/// What can be said of a request without waiting.
pub(crate) enum Step<P> {
    /// Everything.
    Done(Response<Body>),
    /// This much; the rest takes waiting.
    Later(P),
}

/// A request under way.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) parts: Parts,
    pub(crate) body: RequestBody,
    pub(crate) exchange: Exchange,
    /// Decided by the app: whether the answer tells clients to use nothing but HTTPS.
    pub(crate) strict_transport: bool,
}

/// The other end of a connection, as the app may want to know it.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) scheme: Scheme,
    /// The address it dialled, here.
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) last_site: RefCell<LastSite>,
}

/// The service of one connection.
#[derive(Debug)]
pub(crate) struct ConnectionService<A> {
    pub(crate) app: Arc<A>,
    pub(crate) shell: Arc<Shell>,
    pub(crate) connection: Arc<Connection>,
    pub(crate) seen: Arc<Seen>,
    pub(crate) client: Client,
}

/// What was kept of a request for the end of its answer.
struct Ending {
    is_head: bool,
    origin: Option<HeaderValue>,
}

impl<A: App> Service<Request<Incoming>> for ConnectionService<A> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, request: Request<Incoming>) -> Answer {
        let (parts, body) = request.into_parts();
        let mut received = Received {
            body: RequestBody::new(body, &self.connection, &self.shell.limits),
            exchange: Exchange::begin(&self.shell.observed, &self.connection, &parts),
            parts,
            strict_transport: false,
        };
        let ending = Ending {
            is_head: received.parts.method == Method::HEAD,
            origin: self.shell.cors.origin(&received.parts.headers),
        };
        let ambiguous = self.seen.take_ambiguous_framing();
        let step = match hygiene::check(&received.parts, ambiguous, &self.shell.limits) {
            Ok(()) => self.app.answer_now(&mut received, &self.client),
            Err(refusal) => Step::Done(refusal.into_response()),
        };
        let pending = match step {
            Step::Done(response) => {
                return Answer::Now(Some(ending.finish(response, received, &self.shell)));
            }
            Step::Later(pending) => pending,
        };
        let (app, shell) = (self.app.clone(), self.shell.clone());
        Answer::Later(Box::pin(async move {
            let response = app.answer(&mut received, pending).await;
            if !received.body.is_over() && !received.has_to_close(&response) {
                received.body.discard_short().await;
            }
            ending.finish(response, received, &shell)
        }))
    }
}

impl Received {
    /// Whether what is left of the body must not be read: the client was told to wait before it sends it, and with
    /// this answer it will not.
    fn has_to_close(&self, response: &Response<Body>) -> bool {
        let expects = self.parts.headers.contains_key(http::header::EXPECT);
        (expects && self.exchange.connection().request_bytes() == 0)
            || response.headers().contains_key(CONNECTION)
    }
}

impl Ending {
    fn finish(
        self,
        mut response: Response<Body>,
        received: Received,
        shell: &Shell,
    ) -> Response<Body> {
        let id = received.exchange.id();
        let strict_transport = received.strict_transport;
        let headers = response.headers_mut();
        headers::decorate(headers, id, strict_transport);
        shell.cors.decorate(self.origin, headers);
        if !received.body.is_over() {
            // The client may still be sending. It learns that the connection ends, and has time to read the answer.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
            received.exchange.connection().set_linger();
        }
        if self.is_head && response.body().remaining() > 0 {
            let length = response.body().remaining();
            response.headers_mut().insert(CONTENT_LENGTH, length.into());
            *response.body_mut() = Body::empty();
        }
        let status = response.status().as_u16();
        response.body_mut().conclude(received.exchange, status);
        response
    }
}

/// The future of an answer. Those that are there already are not boxed.
pub(crate) enum Answer {
    Now(Option<Response<Body>>),
    Later(Pin<Box<dyn Future<Output = Response<Body>> + Send>>),
}

impl Future for Answer {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Now(response) => {
                // Polled once: hyper drops an answered future. Were it not so, a refusal is better than a panic.
                let response = response.take();
                Poll::Ready(Ok(
                    response.unwrap_or_else(|| Refusal::internal().into_response())
                ))
            }
            Self::Later(future) => future.as_mut().poll(cx).map(Ok),
        }
    }
}
