//! A management plane with its first subscription, on either engine.

use std::sync::Arc;
use std::time::Duration;

use lazuli_blobs::{DiskOptions, DiskStore};
use lazuli_control::{Actor, Control, ControlOptions, Error, Installed, RegistryResource};
use lazuli_db::clock::ManualClock;
use lazuli_db::{Db, PostgresOptions, SqliteOptions, params};
use lazuli_identity::{Caller, DirectoryOptions, Identity, IdentityOptions};
use lazuli_registry::{CacheOptions, Options, Registry};
use lazuli_testkit::postgres::Database;
use lazuli_wire::arm::{
    GroupBody, GroupPath, RegistryBody, RegistryPath, ScopeMapBody, TokenBody, read_object,
};
use lazuli_wire::arm_scope::ArmScope;
use lazuli_wire::oci::ManifestLimits;
use lazuli_wire::rbac::ArmAction;
use lazuli_wire::token::Secret;

pub(crate) use lazuli_control::Precondition;

enum Place {
    Sqlite,
    Postgres(Database),
}

/// Runs a test on each engine this machine has.
pub(crate) fn on_both_engines<F: Future<Output = ()>>(test: impl Fn(Fixture) -> F) {
    let mut places = vec![Place::Sqlite];
    places.extend(Database::create().map(Place::Postgres));
    for place in places {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let fixture = Fixture::new(&place).await;
            test(fixture).await;
        });
    }
}

pub(crate) struct Fixture {
    pub(crate) control: Control,
    pub(crate) identity: Identity,
    pub(crate) db: Db,
    pub(crate) installed: Installed,
    _folder: tempfile::TempDir,
}

/// What the operator asks for, as clients write it.
pub(crate) fn body(text: &str) -> RegistryBody {
    RegistryBody::read(read_object(text.as_bytes()).unwrap()).unwrap()
}

pub(crate) fn map_body(text: &str) -> ScopeMapBody {
    ScopeMapBody::read(read_object(text.as_bytes()).unwrap()).unwrap()
}

pub(crate) fn token_body(text: &str) -> TokenBody {
    TokenBody::read(read_object(text.as_bytes()).unwrap()).unwrap()
}

/// The code of an error that is the caller's.
pub(crate) fn code(error: &Error) -> &'static str {
    assert_ne!(error.code(), "InternalServerError", "{error}");
    error.code()
}

pub(crate) const PREMIUM: &str = r#"{"location":"eastus","sku":{"name":"Premium"}}"#;

impl Fixture {
    async fn new(place: &Place) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let db = match place {
            Place::Sqlite => {
                Db::open_sqlite(SqliteOptions::new(folder.path().join("lazuli.db"))).unwrap()
            }
            Place::Postgres(database) => {
                let mut options = PostgresOptions::new(database.url());
                options.connections = 4;
                Db::open_postgres(options).unwrap()
            }
        };
        let clock = Arc::new(ManualClock::new(1_735_689_600_000_000));
        let mut options = IdentityOptions::new("lazuli");
        options.admin_password = Some(Secret::new("correct horse"));
        options.password_iterations = 1000.try_into().unwrap();
        let (identity, _) = Identity::open(db.clone(), clock.clone(), &[7; 32], options)
            .await
            .unwrap();
        let directory = DirectoryOptions {
            domain: "lazuli.test".to_owned(),
            admin_password: None,
        };
        let tenant = identity.install_directory(directory).await.unwrap().tenant;
        let store = DiskStore::open(folder.path(), DiskOptions::default()).unwrap();
        let options = Options {
            origin: 1,
            session_key: [1; 32],
            inline_blob_max: 4096,
            blob_max: 1 << 30,
            lease: Duration::from_hours(1),
            upload_expiry: Duration::from_hours(1),
            manifest: ManifestLimits::default(),
            tags_per_push: 10,
            cache: CacheOptions::default(),
            staleness: Duration::ZERO,
        };
        let registry = Registry::open(db.clone(), Arc::new(store), clock.clone(), options)
            .await
            .unwrap();
        let control = Control::new(
            registry,
            identity.clone(),
            clock.clone(),
            ControlOptions::default(),
        );
        let installed = control.install(tenant).await.unwrap();
        assert_eq!(control.install(tenant).await.unwrap(), installed);
        Self {
            control,
            identity,
            db,
            installed,
            _folder: folder,
        }
    }

    /// The operator, with the right to do something with a resource.
    pub(crate) async fn may(&self, action: &str, scope: &ArmScope) -> Actor {
        let action = ArmAction::parse(action).unwrap();
        let proof = self
            .identity
            .authorize_arm(&Caller::operator(), &action, scope)
            .await
            .unwrap();
        Actor::new(proof, Arc::from("request"))
    }

    pub(crate) fn group(&self, name: &str) -> GroupPath {
        GroupPath {
            subscription: self.installed.subscription.id,
            name: name.into(),
        }
    }

    pub(crate) fn registry(&self, group: &str, name: &str) -> RegistryPath {
        RegistryPath {
            group: self.group(group),
            name: name.into(),
        }
    }

    pub(crate) async fn make_group(&self, name: &str) {
        let path = self.group(name);
        let actor = self
            .may("Microsoft.Resources/write", &path.scope().unwrap())
            .await;
        let body = GroupBody {
            location: Some("East US".to_owned()),
            ..GroupBody::default()
        };
        self.control.put_group(&actor, &path, body).await.unwrap();
    }

    pub(crate) async fn put(
        &self,
        path: &RegistryPath,
        text: &str,
        condition: Precondition,
    ) -> Result<(RegistryResource, bool), Error> {
        let scope = path.scope().unwrap();
        let actor = self.may("Microsoft.ContainerRegistry/registries/write", &scope);
        let actor = actor.await;
        self.control
            .put_registry(&actor, path, body(text), condition)
            .await
    }

    pub(crate) async fn patch(
        &self,
        path: &RegistryPath,
        text: &str,
    ) -> Result<RegistryResource, Error> {
        let scope = path.scope().unwrap();
        let actor = self.may("Microsoft.ContainerRegistry/registries/write", &scope);
        let actor = actor.await;
        self.control
            .patch_registry(&actor, path, body(text), Precondition::None)
            .await
    }

    pub(crate) async fn get(&self, path: &RegistryPath) -> Result<RegistryResource, Error> {
        let scope = path.scope().unwrap();
        let actor = self.may("Microsoft.ContainerRegistry/registries/read", &scope);
        self.control.registry(&actor.await, path).await
    }

    /// A registry in a group of its own.
    pub(crate) async fn make(&self, name: &str, sku: &str) -> RegistryPath {
        self.make_group("rg").await;
        let path = self.registry("rg", name);
        let text = format!(r#"{{"location":"eastus","sku":{{"name":"{sku}"}}}}"#);
        let (_, is_new) = self.put(&path, &text, Precondition::None).await.unwrap();
        assert!(is_new);
        path
    }

    /// The operations of the management plane, as `action resource`, oldest first.
    pub(crate) async fn log(&self) -> Vec<String> {
        let rows = self.db.read(|tx| {
            tx.query(
                "SELECT payload FROM operations WHERE kind = 'control' ORDER BY id",
                params![],
                |row| row.get_string(0),
            )
        });
        let rows: Vec<String> = rows.await.unwrap();
        let parse = |text: &String| serde_json::from_str::<serde_json::Value>(text).unwrap();
        rows.iter()
            .map(parse)
            .map(|value| {
                let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
                format!("{} {}", text("action"), text("resource"))
            })
            .collect()
    }
}
