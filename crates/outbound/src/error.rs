//! What can go wrong with a request.

use std::error::Error as _;

use crate::reach::Refusal;

/// Why there is no answer, or no more of it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The destination, or that of a redirect, is not allowed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A redirect without a place, to a place that is no URL, from HTTPS to HTTP, or one too many.
    #[error("{url} redirects {what}")]
    Redirect {
        /// Where from.
        url: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The answer is larger than allowed.
    #[error("{url} answers with more than {limit} bytes")]
    TooLarge {
        /// Where from.
        url: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// The answer took too long.
    #[error("{url} did not answer in time")]
    TimedOut {
        /// Where from.
        url: String,
    },
    /// The connection failed, or broke.
    #[error("{url}: {reason}")]
    Connection {
        /// Where to.
        url: String,
        /// What the network says.
        reason: String,
    },
    /// The client cannot be made of these options, or the request not of these parts.
    #[error("{0}")]
    Invalid(String),
}

impl Error {
    /// Whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::TimedOut { .. } | Self::Connection { .. })
    }

    pub(crate) fn of_request(url: &str, error: &reqwest::Error) -> Self {
        let mut reason = String::new();
        let mut cause = error.source();
        while let Some(inner) = cause {
            if let Some(refusal) = inner.downcast_ref::<Refusal>() {
                return Self::Refused(refusal.clone());
            }
            // The innermost cause says what happened; what is around it only where.
            reason = inner.to_string();
            cause = inner.source();
        }
        let url = url.to_owned();
        if error.is_timeout() {
            return Self::TimedOut { url };
        }
        if error.is_builder() {
            return Self::Invalid(format!("{url}: {reason}"));
        }
        if reason.is_empty() {
            reason.push_str("the connection failed");
        }
        Self::Connection { url, reason }
    }
}
