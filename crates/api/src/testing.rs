//! Readers of what comes before a request is understood, by themselves, for property tests and fuzzing. Never part of a
//! product build.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::request::Parts;
use lazuli_identity::RegistryId;

use crate::framing::Framing;
use crate::host::Authority;
use crate::resolver::{HostedRegistry, LastSite, Resolver, ResolverOptions, Scheme};

/// The longest `host[:port]` that is read, in bytes.
pub const LONGEST_AUTHORITY: usize = crate::host::LONGEST;

/// Host and port of a `Host` header or of what a proxy forwarded of it.
pub fn read_authority(text: &str) -> Option<(&str, Option<u16>)> {
    Authority::parse(text).map(|Authority { host, port }| (host, port))
}

/// What a request is for, as its client reached it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// The registry.
    pub registry: RegistryId,
    /// The login server: `host[:port]`.
    pub login_server: String,
    /// How the client reached it.
    pub scheme: Scheme,
}

/// The requests of one connection, as their heads are read for who asks whom.
#[derive(Debug)]
pub struct Requests {
    resolver: Resolver,
    last: LastSite,
    local: SocketAddr,
}

impl Requests {
    /// A connection to a listener at `local`.
    pub fn new(
        options: ResolverOptions,
        registries: impl IntoIterator<Item = HostedRegistry>,
        local: SocketAddr,
    ) -> Self {
        let resolver = Resolver::new(options);
        resolver.update(registries);
        Self {
            resolver,
            last: LastSite::default(),
            local,
        }
    }

    /// What the next request of the connection is for; `None` if it is refused.
    pub fn next(&mut self, headers: &HeaderMap, remote: SocketAddr) -> Option<Site> {
        let found = self.resolver.resolve(
            &head(headers),
            Scheme::Http,
            self.local,
            remote,
            &mut self.last,
        );
        found.ok().map(|site| Site {
            registry: site.registry,
            login_server: site.login_server.clone(),
            scheme: site.scheme,
        })
    }

    /// The address of the client of a request that came from `remote`.
    pub fn client_address(&self, headers: &HeaderMap, remote: IpAddr) -> IpAddr {
        self.resolver.client_address(&head(headers), remote)
    }
}

fn head(headers: &HeaderMap) -> Parts {
    let mut parts = http::Request::new(()).into_parts().0;
    parts.headers = headers.clone();
    parts
}

/// Watches the bytes of a connection for heads that tell the length of their body more than once.
#[derive(Debug, Default)]
pub struct HeadScanner(Framing);

impl HeadScanner {
    /// The next bytes are those of a new request.
    pub fn expect_request(&mut self) {
        self.0.expect_request();
    }

    /// Looks at bytes as they are read.
    pub fn observe(&mut self, bytes: &[u8]) {
        self.0.observe(bytes);
    }

    /// Whether the head told the length of its body more than once.
    pub fn is_ambiguous(&self) -> bool {
        self.0.is_ambiguous()
    }
}
