//! A client as real ones are before a server that redirects: it goes on at the address it is given, without its credentials.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use lazuli_testkit::http::{self, Response};
use lazuli_testkit::server::{PASSWORD, Server, basic};

/// Redirects that were followed.
pub(crate) static FOLLOWED: AtomicUsize = AtomicUsize::new(0);

pub(crate) struct Target(Server);

pub(crate) fn server() -> &'static Target {
    static TARGET: OnceLock<Target> = OnceLock::new();
    TARGET.get_or_init(|| {
        let store = crate::environment();
        let mut environment: Vec<_> = store.iter().map(|(k, v)| (*k, v.as_str())).collect();
        environment.push(("LAZULI_LOG_ACCESS", "false"));
        Target(Server::start(env!("CARGO_BIN_EXE_lazuli"), &environment))
    })
}

impl Target {
    pub(crate) fn anonymous(&self) -> Client {
        Client(http::Client::new(self.http()))
    }

    pub(crate) fn admin(&self) -> Client {
        self.anonymous()
            .with_authorization(basic("lazuli", PASSWORD))
    }

    pub(crate) fn http(&self) -> std::net::SocketAddr {
        self.0.http()
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Client(http::Client);

impl Client {
    pub(crate) fn with_authorization(&self, value: impl Into<String>) -> Self {
        Self(self.0.with_authorization(value))
    }

    pub(crate) fn get(&self, target: &str) -> Response {
        self.send("GET", target, &[], &[])
    }

    pub(crate) fn head(&self, target: &str) -> Response {
        self.send("HEAD", target, &[], &[])
    }

    pub(crate) fn delete(&self, target: &str) -> Response {
        self.send("DELETE", target, &[], &[])
    }

    pub(crate) fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        follow(self.0.send(method, target, headers, body), method, headers)
    }

    pub(crate) fn try_send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<Response> {
        let response = self.0.try_send(method, target, headers, body)?;
        Ok(follow(response, method, headers))
    }
}

/// The store's answer, with the digest that the redirect told: the store does not know that header.
fn follow(response: Response, method: &str, headers: &[(&str, &str)]) -> Response {
    if response.status != 307 {
        return response;
    }
    FOLLOWED.fetch_add(1, Ordering::Relaxed);
    let url = response.header("location").expect("a Location");
    let (address, target) = url
        .strip_prefix("http://")
        .and_then(|rest| rest.split_once('/'))
        .expect("an address");
    let store = http::Client::new(address.parse().unwrap());
    let mut followed = store.send(method, &format!("/{target}"), headers, &[]);
    let told = response.headers.into_iter();
    followed
        .headers
        .extend(told.filter(|(name, _)| name == "docker-content-digest"));
    followed
}
