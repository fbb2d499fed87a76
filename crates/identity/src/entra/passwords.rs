//! Names and passwords of the directory where there is no token: `docker login`, Basic headers.

use lazuli_wire::Guid;
use lazuli_wire::entra::{ClientProof, Failure, Flavor, Resource, Tenant};
use lazuli_wire::token::Secret;

use super::tokens::LIFE;
use super::{Authority, unavailable};
use crate::directory::{Audience, Caller, CallerKind, Object, ObjectKind};
use crate::error::Error;
use crate::fair::Origin;
use crate::identity::{AuthError, Identity};

impl Identity {
    /// Who of the directory has this name and password: a user by the principal name, or a service principal by the number
    /// of its application.
    pub(crate) async fn verify_directory_password(
        &self,
        user: &str,
        password: &str,
        from: Origin,
    ) -> Result<Caller, AuthError> {
        let secret = Secret::new(password);
        let found = self.subject_with_password(user, secret, from).await;
        let subject = found.map_err(|failure| match failure {
            Failure::Locked(_) | Failure::Busy(_) => AuthError::TooManyAttempts,
            Failure::Unavailable => AuthError::Internal(Error::ShuttingDown),
            _ => AuthError::WrongPassword,
        })?;
        let state = self.inner().directory.state().await?;
        Ok(Caller::new(crate::directory::CallerParts {
            tenant: state.tenant,
            object: subject.id,
            kind: if subject.kind == ObjectKind::User {
                CallerKind::User
            } else {
                CallerKind::ServicePrincipal
            },
            application: subject.app_id(),
            name: subject.principal_name_or_display().into(),
            groups: std::sync::Arc::default(),
            expires_at_us: self.now_us() + LIFE * 1_000_000,
        }))
    }

    async fn subject_with_password(
        &self,
        user: &str,
        password: Secret,
        from: Origin,
    ) -> Result<Object, Failure> {
        let state = self.inner().directory.state().await;
        let state = match state {
            Ok(state) => state,
            Err(Error::NoDirectory) => return Err(Failure::Password),
            Err(error) => return Err(unavailable(&error)),
        };
        if Guid::parse(user).is_err() {
            return self.user_with_password(&state, from, user, &password).await;
        }
        let nothing = |_: &Resource| None::<Audience>;
        let at = Authority {
            base: "",
            tenant: &Tenant::Common,
            flavor: Flavor::V2,
            from,
            audience: &nothing,
        };
        let proof = ClientProof::Secret(password);
        let (client, _) = self.proven_client(&at, &state, user, &proof).await?;
        let principal = client.principal.filter(|principal| principal.enabled);
        principal.ok_or(Failure::ClientSecret)
    }
}
