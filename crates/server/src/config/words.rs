//! Settings that are one of a few words.

use lazuli_api::MetricsAccess;

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
