//! Which registry a request is for, and what the client calls it.
//!
//! A registry is chosen by the host name dialled (one of its own, or `<name>.<suffix>`), by the listener's port, or it is
//! the default one. The login server, which is also the `service` of tokens, is the host as dialled, or the configured
//! public one.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arc_swap::ArcSwap;
use http::header::{HOST, HeaderValue};
use http::request::Parts;
use lazuli_identity::RegistryId;

use crate::errors::Refusal;
use crate::host::Authority;

/// How a registry is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostedRegistry {
    /// Its number.
    pub id: RegistryId,
    /// Its name: `<name>.<suffix>` leads to it.
    pub name: String,
    /// Further host names, in lower case and without port, and ports written as `:5001`.
    pub hosts: Vec<String>,
}

/// What the resolver is told by the configuration.
#[derive(Debug, Clone)]
pub struct ResolverOptions {
    /// Domains under which each registry has a host name, such as `registry.example`.
    pub suffixes: Vec<String>,
    /// The registry for every other host; `None` to answer 404 instead.
    pub default_registry: Option<RegistryId>,
    /// The URL clients use, when it is not what arrives here, such as `https://registry.example`.
    pub public_url: Option<PublicUrl>,
    /// Proxies whose `X-Forwarded-*` headers are believed.
    pub trusted_proxies: Vec<Network>,
}

impl Default for ResolverOptions {
    fn default() -> Self {
        Self {
            suffixes: Vec::new(),
            default_registry: Some(RegistryId::DEFAULT),
            public_url: None,
            trusted_proxies: Vec::new(),
        }
    }
}

/// Scheme and `host[:port]` of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    scheme: Scheme,
    authority: String,
}

impl PublicUrl {
    /// Reads `https://host[:port]`, also with a trailing slash.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        Authority::parse(authority)?;
        Some(Self {
            scheme: Scheme::parse(scheme)?,
            authority: authority.to_owned(),
        })
    }
}

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Reads an address, or a range such as `10.0.0.0/8`.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let bits: u8 = bits.map_or(Some(longest), |bits| bits.parse().ok())?;
        if bits > longest {
            return None;
        }
        // An address of IPv4 written as IPv6 is compared as what it is.
        let canonical = address.to_canonical();
        let bits = if canonical == address {
            bits
        } else {
            bits.checked_sub(96)?
        };
        Some(Self {
            address: canonical,
            bits,
        })
    }

    /// Whether an address is in the range.
    pub fn contains(&self, address: IpAddr) -> bool {
        let cut = |value: u128, width: u32| value.checked_shr(width - u32::from(self.bits));
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(mine), IpAddr::V4(other)) => {
                cut(u32::from(mine).into(), 32) == cut(u32::from(other).into(), 32)
            }
            (IpAddr::V6(mine), IpAddr::V6(other)) => {
                cut(mine.into(), 128) == cut(other.into(), 128)
            }
            _ => false,
        }
    }
}

/// How the client reached the login server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `http`
    Http,
    /// `https`
    Https,
}

impl Scheme {
    /// As in URLs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Http, Self::Https]
            .into_iter()
            .find(|scheme| text.eq_ignore_ascii_case(scheme.as_str()))
    }
}

/// The registry a request is for, as its client reached it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Site {
    /// The registry.
    pub(crate) registry: RegistryId,
    /// The login server: `host[:port]`, in lower case.
    pub(crate) login_server: String,
    /// How the client reached it.
    pub(crate) scheme: Scheme,
    /// Whether clients should be told to use nothing but HTTPS for this host name. Not for addresses and `localhost`,
    /// where other programs answer on other ports.
    pub(crate) is_strict: bool,
}

impl Site {
    fn new(registry: RegistryId, dialled: &str, scheme: Scheme) -> Self {
        let login_server = dialled.to_ascii_lowercase();
        let host = Authority::parse(&login_server).map_or("", |authority| authority.host);
        let is_strict = scheme == Scheme::Https
            && !host.starts_with('[')
            && host.parse::<IpAddr>().is_err()
            && host.rsplit('.').next() != Some("localhost");
        Self {
            registry,
            login_server,
            scheme,
            is_strict,
        }
    }
}

/// What a connection remembers of its last request: clients dial one host per connection.
#[derive(Debug, Default)]
pub(crate) struct LastSite(Option<(HeaderValue, u64, Arc<Site>)>);

#[derive(Debug, Default)]
struct Directory {
    by_host: HashMap<String, RegistryId>,
    by_name: HashMap<String, RegistryId>,
}

/// Finds registries.
#[derive(Debug)]
pub(crate) struct Resolver {
    options: ResolverOptions,
    directory: ArcSwap<Directory>,
    /// Grows with each new directory.
    version: AtomicU64,
}

impl Resolver {
    /// A resolver that knows no registry yet but the default one.
    pub(crate) fn new(options: ResolverOptions) -> Self {
        Self {
            options,
            directory: ArcSwap::default(),
            version: AtomicU64::new(0),
        }
    }

    /// Takes over how all registries are found.
    pub(crate) fn update(&self, registries: impl IntoIterator<Item = HostedRegistry>) {
        let mut directory = Directory::default();
        for registry in registries {
            for host in registry.hosts {
                directory
                    .by_host
                    .insert(host.to_ascii_lowercase(), registry.id);
            }
            directory
                .by_name
                .insert(registry.name.to_ascii_lowercase(), registry.id);
        }
        self.directory.store(Arc::new(directory));
        self.version.fetch_add(1, Relaxed);
    }

    /// The registry of a request that came to the listener at `local` from `remote`.
    pub(crate) fn resolve(
        &self,
        request: &Parts,
        listener: Scheme,
        local: SocketAddr,
        remote: SocketAddr,
        last: &mut LastSite,
    ) -> Result<Arc<Site>, Refusal> {
        let proxied = self.is_trusted(remote.ip());
        let host = request.headers.get(HOST);
        let version = self.version.load(Relaxed);
        if !proxied
            && let Some((last_host, last_version, site)) = &last.0
            && host == Some(last_host)
            && *last_version == version
        {
            return Ok(site.clone());
        }
        let forwarded = |name| {
            let value = request
                .headers
                .get(name)
                .filter(|_| proxied)?
                .to_str()
                .ok()?;
            value.split(',').next().map(str::trim)
        };
        let dialled = match (forwarded("x-forwarded-host"), host) {
            (Some(host), _) => host.to_owned(),
            (None, Some(host)) => host.to_str().unwrap_or_default().to_owned(),
            // HTTP/1.0.
            (None, None) => local.to_string(),
        };
        let scheme = forwarded("x-forwarded-proto").and_then(Scheme::parse);
        let site = Arc::new(self.find(&dialled, scheme.unwrap_or(listener), local)?);
        if !proxied && let Some(host) = host {
            last.0 = Some((host.clone(), version, site.clone()));
        }
        Ok(site)
    }

    fn find(&self, dialled: &str, scheme: Scheme, local: SocketAddr) -> Result<Site, Refusal> {
        let authority =
            Authority::parse(dialled).ok_or_else(|| Refusal::malformed("invalid host name"))?;
        let host = authority.host.to_ascii_lowercase();
        let host = host.strip_suffix('.').unwrap_or(&host);
        let directory = self.directory.load();
        let by_suffix = || {
            let mut names = self.options.suffixes.iter().filter_map(|suffix| {
                let name = host.strip_suffix(suffix.as_str())?.strip_suffix('.')?;
                directory.by_name.get(name)
            });
            names.next()
        };
        let by_port = || directory.by_host.get(&format!(":{}", local.port()));
        let registry = directory
            .by_host
            .get(host)
            .or_else(by_suffix)
            .or_else(by_port)
            .copied()
            .or(self.options.default_registry)
            .ok_or_else(Refusal::no_endpoint)?;
        Ok(match &self.options.public_url {
            Some(url) if Some(registry) == self.options.default_registry => {
                Site::new(registry, &url.authority, url.scheme)
            }
            _ => Site::new(registry, dialled, scheme),
        })
    }

    /// The client's address: the last one in `X-Forwarded-For` that is no trusted proxy.
    pub(crate) fn client_address(&self, request: &Parts, remote: IpAddr) -> IpAddr {
        if !self.is_trusted(remote) {
            return remote;
        }
        let fields = request.headers.get_all("x-forwarded-for").iter();
        let mut client = remote;
        let hops = fields
            .rev()
            .flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
        for hop in hops {
            // What cannot be read is where the client's own words may begin: nothing before it counts.
            let Some(address) = str::from_utf8(hop).ok().and_then(read_hop) else {
                break;
            };
            client = address;
            if !self.is_trusted(client) {
                break;
            }
        }
        client
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        let mut networks = self.options.trusted_proxies.iter();
        networks.any(|network| network.contains(address))
    }
}

/// An address in `X-Forwarded-For`. Some proxies write the port too, and brackets around IPv6.
fn read_hop(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip());
    }
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
}

#[cfg(test)]
#[path = "resolver_tests.rs"]
mod tests;
