//! The outcomes a caller can act on. Codes are those of Azure Resource Manager, because clients look at them.

use lazuli_wire::arm::{BodyError, NameError};
use lazuli_wire::arm_scope::ArmScopeError;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such resource. Answer: 404.
    #[error("{message}")]
    NotFound {
        /// `ResourceNotFound`, `ResourceGroupNotFound`, ..
        code: &'static str,
        /// For people.
        message: String,
    },
    /// The request says something that cannot be. Answer: 400.
    #[error("{message}")]
    Invalid {
        /// `InvalidParameter`, ..
        code: &'static str,
        /// For people: what to do instead.
        message: String,
        /// The property, such as `properties.policies.exportPolicy`.
        target: Option<String>,
    },
    /// What is there stands against it. Answer: 409.
    #[error("{message}")]
    Conflict {
        /// `AlreadyInUse`, `ScopeLocked`, ..
        code: &'static str,
        /// For people.
        message: String,
    },
    /// A condition of the request does not hold (`If-Match`). Answer: 412.
    #[error("the resource was changed meanwhile, or is not what the condition of the request says")]
    Precondition,
    /// Azure can, this server cannot yet. Answer: 400 `FeatureNotAvailable`.
    #[error("this server does not have {feature} yet{}", .target.as_ref().map_or(String::new(), |target| format!(": leave '{target}' at its default")))]
    NotAvailable {
        /// What is missing.
        feature: &'static str,
        /// The property that asked for it.
        target: Option<&'static str>,
    },
    /// Not the caller's fault: the registry.
    #[error(transparent)]
    Registry(#[from] lazuli_registry::Error),
    /// Not the caller's fault: identity.
    #[error(transparent)]
    Identity(#[from] lazuli_identity::Error),
    /// Not the caller's fault: the database.
    #[error(transparent)]
    Database(#[from] lazuli_db::Error),
}

/// The result of a call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The code, as clients look at it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { code, .. }
            | Self::Invalid { code, .. }
            | Self::Conflict { code, .. } => code,
            Self::Precondition => "PreconditionFailed",
            Self::NotAvailable { .. } => "FeatureNotAvailable",
            Self::Registry(_) | Self::Identity(_) | Self::Database(_) => "InternalServerError",
        }
    }

    /// A resource that is not there, in Azure's words.
    pub(crate) fn no_resource(kind: &str, name: &str, group: &str) -> Self {
        Self::NotFound {
            code: "ResourceNotFound",
            message: format!(
                "The Resource '{kind}/{name}' under resource group '{group}' was not found."
            ),
        }
    }

    /// Something that cannot be.
    pub(crate) fn invalid(code: &'static str, message: impl Into<String>, target: &str) -> Self {
        Self::Invalid {
            code,
            message: message.into(),
            target: (!target.is_empty()).then(|| target.to_owned()),
        }
    }

    /// Something that stands against it.
    pub(crate) fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::Conflict {
            code,
            message: message.into(),
        }
    }
}

impl From<BodyError> for Error {
    fn from(error: BodyError) -> Self {
        let (code, target) = match &error {
            BodyError::TooLarge | BodyError::NotJson(_) => ("InvalidRequestContent", None),
            BodyError::Field { field, .. } => ("InvalidParameter", Some(field.clone())),
            BodyError::Missing(field) => ("MissingParameter", Some((*field).to_owned())),
            BodyError::Unknown(field) => ("FeatureNotAvailable", Some(field.clone())),
        };
        Self::Invalid {
            code,
            message: error.to_string(),
            target,
        }
    }
}

impl From<NameError> for Error {
    fn from(error: NameError) -> Self {
        let code = match error {
            NameError::Group => "InvalidResourceGroup",
            NameError::Tags => "InvalidTags",
            _ => "InvalidResourceName",
        };
        Self::invalid(code, error.to_string(), "name")
    }
}

impl From<ArmScopeError> for Error {
    fn from(error: ArmScopeError) -> Self {
        Self::invalid("InvalidResourceId", error.to_string(), "")
    }
}
