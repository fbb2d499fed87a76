//! The settings' own types: addresses, names, URLs, networks. Each is refused here if it could not work later.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use lazuli_wire::token::Secret;

use super::value::{Kind, Setting, quoted, refusal};

/// Where a listener listens, or that it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listen {
    Off,
    At(SocketAddr),
}

impl Listen {
    pub(crate) fn address(self) -> Option<SocketAddr> {
        match self {
            Listen::Off => None,
            Listen::At(address) => Some(address),
        }
    }
}

impl Setting for Listen {
    const KIND: Kind = Kind::new(
        "ADDRESS",
        "an address and port, such as 127.0.0.1:5000 or [::1]:5000, or \"off\"",
    );

    fn from_text(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("off") {
            return Ok(Listen::Off);
        }
        text.parse().map(Listen::At).map_err(|_| {
            let refused = refusal::<Self>(&format!("\"{text}\""));
            match text.strip_prefix(':').unwrap_or(text).parse::<u16>() {
                Ok(port) => format!(
                    "{refused}; for this computer only write 127.0.0.1:{port}, for every interface 0.0.0.0:{port}"
                ),
                Err(_) => refused,
            }
        })
    }

    fn to_toml(&self) -> Option<String> {
        Some(match self {
            Listen::Off => quoted("off"),
            Listen::At(address) => quoted(&address.to_string()),
        })
    }
}

/// The name of the default registry: 5 to 50 letters and digits, as Azure names a registry; kept in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RegistryName(pub(crate) String);

impl Setting for RegistryName {
    const KIND: Kind = Kind::new("NAME", "a registry name: 5 to 50 letters and digits");

    fn from_text(text: &str) -> Result<Self, String> {
        if (5..=50).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric()) {
            Ok(RegistryName(text.to_ascii_lowercase()))
        } else {
            Err(refusal::<Self>(&format!("\"{text}\"")))
        }
    }

    fn to_toml(&self) -> Option<String> {
        Some(quoted(&self.0))
    }
}

/// Whether the text is a host name by RFC 1123: labels of letters, digits and hyphens, at most 253 bytes.
pub(crate) fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// A DNS name without a port, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DomainName(pub(crate) String);

impl Setting for DomainName {
    const KIND: Kind = Kind::new("DOMAIN", "a domain name, such as registry.example.com");

    fn from_text(text: &str) -> Result<Self, String> {
        let name = text.strip_prefix('.').unwrap_or(text);
        if is_host_name(name) && name.parse::<IpAddr>().is_err() {
            Ok(DomainName(name.to_ascii_lowercase()))
        } else {
            Err(refusal::<Self>(&format!("\"{text}\"")))
        }
    }

    fn to_toml(&self) -> Option<String> {
        Some(quoted(&self.0))
    }
}

/// A name that a certificate can carry: a host name, `*.` and a host name, or an IP address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CertificateName(pub(crate) String);

impl CertificateName {
    /// The name, if a certificate can carry it.
    pub(crate) fn parse(text: &str) -> Option<CertificateName> {
        Self::from_text(text).ok()
    }
}

impl Setting for CertificateName {
    const KIND: Kind = Kind::new(
        "NAME,…",
        "a host name or address, such as registry.example.com, *.example.com or 192.0.2.7",
    );

    fn from_text(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(CertificateName(address.to_string()));
        }
        if is_host_name(text.strip_prefix("*.").unwrap_or(text)) {
            Ok(CertificateName(text.to_ascii_lowercase()))
        } else {
            Err(refusal::<Self>(&format!("\"{text}\"")))
        }
    }

    fn to_toml(&self) -> Option<String> {
        Some(quoted(&self.0))
    }
}

/// Where clients reach this server when that is not where it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicUrl {
    pub(crate) parsed: lazuli_api::PublicUrl,
    text: String,
}

impl PublicUrl {
    /// Host and, if given, port: what clients write before the repository's name.
    pub(crate) fn authority(&self) -> &str {
        self.text
            .split_once("://")
            .map_or(&self.text, |(_, authority)| authority)
    }

    /// The host name or address without port and brackets.
    pub(crate) fn host(&self) -> &str {
        let authority = self.authority();
        match authority.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or(rest),
            None => authority.split(':').next().unwrap_or(authority),
        }
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Setting for PublicUrl {
    const KIND: Kind = Kind::new(
        "URL",
        "a URL without a path, such as https://registry.example.com",
    );

    fn from_text(text: &str) -> Result<Self, String> {
        let parsed = lazuli_api::PublicUrl::parse(text);
        let parsed = parsed.ok_or_else(|| refusal::<Self>(&format!("\"{text}\"")))?;
        let text = text.strip_suffix('/').unwrap_or(text).to_ascii_lowercase();
        Ok(PublicUrl { parsed, text })
    }

    fn to_toml(&self) -> Option<String> {
        Some(quoted(&self.text))
    }
}

/// Where a web page comes from, as browsers say it; or `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WebOrigin(pub(crate) String);

impl Setting for WebOrigin {
    const KIND: Kind = Kind::new(
        "ORIGIN,…",
        "the origin of a web page, such as https://portal.example.com, or \"*\"",
    );

    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "*" => Ok(WebOrigin("*".to_owned())),
            text => PublicUrl::from_text(text)
                .map(|url| WebOrigin(url.text))
                .map_err(|_| refusal::<Self>(&format!("\"{text}\""))),
        }
    }

    fn to_toml(&self) -> Option<String> {
        Some(quoted(&self.0))
    }
}

/// An address range in CIDR notation; a lone address is a range of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    pub(crate) parsed: lazuli_api::Network,
    text: String,
}

impl Setting for Network {
    const KIND: Kind = Kind::new(
        "NETWORK,…",
        "an address or network, such as 10.0.0.0/8 or 127.0.0.1",
    );

    fn from_text(text: &str) -> Result<Self, String> {
        let parsed = lazuli_api::Network::parse(text);
        let parsed = parsed.ok_or_else(|| refusal::<Self>(&format!("\"{text}\"")))?;
        Ok(Network {
            parsed,
            text: text.to_owned(),
        })
    }

    fn to_toml(&self) -> Option<String> {
        Some(quoted(&self.text))
    }
}

/// Never printed.
impl Setting for Secret {
    const KIND: Kind = Kind::new("SECRET", "a secret");

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(Secret::new(text))
    }

    fn to_toml(&self) -> Option<String> {
        Some(quoted("***"))
    }
}

/// Which log events are written: a level, or levels by module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogLevel(pub(crate) String);

impl Setting for LogLevel {
    const KIND: Kind = Kind::new(
        "LEVEL",
        "error, warn, info, debug or trace, or levels by module such as info,lazuli_api=debug",
    );

    fn from_text(text: &str) -> Result<Self, String> {
        let level = |text: &str| {
            ["off", "error", "warn", "info", "debug", "trace"]
                .iter()
                .any(|l| l.eq_ignore_ascii_case(text))
        };
        let directive = |text: &str| match text.split_once('=') {
            Some((module, l)) => !module.is_empty() && level(l),
            None => level(text),
        };
        if text.split(',').all(|part| directive(part.trim())) {
            Ok(LogLevel(text.replace(' ', "")))
        } else {
            Err(refusal::<Self>(&format!("\"{text}\"")))
        }
    }

    fn to_toml(&self) -> Option<String> {
        Some(quoted(&self.0))
    }
}

/// Where the metadata lives.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum DatabaseUrl {
    /// `sqlite`: the file `lazuli.db` in the data folder.
    Embedded,
    /// `postgres://user:password@host/database`
    Postgres(String),
}

impl DatabaseUrl {
    /// The URL without its password.
    pub(crate) fn masked(&self) -> String {
        let DatabaseUrl::Postgres(url) = self else {
            return "sqlite".to_owned();
        };
        let masked = || {
            let (scheme, rest) = url.split_once("://")?;
            let (user, host) = rest.rsplit_once('@')?;
            let (user, _password) = user.split_once(':')?;
            Some(format!("{scheme}://{user}:***@{host}"))
        };
        let url = masked().unwrap_or_else(|| url.clone());
        match url.split_once("password=") {
            Some((before, after)) => {
                let rest = after.find('&').map_or("", |at| &after[at..]);
                format!("{before}password=***{rest}")
            }
            None => url,
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl Setting for DatabaseUrl {
    const KIND: Kind = Kind::new(
        "URL",
        "\"sqlite\" or a URL such as postgres://user:password@host/database",
    );

    fn from_text(text: &str) -> Result<Self, String> {
        if text == "sqlite" {
            Ok(DatabaseUrl::Embedded)
        } else if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            Ok(DatabaseUrl::Postgres(text.to_owned()))
        } else {
            // The text may hold a password: it is not repeated.
            Err(refusal::<Self>("this"))
        }
    }

    fn to_toml(&self) -> Option<String> {
        Some(quoted(&self.masked()))
    }
}

#[cfg(test)]
#[path = "kinds_tests.rs"]
mod tests;
