//! Identity and the management plane, as the server and its commands open them.

use std::sync::Arc;

use anyhow::Context as _;
use lazuli_control::{Control, ControlOptions};
use lazuli_db::clock::Clock;
use lazuli_db::{Db, params};
use lazuli_identity::{
    DirectoryOptions, FirstStart, Identity, IdentityOptions, KeyError, RegistryId,
};
use lazuli_registry::Registry;

use crate::config::{Configuration, Settings};
use crate::wire_up::naming;

/// Opens identity as the server does: the configuration says how the default registry is called and, if it says so at all,
/// who may pull.
pub(crate) async fn open_identity(
    configuration: &Configuration,
    db: &Db,
    clock: &Arc<dyn Clock>,
    master_key: &[u8; 32],
) -> anyhow::Result<(Identity, Option<FirstStart>)> {
    let settings = &configuration.settings;
    // What was not configured may have been set by az.
    let anonymous_pull = configuration
        .is_set("anonymous_pull")
        .then_some(settings.general.anonymous_pull);
    let options = IdentityOptions {
        anonymous_pull,
        admin_enabled: settings.admin.enabled,
        admin_password: settings.admin.password.clone(),
        ..IdentityOptions::new(settings.general.registry_name.0.as_str())
    };
    let (identity, first_start) = Identity::open(db.clone(), clock.clone(), master_key, options)
        .await
        .map_err(identity_error)?;
    install_directory(settings, &identity, first_start.as_ref()).await?;
    Ok((identity, first_start))
}

/// Makes the directory at first start. Its first administrator has the admin user's first password.
async fn install_directory(
    settings: &Settings,
    identity: &Identity,
    first_start: Option<&FirstStart>,
) -> anyhow::Result<()> {
    let generated = first_start.and_then(|first| first.generated_password.clone());
    let options = DirectoryOptions {
        domain: naming(settings, None).domain,
        admin_password: generated.or_else(|| settings.admin.password.clone()),
    };
    let start = identity.install_directory(options).await;
    let start = start.context("cannot make the directory")?;
    if let Some(made) = start.made
        && made.generated_password.is_some()
    {
        tracing::warn!(
            name = made.name,
            "the directory is new and its administrator has no password yet: run `lazuli identity user set-password admin`"
        );
    }
    Ok(())
}

fn identity_error(error: lazuli_identity::Error) -> anyhow::Error {
    if let lazuli_identity::Error::Password(_) = error {
        return anyhow::Error::new(error)
            .context("LAZULI_ADMIN_PASSWORD cannot be the admin user's password");
    }
    let wrong_key = matches!(error, lazuli_identity::Error::Key(KeyError::WrongMasterKey));
    let error = anyhow::Error::new(error);
    if wrong_key {
        error.context(
            "the secrets in this database were sealed with another master key: give the one that its first server made \
             (the file master.key in its data folder) by LAZULI_MASTER_KEY or master_key_file",
        )
    } else {
        error.context("cannot open the identities")
    }
}

/// Opens identity for a command beside a server, which may have been started with other settings: everything stays as
/// the server made it.
pub(crate) async fn open_identity_beside(
    db: &Db,
    clock: &Arc<dyn Clock>,
    master_key: &[u8; 32],
) -> anyhow::Result<Identity> {
    let name = db
        .read(|tx| {
            let id = RegistryId::DEFAULT.get();
            tx.query_one(
                "SELECT name FROM registries WHERE id = ?1",
                params![id],
                |row| row.get_string(0),
            )
        })
        .await?;
    let name = name.context("the database holds no registry yet: start lazuli once")?;
    let (identity, _) = Identity::open(
        db.clone(),
        clock.clone(),
        master_key,
        IdentityOptions::new(name),
    )
    .await
    .map_err(identity_error)?;
    Ok(identity)
}

/// Opens the management plane; at first start it gets its subscription, resource group and default registry.
pub(crate) async fn open_control(
    registry: &Registry,
    identity: &Identity,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Control> {
    let options = ControlOptions::default();
    let control = Control::new(registry.clone(), identity.clone(), clock.clone(), options);
    let tenant = identity.tenant().await.context("there is no directory")?;
    control
        .install(tenant.id)
        .await
        .context("cannot make the first subscription")?;
    Ok(control)
}
