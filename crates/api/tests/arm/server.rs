//! A server with a management plane, and people with roles.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lazuli_api::{Api, ApiOptions, Ended, Listeners, listen, serve};
use lazuli_blobs::{DiskOptions, DiskStore};
use lazuli_control::{Control, ControlOptions, Installed};
use lazuli_db::clock::{Clock, SystemClock};
use lazuli_db::{Db, SqliteOptions};
use lazuli_identity::rbac::store::{RoleAssignment, put_assignment};
use lazuli_identity::{
    DirectoryOptions, DirectoryWrite, Identity, IdentityOptions, Object, ObjectKind, random_guid,
};
use lazuli_registry::{CacheOptions, Options, Registry};
use lazuli_testkit::http::{Client, Response};
use lazuli_wire::Guid;
use lazuli_wire::arm_scope::ArmScope;
use lazuli_wire::oci::ManifestLimits;
use lazuli_wire::token::Secret;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const PASSWORD: &str = "correct-horse-battery-staple";
const AZ: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";

pub(crate) const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
pub(crate) const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
pub(crate) const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
pub(crate) const ACCESS_ADMINISTRATOR: &str = "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9";

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) installed: Installed,
    identity: Identity,
    db: Db,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<Ended>>,
    runtime: Runtime,
    _folder: tempfile::TempDir,
}

impl Server {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let opened = runtime.block_on(async {
            let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
            let db = Db::open_sqlite(SqliteOptions::new(folder.path().join("lazuli.db"))).unwrap();
            let options = IdentityOptions {
                admin_password: Some(Secret::new(PASSWORD)),
                password_iterations: 1000.try_into().unwrap(),
                ..IdentityOptions::new("lazuli")
            };
            let (identity, _) = Identity::open(db.clone(), clock.clone(), &[7; 32], options)
                .await
                .unwrap();
            let directory = DirectoryOptions {
                domain: "lazuli.test".to_owned(),
                admin_password: Some(Secret::new(PASSWORD)),
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
                registry.clone(),
                identity.clone(),
                clock,
                ControlOptions::default(),
            );
            let installed = control.install(tenant).await.unwrap();
            let api = Api::new(registry, identity.clone(), ApiOptions::default());
            let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
            (api.with_control(control), identity, db, installed, listener)
        });
        let (api, identity, db, installed, listener) = opened;
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let listeners = Listeners {
            http: vec![listener],
            ..Listeners::default()
        };
        let serving = runtime.spawn(serve(Arc::new(api), listeners, async {
            let _ = stopped.await;
        }));
        Self {
            address,
            installed,
            identity,
            db,
            stop: Some(stop),
            serving: Some(serving),
            runtime,
            _folder: folder,
        }
    }

    /// `/subscriptions/…`
    pub(crate) fn subscription(&self) -> String {
        format!("/subscriptions/{}", self.installed.subscription.id)
    }

    pub(crate) fn group(&self, name: &str) -> String {
        format!("{}/resourceGroups/{name}", self.subscription())
    }

    pub(crate) fn registry(&self, group: &str, name: &str) -> String {
        format!(
            "{}/providers/Microsoft.ContainerRegistry/registries/{name}",
            self.group(group)
        )
    }

    pub(crate) fn anonymous(&self) -> Client {
        Client::new(self.address)
    }

    /// The first administrator.
    pub(crate) fn admin(&self) -> Client {
        self.sign_in("admin@lazuli.test")
    }

    /// Somebody new, with a role at a scope.
    pub(crate) fn person(&self, name: &str, role: Option<(&str, &str)>) -> Client {
        let upn = format!("{name}@lazuli.test");
        let id = random_guid().unwrap();
        let mut object = Object::new(id, ObjectKind::User, &upn, name, 0);
        object
            .attributes
            .insert("userPrincipalName".to_owned(), Value::from(upn.as_str()));
        self.runtime.block_on(async {
            let may = DirectoryWrite::of_operator();
            let password = Some(Secret::new(PASSWORD));
            self.identity
                .add_object(&may, object, password)
                .await
                .unwrap();
            if let Some((role, scope)) = role {
                let assignment = RoleAssignment {
                    id: random_guid().unwrap(),
                    scope: ArmScope::parse(scope).unwrap(),
                    role: Guid::parse(role).unwrap(),
                    principal: id,
                    principal_type: "User".to_owned(),
                    description: None,
                    condition: None,
                    created_at: 0,
                    created_by: String::new(),
                    updated_at: 0,
                    updated_by: String::new(),
                };
                self.db
                    .write(move |tx| put_assignment(tx, &assignment))
                    .await
                    .unwrap();
                self.identity.policy_changed().await.unwrap();
            }
        });
        self.sign_in(&upn)
    }

    fn sign_in(&self, upn: &str) -> Client {
        let form = format!(
            "grant_type=password&client_id={AZ}&username={upn}&password={PASSWORD}\
             &scope=https%3A%2F%2Fmanagement.core.windows.net%2F%2F.default"
        );
        let response = self.anonymous().send(
            "POST",
            "/organizations/oauth2/v2.0/token",
            &[("Content-Type", "application/x-www-form-urlencoded")],
            form.as_bytes(),
        );
        assert_eq!(response.status, 200, "{response:?}");
        let token = response.json()["access_token"].as_str().unwrap().to_owned();
        self.anonymous()
            .with_authorization(format!("Bearer {token}"))
    }
}

/// Sends JSON.
pub(crate) fn send(client: &Client, method: &str, path: &str, body: &str) -> Response {
    let headers = [("Content-Type", "application/json")];
    let path = format!("{path}?api-version=2025-11-01");
    client.send(method, &path, &headers, body.as_bytes())
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(serving) = self.serving.take() {
            let _ = self.runtime.block_on(serving);
        }
    }
}
