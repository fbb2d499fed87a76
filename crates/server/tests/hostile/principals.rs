//! Everybody the matrix of authorisation knows, and what each may do.

use std::sync::Arc;

use lazuli_db::clock::{Clock as _, ManualClock, SystemClock};
use lazuli_db::{Db, SqliteOptions};
use lazuli_identity::{Identity, IdentityOptions, Origin, RegistryId};
use lazuli_testkit::server::{PASSWORD, basic};
use lazuli_wire::oci::Permission;
use lazuli_wire::token::{GrantType, Scope, TOKEN_USERNAME, TokenRequest};

use crate::support::{FORM, Target, access_token, send};

/// Somebody, by the `Authorization` header sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Principal {
    NoHeader,
    EmptyHeader,
    WrongPassword,
    WrongUser,
    GarbageBearer,
    UnknownScheme,
    TamperedClaims,
    TamperedSignature,
    ExpiredToken,
    RefreshTokenAsAccessToken,
    TokenOfAnotherLoginServer,
    TokenForAnotherRepository,
    TokenForALongerName,
    TokenWithoutScope,
    PullToken,
    PushToken,
    DeleteToken,
    MetadataToken,
    MetadataWriteToken,
    DeletedReadToken,
    DeletedRestoreToken,
    CatalogToken,
    DeletedCatalogToken,
    RefreshTokenAsPassword,
    AccessTokenAsPassword,
    AdminPassword,
}

impl Principal {
    pub(crate) const ALL: [Self; 26] = [
        Self::NoHeader,
        Self::EmptyHeader,
        Self::WrongPassword,
        Self::WrongUser,
        Self::GarbageBearer,
        Self::UnknownScheme,
        Self::TamperedClaims,
        Self::TamperedSignature,
        Self::ExpiredToken,
        Self::RefreshTokenAsAccessToken,
        Self::TokenOfAnotherLoginServer,
        Self::TokenForAnotherRepository,
        Self::TokenForALongerName,
        Self::TokenWithoutScope,
        Self::PullToken,
        Self::PushToken,
        Self::DeleteToken,
        Self::MetadataToken,
        Self::MetadataWriteToken,
        Self::DeletedReadToken,
        Self::DeletedRestoreToken,
        Self::CatalogToken,
        Self::DeletedCatalogToken,
        Self::RefreshTokenAsPassword,
        Self::AccessTokenAsPassword,
        Self::AdminPassword,
    ];

    /// Whether the permission is theirs. Bad credentials give less than none: they are never taken for anonymous.
    pub(crate) fn may(self, permission: Permission, anonymous_pull: bool) -> bool {
        use Permission::{
            Authenticated, Catalog, Delete, DeletedCatalog, DeletedRead, DeletedRestore,
            MetadataRead, MetadataWrite, Pull, Push,
        };
        match self {
            Self::NoHeader => anonymous_pull && matches!(permission, Pull | MetadataRead | Catalog),
            Self::EmptyHeader
            | Self::WrongPassword
            | Self::WrongUser
            | Self::GarbageBearer
            | Self::UnknownScheme
            | Self::TamperedClaims
            | Self::TamperedSignature
            | Self::ExpiredToken
            | Self::RefreshTokenAsAccessToken
            | Self::TokenOfAnotherLoginServer => false,
            Self::TokenForAnotherRepository
            | Self::TokenForALongerName
            | Self::TokenWithoutScope => permission == Authenticated,
            // Docker-era clients list tags with `pull`.
            Self::PullToken | Self::AccessTokenAsPassword => {
                matches!(permission, Authenticated | Pull | MetadataRead)
            }
            Self::PushToken => matches!(permission, Authenticated | Push),
            Self::DeleteToken => matches!(permission, Authenticated | Delete),
            Self::MetadataToken => matches!(permission, Authenticated | MetadataRead),
            Self::MetadataWriteToken => matches!(permission, Authenticated | MetadataWrite),
            Self::DeletedReadToken => matches!(permission, Authenticated | DeletedRead),
            Self::DeletedRestoreToken => matches!(permission, Authenticated | DeletedRestore),
            Self::CatalogToken => matches!(permission, Authenticated | Catalog),
            Self::DeletedCatalogToken => matches!(permission, Authenticated | DeletedCatalog),
            Self::RefreshTokenAsPassword | Self::AdminPassword => true,
        }
    }

    /// The header, with rights on the given repository where there are any.
    pub(crate) fn authorization(self, target: &Target, repository: &str) -> Option<String> {
        let token = |scopes: &str| access_token(target, scopes);
        let on = |actions: &str| token(&format!("repository:{repository}:{actions}"));
        let bearer = |token: String| format!("Bearer {token}");
        Some(match self {
            Self::NoHeader => return None,
            Self::EmptyHeader => String::new(),
            Self::WrongPassword => basic("lazuli", "not the password"),
            Self::WrongUser => basic("admin", PASSWORD),
            Self::GarbageBearer => bearer("eyJhbGciOiJub25lIn0.e30.".to_owned()),
            Self::UnknownScheme => basic("lazuli", PASSWORD).replace("Basic", "Negotiate"),
            Self::TamperedClaims => bearer(alter(&on("pull,push,delete"), 1)),
            Self::TamperedSignature => bearer(alter(&on("pull,push,delete"), 2)),
            Self::ExpiredToken => bearer(expired_token(target, repository)),
            Self::RefreshTokenAsAccessToken => bearer(refresh_token(target)),
            Self::TokenOfAnotherLoginServer => {
                bearer(token_of_another_login_server(target, repository))
            }
            Self::TokenForAnotherRepository => bearer(token(
                "repository:matrix/other:pull,push,delete,metadata_read",
            )),
            // A grant is for the name, not for what begins or ends like it.
            Self::TokenForALongerName => bearer(token(&format!(
                "repository:{repository}/sub:* repository:{repository}x:* repository:{}:* repository:*:*",
                repository.split('/').next().unwrap()
            ))),
            Self::TokenWithoutScope => bearer(access_token(target, "")),
            Self::PullToken => bearer(on("pull")),
            Self::PushToken => bearer(on("push")),
            Self::DeleteToken => bearer(on("delete")),
            Self::MetadataToken => bearer(on("metadata_read")),
            Self::MetadataWriteToken => bearer(on("metadata_write")),
            Self::DeletedReadToken => bearer(on("deleted_read")),
            Self::DeletedRestoreToken => bearer(on("deleted_restore")),
            Self::CatalogToken => bearer(token("registry:catalog:*")),
            Self::DeletedCatalogToken => bearer(token("registry:deleted_catalog:*")),
            Self::RefreshTokenAsPassword => basic(TOKEN_USERNAME, &refresh_token(target)),
            Self::AccessTokenAsPassword => basic(TOKEN_USERNAME, &on("pull")),
            Self::AdminPassword => basic("lazuli", PASSWORD),
        })
    }
}

/// The token with one character in the middle of a segment replaced.
fn alter(token: &str, segment: usize) -> String {
    let mut segments: Vec<String> = token.split('.').map(str::to_owned).collect();
    let text = &mut segments[segment];
    let place = text.len() / 2;
    let other = if text.as_bytes()[place] == b'A' {
        "B"
    } else {
        "A"
    };
    text.replace_range(place..=place, other);
    segments.join(".")
}

pub(crate) fn refresh_token(target: &Target) -> String {
    let form = format!(
        "grant_type=password&service={}&username=lazuli&password={PASSWORD}&access_type=offline",
        target.host()
    );
    let response = send(
        &target.anonymous(),
        "POST",
        "/oauth2/token",
        &[FORM],
        form.as_bytes(),
    );
    assert_eq!(response.status, 200, "{response:?}");
    response.json()["refresh_token"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn token_of_another_login_server(target: &Target, repository: &str) -> String {
    let request = format!(
        "GET /oauth2/token?scope=repository:{repository}:pull,push,delete HTTP/1.1\r\nHost: other.example\r\n\
         Authorization: {}\r\nConnection: close\r\n\r\n",
        basic("lazuli", PASSWORD)
    );
    let answer = target.raw(request.as_bytes()).text;
    let token = answer
        .split("\"access_token\":\"")
        .nth(1)
        .unwrap_or_else(|| panic!("{answer}"));
    token.split('"').next().unwrap().to_owned()
}

/// A token that the server's own key signed two hours ago.
fn expired_token(target: &Target, repository: &str) -> String {
    const TWO_HOURS_US: i64 = 2 * 3600 * 1_000_000;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let clock = Arc::new(ManualClock::new(SystemClock::new().now_us() - TWO_HOURS_US));
    let key = std::fs::read(target.data().join("master.key"))
        .unwrap()
        .try_into()
        .unwrap();
    let db = Db::open_sqlite(SqliteOptions::new(target.data().join("lazuli.db"))).unwrap();
    let request = TokenRequest {
        grant_type: GrantType::Password,
        service: None,
        scopes: vec![Scope::parse(&format!(
            "repository:{repository}:pull,push,delete"
        ))],
        username: None,
        password: None,
        refresh_token: None,
        access_token: None,
        tenant: None,
        account: None,
        client_id: None,
        offline: false,
    };
    let authorization = basic("lazuli", PASSWORD);
    let issued = runtime.block_on(async {
        let options = IdentityOptions::new("lazuli");
        let (identity, first_start) = Identity::open(db, clock, &key, options).await.unwrap();
        assert!(first_start.is_none());
        let header = Some(authorization.as_bytes());
        identity
            .issue_token(
                RegistryId::DEFAULT,
                &target.host(),
                Origin::LOCAL,
                header,
                &request,
            )
            .await
    });
    issued.unwrap().access_token
}
