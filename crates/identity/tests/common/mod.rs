//! Installations on both database engines, with a clock that moves only when told to.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    dead_code,
    unreachable_pub
)]

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use lazuli_db::clock::ManualClock;
use lazuli_db::{Db, PostgresOptions, SqliteOptions};
use lazuli_identity::{
    AuthError, FirstStart, Identity, IdentityOptions, Origin, Principal, RegistryId, TokenError,
};
use lazuli_testkit::postgres::Database;
use lazuli_wire::oci::RepositoryName;
use lazuli_wire::token::{GrantType, Scope, Secret, TokenRequest};

pub const REGISTRY: RegistryId = RegistryId::DEFAULT;
pub const SERVICE: &str = "127.0.0.1:5000";
pub const MASTER: [u8; 32] = [7; 32];

/// Where an installation keeps its rows. Can be opened several times, as by several processes.
pub enum Place {
    Sqlite(tempfile::TempDir),
    Postgres(Database),
}

impl Place {
    pub fn open(&self) -> Db {
        match self {
            Self::Sqlite(folder) => {
                Db::open_sqlite(SqliteOptions::new(folder.path().join("lazuli.db"))).unwrap()
            }
            Self::Postgres(database) => {
                let mut options = PostgresOptions::new(database.url());
                options.connections = 4;
                Db::open_postgres(options).unwrap()
            }
        }
    }
}

/// Runs a test on each engine this machine has.
pub fn on_both_engines<F: Future<Output = ()>>(test: impl Fn(Place) -> F) {
    let mut places = vec![Place::Sqlite(tempfile::tempdir().unwrap())];
    places.extend(Database::create().map(Place::Postgres));
    for place in places {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(test(place));
    }
}

/// One process of an installation.
pub struct Process {
    pub identity: Identity,
    pub first_start: Option<FirstStart>,
    pub clock: Arc<ManualClock>,
    pub db: Db,
}

pub fn options() -> IdentityOptions {
    let mut options = IdentityOptions::new("lazuli");
    options.password_iterations = NonZeroU32::new(1000).unwrap();
    options
}

pub fn options_with_password(password: &str) -> IdentityOptions {
    let mut options = options();
    options.admin_password = Some(Secret::new(password));
    options
}

impl Process {
    pub async fn start(place: &Place) -> Self {
        Self::start_with(place, options()).await
    }

    pub async fn start_with(place: &Place, options: IdentityOptions) -> Self {
        Self::try_start(place, &MASTER, options).await.unwrap()
    }

    pub async fn try_start(
        place: &Place,
        master: &[u8; 32],
        options: IdentityOptions,
    ) -> Result<Self, lazuli_identity::Error> {
        let (db, clock) = (
            place.open(),
            Arc::new(ManualClock::new(1_735_689_600_000_000)),
        );
        let (identity, first_start) =
            Identity::open(db.clone(), clock.clone(), master, options).await?;
        Ok(Self {
            identity,
            first_start,
            clock,
            db,
        })
    }

    pub fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub fn generated_password(&self) -> String {
        self.first_start
            .as_ref()
            .unwrap()
            .generated_password
            .as_ref()
            .unwrap()
            .expose()
            .to_owned()
    }

    pub async fn authenticate(&self, header: &str) -> Result<Principal, AuthError> {
        self.identity
            .authenticate(REGISTRY, SERVICE, Origin::LOCAL, Some(header.as_bytes()))
            .await
    }

    pub fn cached(&self, header: &str) -> Option<Principal> {
        self.identity
            .authenticate_cached(REGISTRY, SERVICE, Some(header.as_bytes()))
    }

    /// An access token for the user of a Basic header.
    pub async fn token(&self, authorization: &str, scopes: &str) -> String {
        let answer = self
            .identity
            .issue_token(
                REGISTRY,
                SERVICE,
                Origin::LOCAL,
                Some(authorization.as_bytes()),
                &request(GrantType::Password, scopes),
            )
            .await;
        answer.unwrap().access_token
    }

    /// A refresh token of the admin user.
    pub async fn refresh_token(&self, password: &str) -> String {
        let mut request = request(GrantType::Password, "");
        request.username = Some("lazuli".to_owned());
        request.password = Some(Secret::new(password));
        request.offline = true;
        self.identity
            .issue_token(REGISTRY, SERVICE, Origin::LOCAL, None, &request)
            .await
            .unwrap()
            .refresh_token
            .unwrap()
    }

    /// The access token for a refresh token.
    pub async fn refresh(&self, token: &str, scopes: &str) -> Result<String, TokenError> {
        let mut request = request(GrantType::RefreshToken, scopes);
        request.refresh_token = Some(Secret::new(token));
        Ok(self
            .identity
            .issue_token(REGISTRY, SERVICE, Origin::LOCAL, None, &request)
            .await?
            .access_token)
    }
}

pub fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

pub fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

pub fn request(grant_type: GrantType, scopes: &str) -> TokenRequest {
    TokenRequest {
        grant_type,
        service: Some(SERVICE.to_owned()),
        scopes: Scope::parse_list([scopes]).unwrap(),
        username: None,
        password: None,
        refresh_token: None,
        access_token: None,
        tenant: None,
        account: None,
        client_id: None,
        offline: false,
    }
}

pub fn name(text: &str) -> RepositoryName {
    RepositoryName::parse(text).unwrap()
}

/// The header and the claims of a token, as any client can read them.
pub fn decode(token: &str) -> (serde_json::Value, serde_json::Value) {
    let mut segments = token
        .split('.')
        .map(|segment| URL_SAFE_NO_PAD.decode(segment).unwrap());
    let mut next = || serde_json::from_slice(&segments.next().unwrap()).unwrap();
    (next(), next())
}
