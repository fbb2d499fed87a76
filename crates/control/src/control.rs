//! The door to the management plane, and what every change does.

use std::sync::Arc;

use lazuli_db::clock::Clock;
use lazuli_db::{Db, Tx};
use lazuli_identity::{Identity, RegistryId};
use lazuli_registry::Registry;
use lazuli_registry::operations::{self, Operation};
use lazuli_wire::arm_scope::ArmScope;

use crate::actor::Actor;
use crate::locks::{self, Change};
use crate::{Error, Result};

/// Finds the host names of new registries, beside those below the domain.
pub trait Hosts: Send + Sync + 'static {
    /// Hosts, in lower case and without port, that are to lead to a new registry. `taken`: those that lead to others.
    fn allocate(&self, name: &str, taken: &[String]) -> Vec<String>;

    /// Registries were made or deleted: clients have to find them from now on.
    fn changed(&self) -> Pending;
}

/// What [`Hosts::changed`] returns: over when clients find the registries.
pub type Pending = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// How the management plane is opened.
#[derive(Clone, Default)]
pub struct ControlOptions {
    /// Who finds host names; `None`: registries have none of their own.
    pub hosts: Option<Arc<dyn Hosts>>,
}

/// The management plane of an installation. Cloning shares.
#[derive(Clone)]
pub struct Control(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) db: Db,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) identity: Identity,
    pub(crate) registry: Registry,
    pub(crate) hosts: std::sync::OnceLock<Arc<dyn Hosts>>,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}

impl Control {
    /// The management plane of an installation whose directory was made.
    pub fn new(
        registry: Registry,
        identity: Identity,
        clock: Arc<dyn Clock>,
        options: ControlOptions,
    ) -> Self {
        let hosts = std::sync::OnceLock::new();
        if let Some(given) = options.hosts {
            let _ = hosts.set(given);
        }
        Self(Arc::new(Inner {
            db: registry.db().clone(),
            clock,
            identity,
            registry,
            hosts,
        }))
    }

    /// Says who finds host names, when that is known only after the management plane was opened. Counts once.
    pub fn set_hosts(&self, hosts: Arc<dyn Hosts>) {
        let _ = self.inner().hosts.set(hosts);
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }

    /// The identity this plane asks.
    pub fn identity(&self) -> &Identity {
        &self.0.identity
    }

    pub(crate) fn now(&self) -> i64 {
        self.0.clock.now_us()
    }

    /// Reads.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        mut read: impl FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.0.db.read(move |tx| read(tx)).await
    }

    /// Makes a change of a resource: locks permitting, in one transaction with its operation in the log. Comes to its end
    /// even if the client goes away.
    pub(crate) async fn change<T: Send + 'static>(
        &self,
        actor: &Actor,
        resource: &ArmScope,
        kind: Change,
        mut work: impl FnMut(&mut Tx<'_>, i64) -> Result<Made<T>> + Send + 'static,
    ) -> Result<T> {
        actor.check(resource)?;
        let this = self.clone();
        let (principal, resource) = (actor.principal(), resource.clone());
        let (action, request_id) = (actor.action().to_owned(), actor.request_id().clone());
        let task = async move {
            let log = this.0.registry.log().clone();
            let context = log.context(&principal, &request_id);
            let made = this.0.db.write(move |tx| {
                locks::check(tx, &resource, kind)?;
                let made = work(tx, context.now_us())?;
                if made.is_change {
                    let operation = Operation::Control {
                        resource: resource.to_string(),
                        action: action.clone(),
                        detail: made.detail.as_ref().map(ToString::to_string),
                    };
                    let registry = made.registry.map_or(0, RegistryId::get);
                    operations::append_control(tx, &context, registry, &operation)?;
                }
                Ok::<_, Error>(made)
            });
            let made = made.await?;
            if made.is_change {
                log.committed();
                this.0.identity.policy_changed().await?;
            }
            Ok(made.value)
        };
        tokio::spawn(task)
            .await
            .unwrap_or(Err(Error::Identity(lazuli_identity::Error::ShuttingDown)))
    }

    /// Tells that registries came or went, and waits until clients find them.
    pub(crate) async fn registries_changed(&self) {
        if let Some(hosts) = self.0.hosts.get() {
            hosts.changed().await;
        }
    }
}

/// What a transaction has made.
pub(crate) struct Made<T> {
    pub(crate) value: T,
    /// Whether anything is not as it was.
    pub(crate) is_change: bool,
    pub(crate) registry: Option<RegistryId>,
    pub(crate) detail: Option<serde_json::Value>,
}

impl<T> Made<T> {
    /// A change.
    pub(crate) fn change(value: T) -> Self {
        Self {
            value,
            is_change: true,
            registry: None,
            detail: None,
        }
    }

    /// Nothing had to be done.
    pub(crate) fn nothing(value: T) -> Self {
        Self {
            is_change: false,
            ..Self::change(value)
        }
    }

    /// In this registry.
    pub(crate) fn of(mut self, registry: RegistryId) -> Self {
        self.registry = Some(registry);
        self
    }

    /// More about it, without secrets.
    pub(crate) fn detail(mut self, detail: serde_json::Value) -> Self {
        self.detail = Some(detail);
        self
    }
}
