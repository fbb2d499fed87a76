//! Settings that are one of a few words.

use lazuli_api::{MetricsAccess, RedirectedCallers};

use super::value::{Kind, Setting, quoted, refusal};

impl Setting for MetricsAccess {
    const KIND: Kind = Kind::new("WHO", "\"loopback\", \"everyone\" or \"off\"");

    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "loopback" => Ok(MetricsAccess::Loopback),
            "everyone" => Ok(MetricsAccess::Everyone),
            "off" => Ok(MetricsAccess::Off),
            other => Err(refusal::<Self>(&format!("\"{other}\""))),
        }
    }

    fn to_toml(&self) -> Option<String> {
        Some(quoted(match self {
            MetricsAccess::Loopback => "loopback",
            MetricsAccess::Everyone => "everyone",
            MetricsAccess::Off => "off",
        }))
    }
}

impl Setting for RedirectedCallers {
    const KIND: Kind = Kind::new("WHO", "\"everyone\", \"signed-in\" or \"anonymous\"");

    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "everyone" => Ok(Self::Everyone),
            "signed-in" => Ok(Self::SignedIn),
            "anonymous" => Ok(Self::Anonymous),
            other => Err(refusal::<Self>(&format!("\"{other}\""))),
        }
    }

    fn to_toml(&self) -> Option<String> {
        Some(quoted(match self {
            Self::Everyone => "everyone",
            Self::SignedIn => "signed-in",
            Self::Anonymous => "anonymous",
        }))
    }
}

/// Whose numbers of requests a minute hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QuotaTier {
    Off,
    Standard,
    Premium,
}

impl Setting for QuotaTier {
    const KIND: Kind = Kind::new("TIER", "\"off\", \"standard\" or \"premium\"");

    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "standard" => Ok(Self::Standard),
            "premium" => Ok(Self::Premium),
            other => Err(refusal::<Self>(&format!("\"{other}\""))),
        }
    }

    fn to_toml(&self) -> Option<String> {
        Some(quoted(match self {
            Self::Off => "off",
            Self::Standard => "standard",
            Self::Premium => "premium",
        }))
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

impl Setting for LogFormat {
    const KIND: Kind = Kind::new("FORMAT", "\"text\" or \"json\"");

    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            other => Err(refusal::<Self>(&format!("\"{other}\""))),
        }
    }

    fn to_toml(&self) -> Option<String> {
        Some(quoted(match self {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        }))
    }
}
