//! Signing in to the directory, as programs ask for it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    dead_code,
    unreachable_pub
)]

use crate::common::{Place, Process};
use lazuli_identity::{
    Audience, AuthError, Authority, CallerKind, DirectoryOptions, DirectoryWrite, Identity, Object,
    ObjectKind, Origin, TokenAnswer, random_guid,
};
use lazuli_wire::entra::{
    Asked, ClientProof, Failure, Flavor, Grant, Resource, Tenant, TokenForm, WellKnown,
};
use lazuli_wire::token::Secret;

pub const AZ: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";
pub const PASSWORD: &str = "correct horse battery";
pub const ADMIN: &str = "admin@lazuli.test";
pub const SCOPE: &str = "https://management.azure.com/.default openid offline_access";
pub const BASE: &str = "https://localhost:5443";

pub async fn start(place: &Place) -> Process {
    let process = Process::start(place).await;
    let options = DirectoryOptions {
        domain: "lazuli.test".to_owned(),
        admin_password: Some(Secret::new(PASSWORD)),
    };
    process.identity.install_directory(options).await.unwrap();
    process
}

pub fn audience(resource: &Resource) -> Option<Audience> {
    Some(match resource.well_known()? {
        WellKnown::Management => Audience::Management,
        WellKnown::Registry => Audience::Registry,
        WellKnown::Graph => Audience::Graph,
    })
}

pub fn at(tenant: &Tenant, from: Origin) -> Authority<'_> {
    Authority {
        base: BASE,
        tenant,
        flavor: Flavor::V2,
        from,
        audience: &audience,
    }
}

pub fn elsewhere() -> Origin {
    Origin::of("192.0.2.7".parse().unwrap())
}

pub async fn token_from(
    identity: &Identity,
    from: Origin,
    client: &str,
    proof: ClientProof,
    grant: Grant,
) -> Result<TokenAnswer, Failure> {
    let remembers = matches!(
        grant,
        Grant::AuthorizationCode { .. } | Grant::DeviceCode(_)
    );
    let form = TokenForm {
        client_id: client.to_owned(),
        proof,
        grant,
        asked: (!remembers).then(|| Asked::parse(SCOPE).unwrap()),
        client_info: true,
    };
    identity
        .directory_token(&at(&Tenant::Common, from), &form)
        .await
}

pub async fn token(
    identity: &Identity,
    client: &str,
    proof: ClientProof,
    grant: Grant,
) -> Result<TokenAnswer, Failure> {
    token_from(identity, Origin::LOCAL, client, proof, grant).await
}

pub fn password(name: &str, password: &str) -> Grant {
    Grant::Password {
        username: name.to_owned(),
        password: Secret::new(password),
    }
}

pub fn read(answer: &TokenAnswer) -> serde_json::Value {
    serde_json::to_value(answer).unwrap()
}

pub fn access(answer: &TokenAnswer) -> String {
    read(answer)["access_token"].as_str().unwrap().to_owned()
}

pub fn renewal(answer: &TokenAnswer) -> Grant {
    Grant::RefreshToken(Secret::new(read(answer)["refresh_token"].as_str().unwrap()))
}

/// A program with a secret: its application's number, its own object, the secret.
pub async fn program(identity: &Identity) -> (String, Object, Object, Secret) {
    let (may, now) = (DirectoryWrite::of_operator(), identity.now_us());
    let app_id = random_guid().unwrap().to_string();
    let make = |kind| Object::new(random_guid().unwrap(), kind, &app_id, "robot", now);
    let app = identity.add_object(&may, make(ObjectKind::Application), None);
    let app = app.await.unwrap();
    let principal = identity.add_object(&may, make(ObjectKind::ServicePrincipal), None);
    let principal = principal.await.unwrap();
    let made = identity.add_secret(&may, app.id, "test", None, Some(now + 60_000_000));
    let (_, secret) = made.await.unwrap();
    (app_id, app, principal, secret)
}

pub async fn caller(process: &Process, token: &str) -> Result<CallerKind, AuthError> {
    let found = process
        .identity
        .verify_directory_token(token, Audience::Management)
        .await;
    found.map(|caller| caller.kind())
}
