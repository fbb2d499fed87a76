//! Who asks, with proof, and under which condition.

use std::sync::Arc;

use lazuli_identity::{ArmAccess, Caller};
use lazuli_wire::arm_scope::ArmScope;

use crate::{Error, Result};

/// Who asks for something, with the proof that it may, and in which request.
#[derive(Debug, Clone)]
pub struct Actor {
    access: ArmAccess,
    request_id: Arc<str>,
}

impl Actor {
    /// An actor of a proof.
    pub fn new(access: ArmAccess, request_id: Arc<str>) -> Self {
        Self { access, request_id }
    }

    /// Who asks.
    pub fn caller(&self) -> &Caller {
        self.access.caller()
    }

    /// The resource it may do this with.
    pub fn scope(&self) -> &ArmScope {
        self.access.scope()
    }

    /// What it may do, in the words of roles.
    pub fn action(&self) -> &str {
        self.access.action().as_str()
    }

    /// How it is written into rows: the object.
    pub(crate) fn object(&self) -> String {
        self.caller().object().to_string()
    }

    /// The text in the operation log.
    pub(crate) fn principal(&self) -> Arc<str> {
        if self.caller().is_operator() {
            return Arc::from("operator");
        }
        let (tenant, object) = (self.caller().tenant(), self.caller().object());
        Arc::from(format!("directory:{tenant}/{object}"))
    }

    pub(crate) fn request_id(&self) -> &Arc<str> {
        &self.request_id
    }

    /// Fails when the proof is about something else: a mistake in the program, which must not become a hole.
    pub(crate) fn check(&self, scope: &ArmScope) -> Result<()> {
        if self.access.scope().contains(scope) {
            return Ok(());
        }
        tracing::error!(proof = %self.access.scope(), %scope, "a proof was used for another resource");
        Err(Error::Registry(lazuli_registry::Error::Internal(
            "a proof was used for another resource",
        )))
    }
}

/// The condition of a change (`If-Match`, `If-None-Match`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Precondition {
    /// None.
    #[default]
    None,
    /// The resource is there (`If-Match: *`).
    Exists,
    /// The resource is not there (`If-None-Match: *`).
    Absent,
    /// The resource has one of these tags (`If-Match`).
    Is(Vec<String>),
}

impl Precondition {
    /// Fails when it does not hold. `version`: of the resource, if it is there.
    pub(crate) fn check(&self, version: Option<i64>) -> Result<()> {
        let holds = match (self, version) {
            (Self::None, _) | (Self::Exists, Some(_)) | (Self::Absent, None) => true,
            (Self::Exists | Self::Is(_), None) | (Self::Absent, Some(_)) => false,
            (Self::Is(tags), Some(version)) => tags.contains(&tag(version)),
        };
        holds.then_some(()).ok_or(Error::Precondition)
    }
}

/// The tag of a version, without quotes.
pub(crate) fn tag(version: i64) -> String {
    format!("{version:x}")
}
