//! Whether somebody is the user they say: names and passwords.

use std::time::Duration;

use lazuli_wire::entra::Failure;
use lazuli_wire::token::Secret;

use super::{Authority, unavailable};
use crate::directory::passwords::Kept;
use crate::directory::state::DirectoryState;
use crate::directory::{CredentialKind, Object, ObjectKind, store};
use crate::error::Error;
use crate::fair::{Division, Origin};
use crate::identity::Identity;

/// Slow comparisons at a time: each keeps a core busy for a while and fills 19 MiB.
pub(crate) const SLOW_COMPARISONS: Division = Division {
    all: 4,
    each: 2,
    queue: 64,
    patience: Duration::from_secs(10),
};

impl Identity {
    /// The user with this name and password. Whether the name or the password is wrong is not told, nor to be seen from the
    /// time it takes.
    pub(crate) async fn user_with_password(
        &self,
        state: &DirectoryState,
        from: Origin,
        name: &str,
        password: &Secret,
    ) -> Result<Object, Failure> {
        let inner = self.inner();
        let directory = &inner.directory;
        let now = inner.clock.now_us();
        directory
            .throttle
            .check(name, from, now)
            .map_err(Failure::Locked)?;
        let (tenant, wanted) = (state.tenant, name.to_owned());
        let found = inner.db.read(move |tx| {
            let user = store::find(tx, tenant, ObjectKind::User, &wanted)?;
            // Asked for in any case: it takes the same time for nobody.
            let of = user.as_ref().map_or(tenant, |user| user.id);
            Ok::<_, lazuli_db::Error>((user, store::credentials(tx, of)?))
        });
        let (user, credentials) = found.await.map_err(|error| unavailable(&error.into()))?;
        let kept: Vec<Kept> = credentials
            .iter()
            .filter(|known| known.kind == CredentialKind::Password && known.is_good_at(now))
            .filter_map(|known| Kept::from_row(&known.data))
            .collect();
        let matches = self.compare(from, kept, password.clone()).await?;
        match user {
            Some(user) if matches => {
                directory.throttle.right(name, from);
                // Told only to who knows the password.
                if user.enabled {
                    Ok(user)
                } else {
                    Err(Failure::Disabled)
                }
            }
            _ => {
                directory.throttle.wrong(name, from, inner.clock.now_us());
                Err(Failure::Password)
            }
        }
    }

    /// Compares with each, and always with one slow hash.
    async fn compare(
        &self,
        from: Origin,
        kept: Vec<Kept>,
        password: Secret,
    ) -> Result<bool, Failure> {
        let share = self.inner().directory.slow.take(from, 1).await;
        let share = share.map_err(|_| Failure::Busy(1))?;
        let comparing = tokio::task::spawn_blocking(move || {
            // Held until the comparison ends, even when nobody waits for it any more.
            let _share = share;
            let mut matches = false;
            let mut was_slow = false;
            for one in &kept {
                matches |= one.matches(password.expose());
                was_slow |= one.is_slow();
            }
            if !was_slow {
                let _ = Kept::nobody().matches(password.expose());
            }
            matches
        });
        comparing
            .await
            .map_err(|_| unavailable(&Error::ShuttingDown))
    }
}

/// The user that a refresh token or a code stands for, if it may still sign in.
pub(crate) async fn still_there(
    identity: &Identity,
    object: lazuli_wire::Guid,
    made_at: i64,
) -> Result<Object, Failure> {
    let found = identity.inner().db.read(move |tx| store::get(tx, object));
    let found = found.await.map_err(|error| unavailable(&error.into()))?;
    found
        .filter(|user| user.enabled && user.kind == ObjectKind::User)
        .filter(|user| made_at >= user.sessions_valid_from)
        .ok_or(Failure::Revoked)
}

impl Authority<'_> {
    /// Which audience is asked for.
    pub(crate) fn audience_of(
        &self,
        asked: &lazuli_wire::entra::Asked,
    ) -> Result<Option<crate::directory::Audience>, Failure> {
        let Some(resource) = &asked.resource else {
            return Ok(None);
        };
        (self.audience)(resource)
            .map(Some)
            .ok_or_else(|| Failure::Resource(resource.as_str().to_owned()))
    }
}
