//! Under which names clients of the management plane find the parts of this server.
//!
//! Nothing is configured twice: a client gets back the kind of name it came by.
//!
//! - *Names*: it dialled `management.DOMAIN` (by DNS, a hosts file, or the CONNECT proxy): every part has a name of its own,
//!   registries are `NAME.azurecr.DOMAIN`.
//! - *One port*: it dialled anything else: all parts are at that host and port. A registry has a host name below the
//!   configured suffix, or, where the client is on the same machine, a loopback address of its own with the same port.

use std::net::{IpAddr, Ipv4Addr};

use crate::host::Authority;
use crate::resolver::Scheme;

/// The labels in front of the domain.
const MANAGEMENT: &str = "management";
const LOGIN: &str = "login";
const REGISTRIES: &str = "azurecr";
const STORAGE: &str = "core";

/// What the configuration says of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    /// The domain of the names that every part has, such as `lazuli.test`.
    pub domain: String,
    /// The domain below which registries have their names, if it is another one.
    pub suffix: Option<String>,
    /// The port of the HTTPS listener: for clients that came by plain HTTP.
    pub https_port: Option<u16>,
}

impl Default for Naming {
    fn default() -> Self {
        Self {
            domain: "lazuli.test".to_owned(),
            suffix: None,
            https_port: None,
        }
    }
}

/// Where a client finds what. URLs have no slash at the end; suffixes no dot in front, and the port if it is not 443.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// The management plane.
    pub management: String,
    /// Sign-in.
    pub authority: String,
    /// The directory.
    pub graph: String,
    /// What follows a registry's name in its login server.
    pub registries: String,
    /// What follows `ACCOUNT.blob.`.
    pub storage: String,
    /// Whether every part has a name of its own.
    pub by_name: bool,
    host: String,
    port: Option<u16>,
    own_suffix: bool,
}

impl Naming {
    /// The endpoints for a client that dialled this host. Those that came by plain HTTP are sent to HTTPS, because its
    /// libraries take no other address.
    pub fn endpoints(&self, scheme: Scheme, dialled: &str) -> Endpoints {
        let dialled = dialled.to_ascii_lowercase();
        let authority = Authority::parse(&dialled).unwrap_or(Authority {
            host: "localhost",
            port: None,
        });
        let host = authority.host.strip_suffix('.').unwrap_or(authority.host);
        let is_plain = scheme == Scheme::Http;
        // An address of this machine is in the certificate by name; so is the address itself.
        let (host, port) = match (is_plain, self.https_port) {
            (true, Some(port)) if is_loopback(host) => ("localhost", Some(port)),
            (true, Some(port)) => (host, Some(port)),
            _ => (host, authority.port),
        };
        let port = port.filter(|port| *port != 443);
        let with_port = |name: String| match port {
            Some(port) => format!("{name}:{port}"),
            None => name,
        };
        let label = |label: &str| format!("{label}.{}", self.domain);
        let by_name = [MANAGEMENT, LOGIN].iter().any(|part| host == label(part));
        let one = format!("https://{}", with_port(host.to_owned()));
        let (management, sign_in) = if by_name {
            let url = |part| format!("https://{}", with_port(label(part)));
            (url(MANAGEMENT), url(LOGIN))
        } else {
            (one.clone(), one)
        };
        let suffix = match &self.suffix {
            Some(suffix) if !by_name => suffix.clone(),
            _ => label(REGISTRIES),
        };
        Endpoints {
            graph: format!("{management}/graph"),
            management,
            authority: sign_in,
            registries: with_port(suffix),
            storage: with_port(label(STORAGE)),
            by_name,
            host: host.to_owned(),
            port,
            own_suffix: self.suffix.is_some(),
        }
    }

    /// The name of the management plane.
    pub(crate) fn management_name(&self) -> String {
        format!("{MANAGEMENT}.{}", self.domain)
    }

    /// The domains below which `NAME.` selects a registry.
    pub fn suffixes(&self) -> Vec<String> {
        let named = format!("{REGISTRIES}.{}", self.domain);
        self.suffix.iter().cloned().chain([named]).collect()
    }

    /// The names that a certificate needs for all of this.
    pub fn certificate_names(&self) -> Vec<String> {
        let mut names: Vec<String> = [MANAGEMENT, LOGIN]
            .iter()
            .map(|part| format!("{part}.{}", self.domain))
            .collect();
        names.push(format!("*.{REGISTRIES}.{}", self.domain));
        names.push(format!("*.blob.{STORAGE}.{}", self.domain));
        names
    }

    /// Whether a host name is one of these, or one of a registry.
    pub fn is_own(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let below = |domain: &str| {
            host.strip_suffix(domain)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        below(&self.domain) || self.suffix.as_deref().is_some_and(below)
    }
}

impl Endpoints {
    /// The login server of a registry. `hosts`: the hosts that lead to it by themselves; `is_default`: it also answers for
    /// every other host.
    pub fn login_server(&self, name: &str, hosts: &[String], is_default: bool) -> String {
        if self.by_name || self.own_suffix {
            return format!("{name}.{}", self.registries);
        }
        let with_port = |host: &str| match self.port {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let own = hosts
            .iter()
            .find(|host| is_loopback(host) == is_loopback(&self.host) && !host.starts_with(':'));
        match own {
            Some(host) => with_port(host),
            None if is_default => with_port(&self.host),
            None => format!("{name}.{}", self.registries),
        }
    }
}

/// The first loopback address that no registry has yet; `None` when all are taken. The first one of all is everybody's.
pub fn free_address<'a>(taken: impl IntoIterator<Item = &'a str>) -> Option<Ipv4Addr> {
    let taken: std::collections::BTreeSet<Ipv4Addr> = taken
        .into_iter()
        .filter_map(|host| host.parse().ok())
        .collect();
    (2..65_536_u32)
        .map(|low| Ipv4Addr::from(0x7f00_0000 | low))
        .filter(|address| !matches!(address.octets()[3], 0 | 255))
        .find(|address| !taken.contains(address))
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn naming() -> Naming {
        Naming {
            https_port: Some(5443),
            ..Naming::default()
        }
    }

    #[test]
    fn one_port_serves_everything() {
        let endpoints = naming().endpoints(Scheme::Https, "localhost:5443");
        assert_eq!(endpoints.management, "https://localhost:5443");
        assert_eq!(endpoints.authority, "https://localhost:5443");
        assert_eq!(endpoints.graph, "https://localhost:5443/graph");
        assert_eq!(
            endpoints.login_server("lazuli", &[], true),
            "localhost:5443"
        );
        let own = ["127.0.0.2".to_owned()];
        assert_eq!(
            endpoints.login_server("other", &own, false),
            "127.0.0.2:5443"
        );
    }

    #[test]
    fn who_came_by_plain_http_is_sent_to_https() {
        let endpoints = naming().endpoints(Scheme::Http, "127.0.0.1:5000");
        assert_eq!(endpoints.management, "https://localhost:5443");
    }

    #[test]
    fn names_lead_to_names() {
        let endpoints = naming().endpoints(Scheme::Https, "Management.lazuli.test");
        assert_eq!(endpoints.authority, "https://login.lazuli.test");
        let own = ["127.0.0.2".to_owned()];
        assert_eq!(
            endpoints.login_server("other", &own, false),
            "other.azurecr.lazuli.test"
        );
        let endpoints = naming().endpoints(Scheme::Https, "login.lazuli.test:8444");
        assert_eq!(endpoints.management, "https://management.lazuli.test:8444");
        assert_eq!(endpoints.registries, "azurecr.lazuli.test:8444");
        assert_eq!(endpoints.storage, "core.lazuli.test:8444");
    }

    #[test]
    fn a_configured_suffix_holds_at_every_other_host() {
        let naming = Naming {
            suffix: Some("registry.example".to_owned()),
            ..naming()
        };
        let endpoints = naming.endpoints(Scheme::Https, "hub.example");
        assert_eq!(
            endpoints.login_server("team1", &[], false),
            "team1.registry.example"
        );
        assert!(naming.is_own("team1.registry.example") && naming.is_own("login.lazuli.test"));
        assert!(!naming.is_own("registry.example.org") && !naming.is_own("xlazuli.test"));
    }

    #[test]
    fn each_registry_gets_an_address_of_its_own() {
        assert_eq!(free_address([]), Some(Ipv4Addr::new(127, 0, 0, 2)));
        let taken = ["127.0.0.2", ":5001", "a.example", "127.0.0.3"];
        assert_eq!(free_address(taken), Some(Ipv4Addr::new(127, 0, 0, 4)));
    }
}
