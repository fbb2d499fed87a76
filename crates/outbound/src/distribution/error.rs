//! What can go wrong between registries.

use std::time::Duration;

use http::StatusCode;

/// Why a registry did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no answer.
    #[error(transparent)]
    Outbound(#[from] crate::Error),
    /// The credentials are missing, wrong, or not enough.
    #[error("{url} denies access ({status}): {message}")]
    Denied {
        /// What was asked.
        url: String,
        /// 401 or 403.
        status: StatusCode,
        /// The registry's words.
        message: String,
    },
    /// Another status than one that was expected.
    #[error("{url} answers {status}: {message}")]
    Status {
        /// What was asked.
        url: String,
        /// The status.
        status: StatusCode,
        /// The registry's words.
        message: String,
        /// How long the registry wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// An answer that is not what the protocol says.
    #[error("{url}: {what}")]
    Protocol {
        /// What was asked.
        url: String,
        /// What is wrong with the answer.
        what: String,
    },
}

impl Error {
    /// Whether the same may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Outbound(error) => error.is_transient(),
            Self::Status { status, .. } => is_transient(*status),
            Self::Denied { .. } | Self::Protocol { .. } => false,
        }
    }

    /// How long the registry wants to be left alone, if it says so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// Overload and faults of a server, which pass.
pub(super) fn is_transient(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}
