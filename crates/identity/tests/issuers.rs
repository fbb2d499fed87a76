//! Tokens of other directories and issuers, some of them hostile, over HTTP on this machine.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
mod issuer;

use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Place, Process, on_both_engines};
use issuer::{AUDIENCE, Issuer};
use lazuli_identity::{
    Audience, Authority, Caller, CallerKind, DirectoryOptions, DirectoryWrite, Federation,
    Identity, IssuerKind, Object, ObjectKind, Origin, random_guid,
};
use lazuli_wire::Guid;
use lazuli_wire::entra::{Asked, ClientProof, Failure, Flavor, Grant, Resource, Tenant, TokenForm};
use lazuli_wire::token::Secret;
use serde_json::{Value, json};

/// The time of a [`Process`], in seconds.
const NOW: i64 = 1_735_689_600;
const CONTOSO: &str = "6babcaad-604b-40ac-a9d7-9fd97c0b779f";

async fn start(place: &Place) -> Process {
    let process = Process::start(place).await;
    let options = DirectoryOptions {
        domain: "lazuli.test".to_owned(),
        admin_password: None,
    };
    process.identity.install_directory(options).await.unwrap();
    process
}

async fn program(identity: &Identity) -> Object {
    let (may, now) = (DirectoryWrite::of_operator(), identity.now_us());
    let app_id = random_guid().unwrap().to_string();
    let make = |kind| Object::new(random_guid().unwrap(), kind, &app_id, "robot", now);
    let app = make(ObjectKind::Application);
    identity.add_object(&may, app, None).await.unwrap();
    let principal = make(ObjectKind::ServicePrincipal);
    identity.add_object(&may, principal, None).await.unwrap()
}

async fn caller(process: &Process, token: &str) -> Option<Caller> {
    let found = process
        .identity
        .verify_directory_token(token, Audience::Management)
        .await;
    found.ok()
}

fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value;
    }
    claims
}

#[test]
fn tokens_of_an_issuer_stand_for_whom_its_rules_say() {
    on_both_engines(async |place| {
        let process = start(&place).await;
        let identity = &process.identity;
        let robot = program(identity).await;
        let issuer = Issuer::start().await;
        let may = DirectoryWrite::of_operator();
        let claims = json!({
            "iss": issuer.url, "sub": "repo:o/r", "aud": AUDIENCE, "environment": "prod", "iat": NOW, "exp": NOW + 600,
        });
        let token = issuer.sign("k1", &claims);
        assert!(caller(&process, &token).await.is_none(), "nobody trusts it");
        assert_eq!(issuer.asked.load(Ordering::SeqCst), 0, "and nobody asks it");
        let rules = json!({ "subjects": [
            { "claims": { "sub": "repo:o/r", "environment": "prod" }, "object": robot.id },
        ]});
        let trusted = issuer.trusted(IssuerKind::Oidc, &rules);
        identity.put_issuer(&may, trusted.clone()).await.unwrap();
        let found = caller(&process, &token).await.unwrap();
        assert_eq!(
            (found.object(), found.kind()),
            (robot.id, CallerKind::ServicePrincipal)
        );
        let asked = issuer.asked.load(Ordering::SeqCst);
        for (name, value) in [
            ("sub", json!("repo:o/R")),
            ("environment", json!("test")),
            ("environment", Value::Null),
            ("aud", json!("api://other")),
            ("iss", json!("https://other.example")),
            ("exp", json!(NOW - 400)),
            ("exp", Value::Null),
            ("exp", json!(NOW + 40 * 3600)),
            ("nbf", json!(NOW + 400)),
        ] {
            let token = issuer.sign("k1", &with(&claims, name, value.clone()));
            assert!(caller(&process, &token).await.is_none(), "{name} {value}");
        }
        // Unknown names of keys cause no request within half a minute, and one after it.
        for number in 0..20 {
            let token = issuer.sign(&format!("unknown{number}"), &claims);
            assert!(caller(&process, &token).await.is_none());
        }
        assert_eq!(issuer.asked.load(Ordering::SeqCst), asked);
        issuer.set("/keys", json!({ "keys": [issuer.jwk("k2")] }));
        process.advance(31);
        assert!(
            caller(&process, &issuer.sign("k2", &claims))
                .await
                .is_some()
        );
        assert_eq!(issuer.asked.load(Ordering::SeqCst), asked + 2);
        // Trusted no more, and at once.
        identity.remove_issuer(&may, "it").await.unwrap();
        assert!(
            caller(&process, &issuer.sign("k2", &claims))
                .await
                .is_none()
        );
    });
}

#[test]
fn an_issuer_that_lies_or_overflows_is_not_believed() {
    on_both_engines(async |place| {
        let process = start(&place).await;
        let identity = &process.identity;
        let robot = program(identity).await;
        let may = DirectoryWrite::of_operator();
        let rules = json!({ "subjects": [{ "claims": { "sub": "a" }, "object": robot.id }] });
        let outcome = async |change: &dyn Fn(&Issuer)| {
            let issuer = Issuer::start().await;
            change(&issuer);
            let trusted = issuer.trusted(IssuerKind::Oidc, &rules);
            identity.put_issuer(&may, trusted).await.unwrap();
            let claims =
                json!({ "iss": issuer.url, "sub": "a", "aud": AUDIENCE, "exp": NOW + 600 });
            caller(&process, &issuer.sign("k1", &claims))
                .await
                .is_some()
        };
        const DOCUMENT: &str = "/.well-known/openid-configuration";
        assert!(outcome(&|_| {}).await);
        assert!(!outcome(&|issuer| issuer.publish("https://another.example", "")).await);
        assert!(!outcome(&|issuer| issuer.set(DOCUMENT, json!([]))).await);
        // To an address that hands out credentials, or to another place on this machine.
        for place in [
            "http://169.254.169.254/keys",
            "https://127.0.0.1:1/keys",
            "file:///etc/passwd",
            "http://keys.example/keys",
        ] {
            let change = |issuer: &Issuer| {
                let document = json!({ "issuer": issuer.url, "jwks_uri": place });
                issuer.set(DOCUMENT, document);
            };
            assert!(!outcome(&change).await, "{place}");
        }
        let redirect = |issuer: &Issuer| {
            let place = format!("{}/elsewhere", issuer.url);
            issuer.publish(&issuer.url, "/elsewhere");
            let raw = format!(
                "HTTP/1.1 302 Found\r\nlocation: {place}{DOCUMENT}\r\ncontent-length: 0\r\n\r\n"
            );
            issuer.set(DOCUMENT, Value::from(raw));
        };
        assert!(!outcome(&redirect).await);
        let huge = |issuer: &Issuer| {
            let padding = "x".repeat(300 * 1024);
            issuer.set(
                "/keys",
                json!({ "keys": [issuer.jwk("k1")], "padding": padding }),
            );
        };
        assert!(!outcome(&huge).await);
        let symmetric = |issuer: &Issuer| {
            issuer.set(
                "/keys",
                json!({ "keys": [{ "kty": "oct", "kid": "k1", "k": "AAAA" }] }),
            );
        };
        assert!(!outcome(&symmetric).await);
    });
}

#[test]
fn users_of_another_tenant_are_known_by_tenant_and_object() {
    on_both_engines(async |place| {
        let process = start(&place).await;
        let identity = &process.identity;
        let issuer = Issuer::start().await;
        let may = DirectoryWrite::of_operator();
        let (v1, v2) = (
            format!("{}/{CONTOSO}/", issuer.url),
            format!("{}/{CONTOSO}/v2.0", issuer.url),
        );
        issuer.publish(&v1, &format!("/{CONTOSO}"));
        issuer.publish(&v2, &format!("/{CONTOSO}/v2.0"));
        let mut trusted = issuer.trusted(IssuerKind::Entra, &json!({ "v1_issuer": v1 }));
        trusted.tenant = Guid::parse(CONTOSO).unwrap();
        trusted.issuer.clone_from(&v2);
        identity.put_issuer(&may, trusted).await.unwrap();
        let object = random_guid().unwrap();
        let group = random_guid().unwrap();
        let claims = json!({
            "iss": v2, "ver": "2.0", "tid": CONTOSO, "oid": object, "aud": AUDIENCE, "azp": object, "groups": [group],
            "preferred_username": "admin@lazuli.test", "iat": NOW, "nbf": NOW, "exp": NOW + 4000,
        });
        let found = caller(&process, &issuer.sign("k1", &claims)).await.unwrap();
        assert_eq!(found.kind(), CallerKind::External);
        assert_eq!(
            (found.object(), found.groups()),
            (object, [group].as_slice())
        );
        assert_eq!(found.tenant().to_string(), CONTOSO);
        let v1_claims = with(&with(&claims, "iss", json!(v1)), "ver", json!("1.0"));
        assert!(
            caller(&process, &issuer.sign("k1", &v1_claims))
                .await
                .is_some()
        );
        // In more groups than fit: none of them counts.
        for (name, value) in [
            ("hasgroups", json!(true)),
            ("_claim_names", json!({ "groups": "src1" })),
        ] {
            let token = issuer.sign("k1", &with(&claims, name, value));
            assert!(caller(&process, &token).await.unwrap().groups().is_empty());
        }
        // Who is of this directory is nobody of another one, and a tenant speaks for itself only.
        let admin = identity
            .object_named(ObjectKind::User, "admin@lazuli.test")
            .await;
        let admin = admin.unwrap().unwrap().id;
        let own = identity.tenant().await.unwrap().id;
        for (name, value) in [
            ("oid", json!(admin)),
            ("oid", json!("admin")),
            ("tid", json!(own)),
            ("tid", json!(random_guid().unwrap())),
            ("tid", Value::Null),
            ("aud", json!("https://management.azure.com")),
        ] {
            let token = issuer.sign("k1", &with(&claims, name, value.clone()));
            assert!(caller(&process, &token).await.is_none(), "{name} {value}");
        }
        let token = issuer.sign("k1", &claims);
        let graph = identity.verify_directory_token(&token, Audience::Graph);
        assert!(graph.await.is_err(), "it is not for the directory");
    });
}

#[test]
fn a_federated_credential_fits_exactly_or_not_at_all() {
    on_both_engines(async |place| {
        let process = start(&place).await;
        let identity = &process.identity;
        let robot = program(identity).await;
        let issuer = Issuer::start().await;
        let may = DirectoryWrite::of_operator();
        let federation = Federation {
            name: "actions".to_owned(),
            issuer: issuer.url.clone(),
            subject: "repo:o/r:ref:refs/heads/main".to_owned(),
            audience: "api://AzureADTokenExchange".to_owned(),
            description: None,
        };
        identity
            .put_federation(&may, robot.id, None, &federation)
            .await
            .unwrap();
        let again = identity
            .put_federation(&may, robot.id, None, &federation)
            .await;
        assert!(again.is_err(), "one of a name");
        let claims = json!({
            "iss": issuer.url, "sub": federation.subject, "aud": federation.audience, "iat": NOW, "exp": NOW + 600,
        });
        let sign_in = async |token: String| {
            let form = TokenForm {
                client_id: robot.name_key.clone(),
                proof: ClientProof::Assertion(Secret::new(token)),
                grant: Grant::ClientCredentials,
                asked: Asked::parse("https://management.azure.com/.default"),
                client_info: false,
            };
            let audience = |_: &Resource| Some(Audience::Management);
            let at = Authority {
                base: "https://localhost:5443",
                tenant: &Tenant::Common,
                flavor: Flavor::V2,
                from: Origin::of([10, 0, 0, rand_octet()].into()),
                audience: &audience,
            };
            identity.directory_token(&at, &form).await.map(drop)
        };
        // An administrator names an issuer on this machine: that is for the operator to allow.
        let refused = sign_in(issuer.sign("k1", &claims)).await;
        assert!(matches!(refused, Err(Failure::Assertion(_))), "{refused:?}");
        assert_eq!(issuer.asked.load(Ordering::SeqCst), 0);
        let trusted = issuer.trusted(IssuerKind::Oidc, &json!({}));
        identity.put_issuer(&may, trusted).await.unwrap();
        assert_eq!(sign_in(issuer.sign("k1", &claims)).await, Ok(()));
        for (name, value) in [
            ("sub", json!("repo:o/r:ref:refs/heads/Main")),
            ("sub", Value::Null),
            ("aud", json!("api://azureadtokenexchange")),
            ("aud", json!([])),
        ] {
            let token = issuer.sign("k1", &with(&claims, name, value.clone()));
            assert_eq!(
                sign_in(token).await,
                Err(Failure::Federation),
                "{name} {value}"
            );
        }
        let late = issuer.sign("k1", &with(&claims, "exp", json!(NOW - 400)));
        assert!(matches!(sign_in(late).await, Err(Failure::Assertion(_))));
    });
}

/// Guesses are counted by address: each attempt comes from another one.
fn rand_octet() -> u8 {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    (NEXT.fetch_add(1, Ordering::SeqCst) % 250) as u8
}
