//! A whole server in this process: SQLite and blobs in a temporary folder, listening on loopback.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lazuli_api::{Api, ApiOptions, Ended, Listeners, listen, serve};
use lazuli_blobs::{DiskOptions, DiskStore};
use lazuli_db::clock::{Clock, SystemClock};
use lazuli_db::{Db, SqliteOptions};
use lazuli_identity::{Identity, IdentityOptions, RegistryId};
use lazuli_registry::{CacheOptions, Options, Registry};
use lazuli_testkit::http::{Client, Response};
use lazuli_testkit::server::basic;
use lazuli_wire::oci::{Algorithm, Digest, ManifestLimits};
use lazuli_wire::token::Secret;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) const PASSWORD: &str = "correct-horse-battery-staple";
pub(crate) const OCI: &str = "application/vnd.oci.image.manifest.v1+json";

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) identity: Identity,
    pub(crate) api: Arc<Api>,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<Ended>>,
    runtime: Runtime,
    _folder: tempfile::TempDir,
}

impl Server {
    pub(crate) fn start(options: ApiOptions) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (api, identity, listener) = runtime.block_on(async {
            let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
            let db = Db::open_sqlite(SqliteOptions::new(folder.path().join("lazuli.db"))).unwrap();
            let identity_options = IdentityOptions {
                admin_password: Some(Secret::new(PASSWORD)),
                password_iterations: 1000.try_into().unwrap(),
                ..IdentityOptions::new("lazuli")
            };
            let (identity, _) =
                Identity::open(db.clone(), clock.clone(), &[7; 32], identity_options)
                    .await
                    .unwrap();
            let store = DiskStore::open(folder.path(), DiskOptions::default()).unwrap();
            let registry_options = Options {
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
            let registry = Registry::open(db, Arc::new(store), clock, registry_options)
                .await
                .unwrap();
            let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
            (
                Api::new(registry, identity.clone(), options),
                identity,
                listener,
            )
        });
        let address = listener.local_addr().unwrap();
        let api = Arc::new(api);
        let (stop, stopped) = oneshot::channel();
        let listeners = Listeners {
            http: vec![listener],
            ..Listeners::default()
        };
        let serving = runtime.spawn(serve(api.clone(), listeners, async {
            let _ = stopped.await;
        }));
        Self {
            address,
            identity,
            api,
            stop: Some(stop),
            serving: Some(serving),
            runtime,
            _folder: folder,
        }
    }

    pub(crate) fn anonymous(&self) -> Client {
        Client::new(self.address)
    }

    pub(crate) fn admin(&self) -> Client {
        self.anonymous()
            .with_authorization(basic("lazuli", PASSWORD))
    }

    /// A client with a token of the admin for `scope`.
    pub(crate) fn with_token(&self, scope: &str) -> Client {
        let target = format!("/oauth2/token?service={}&scope={scope}", self.address);
        let response = self.admin().get(&target);
        assert_eq!(response.status, 200, "{response:?}");
        let token = response.json()["access_token"].as_str().unwrap().to_owned();
        self.anonymous()
            .with_authorization(format!("Bearer {token}"))
    }

    pub(crate) fn allow_anonymous_pull(&self) {
        let allow = self.identity.set_anonymous_pull(RegistryId::DEFAULT, true);
        self.runtime.block_on(allow).unwrap();
    }

    pub(crate) fn open_to_everybody(&self, patterns: Vec<lazuli_wire::rbac::RepositoryPattern>) {
        let open = self
            .identity
            .set_anonymous_repositories(RegistryId::DEFAULT, patterns);
        self.runtime.block_on(open).unwrap();
    }

    pub(crate) fn push_blob(&self, name: &str, content: &[u8]) -> String {
        let digest = sha256(content);
        let target = format!("/v2/{name}/blobs/uploads/?digest={digest}");
        let response = self.admin().send("POST", &target, &[], content);
        assert_eq!(response.status, 201, "{response:?}");
        digest
    }

    /// Pushes an image with an empty configuration; its manifest and digest.
    pub(crate) fn push_image(&self, name: &str, tag: &str, note: &str) -> (String, String) {
        let config = self.push_blob(name, b"{}");
        let body = manifest(&config, note);
        let response = self.put_manifest(name, tag, &[], &body);
        assert_eq!(response.status, 201, "{response:?}");
        let digest = sha256(body.as_bytes());
        (body, digest)
    }

    pub(crate) fn put_manifest(
        &self,
        name: &str,
        reference: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response {
        let mut all = vec![("Content-Type", OCI)];
        all.extend(headers);
        let target = format!("/v2/{name}/manifests/{reference}");
        self.admin().send("PUT", &target, &all, body.as_bytes())
    }

    pub(crate) fn stop(mut self) -> Ended {
        drop(self.stop.take());
        self.runtime.block_on(self.serving.take().unwrap()).unwrap()
    }
}

pub(crate) fn manifest(config: &str, note: &str) -> String {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":2}},"layers":[],"annotations":{{"note":"{note}"}}}}"#
    )
}

pub(crate) fn sha256(content: &[u8]) -> String {
    Digest::of(Algorithm::Sha256, content).to_string()
}

pub(crate) fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 + i / 257) as u8).collect()
}

pub(crate) fn challenge(response: &Response) -> &str {
    assert_eq!(response.status, 401, "{response:?}");
    assert_eq!(response.error_code(), "UNAUTHORIZED");
    response.header("www-authenticate").unwrap()
}
