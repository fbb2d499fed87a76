//! Signing in to the embedded directory, on both engines: who gets which token, and when it ends.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{Place, Process, decode, on_both_engines};
use lazuli_identity::{
    Audience, AuthError, Authority, CallerKind, DirectoryOptions, DirectoryWrite, Identity, Object,
    ObjectKind, OldTokens, Origin, TokenAnswer, random_guid,
};
use lazuli_wire::Guid;
use lazuli_wire::entra::{
    Asked, AuthorizeRequest, ClientProof, Failure, Flavor, Grant, RedirectUri, Resource,
    ResponseMode, Tenant, TokenForm, WellKnown,
};
use lazuli_wire::token::Secret;

const AZ: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";
const PASSWORD: &str = "correct horse battery";
const ADMIN: &str = "admin@lazuli.test";
const SCOPE: &str = "https://management.azure.com/.default openid offline_access";
const BASE: &str = "https://localhost:5443";

async fn start(place: &Place) -> Process {
    let process = Process::start(place).await;
    let options = DirectoryOptions {
        domain: "lazuli.test".to_owned(),
        admin_password: Some(Secret::new(PASSWORD)),
    };
    process.identity.install_directory(options).await.unwrap();
    process
}

fn audience(resource: &Resource) -> Option<Audience> {
    Some(match resource.well_known()? {
        WellKnown::Management => Audience::Management,
        WellKnown::Registry => Audience::Registry,
        WellKnown::Graph => Audience::Graph,
    })
}

fn at(tenant: &Tenant, from: Origin) -> Authority<'_> {
    Authority {
        base: BASE,
        tenant,
        flavor: Flavor::V2,
        from,
        audience: &audience,
    }
}

fn elsewhere() -> Origin {
    Origin::of("192.0.2.7".parse().unwrap())
}

async fn token_from(
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

async fn token(
    identity: &Identity,
    client: &str,
    proof: ClientProof,
    grant: Grant,
) -> Result<TokenAnswer, Failure> {
    token_from(identity, Origin::LOCAL, client, proof, grant).await
}

fn password(name: &str, password: &str) -> Grant {
    Grant::Password {
        username: name.to_owned(),
        password: Secret::new(password),
    }
}

fn read(answer: &TokenAnswer) -> serde_json::Value {
    serde_json::to_value(answer).unwrap()
}

fn access(answer: &TokenAnswer) -> String {
    read(answer)["access_token"].as_str().unwrap().to_owned()
}

fn renewal(answer: &TokenAnswer) -> Grant {
    Grant::RefreshToken(Secret::new(read(answer)["refresh_token"].as_str().unwrap()))
}

/// A program with a secret: its application's number, its own object, the secret.
async fn program(identity: &Identity) -> (String, Object, Object, Secret) {
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

async fn caller(process: &Process, token: &str) -> Result<CallerKind, AuthError> {
    let found = process
        .identity
        .verify_directory_token(token, Audience::Management)
        .await;
    found.map(|caller| caller.kind())
}

#[test]
fn the_directory_is_made_once_whoever_starts() {
    on_both_engines(async |place| {
        let (one, two) = (Process::start(&place).await, Process::start(&place).await);
        let options = || DirectoryOptions {
            domain: "Lazuli.Test".to_owned(),
            admin_password: None,
        };
        let (first, second) = tokio::join!(
            one.identity.install_directory(options()),
            two.identity.install_directory(options()),
        );
        let (first, second) = (first.unwrap(), second.unwrap());
        assert_eq!(first.tenant, second.tenant);
        let made: Vec<_> = [first.made, second.made].into_iter().flatten().collect();
        assert_eq!(made.len(), 1);
        let generated = made[0].generated_password.as_ref().unwrap().expose();
        assert_eq!(made[0].name, ADMIN);
        let grant = password("ADMIN@lazuli.test", generated);
        let signed_in = token(&two.identity, AZ, ClientProof::None, grant).await;
        assert!(signed_in.is_ok(), "{signed_in:?}");
        let again = one.identity.install_directory(options()).await.unwrap();
        assert!(again.made.is_none() && again.tenant == first.tenant);
    });
}

#[test]
fn a_program_signs_in_by_its_secret_until_that_ends() {
    on_both_engines(async |place| {
        let process = start(&place).await;
        let identity = &process.identity;
        let (app_id, _, principal, secret) = program(identity).await;
        let proof = |text: &str| ClientProof::Secret(Secret::new(text));
        let grant = || Grant::ClientCredentials;
        let good = token(identity, &app_id, proof(secret.expose()), grant()).await;
        let good = access(&good.unwrap());
        let (header, claims) = decode(&good);
        assert_eq!(header["alg"], "RS256");
        assert_eq!(claims["oid"], principal.id.to_string());
        assert_eq!(claims["idtyp"], "app");
        assert_eq!(
            claims["tid"],
            identity.tenant().await.unwrap().id.to_string()
        );
        let kind = caller(&process, &good).await.unwrap();
        assert_eq!(kind, CallerKind::ServicePrincipal);
        // A token for one thing is none for another.
        for other in [Audience::Registry, Audience::Graph] {
            let refused = identity.verify_directory_token(&good, other).await;
            assert!(matches!(refused, Err(AuthError::InvalidToken)));
        }
        // Neither which of them is wrong nor whether there is such a program is told.
        let unknown = random_guid().unwrap().to_string();
        for (client, text) in [(&app_id, "wrong"), (&unknown, secret.expose())] {
            let refused = token(identity, client, proof(text), grant()).await;
            assert_eq!(refused.unwrap_err(), Failure::ClientSecret);
        }
        process.advance(61);
        let late = token(identity, &app_id, proof(secret.expose()), grant()).await;
        assert_eq!(late.unwrap_err(), Failure::ClientSecret);
    });
}

#[test]
fn disabling_or_deleting_ends_tokens_at_once_and_enabling_revives_none() {
    on_both_engines(async |place| {
        let process = start(&place).await;
        let identity = &process.identity;
        let may = DirectoryWrite::of_operator();
        let (app_id, _, principal, secret) = program(identity).await;
        let proof = || ClientProof::Secret(secret.clone());
        let made = token(identity, &app_id, proof(), Grant::ClientCredentials).await;
        let old = access(&made.unwrap());
        assert!(caller(&process, &old).await.is_ok());
        let set = |enabled| {
            let change = move |object: &mut Object| {
                object.enabled = enabled;
                Ok(())
            };
            identity.change_object(&may, principal.id, change)
        };
        process.advance(1);
        set(false).await.unwrap();
        assert!(caller(&process, &old).await.is_err());
        let refused = token(identity, &app_id, proof(), Grant::ClientCredentials).await;
        assert!(matches!(refused, Err(Failure::Application(_))));
        process.advance(1);
        set(true).await.unwrap();
        assert!(
            caller(&process, &old).await.is_err(),
            "ended tokens stay so"
        );
        let made = token(identity, &app_id, proof(), Grant::ClientCredentials).await;
        let new = access(&made.unwrap());
        assert!(caller(&process, &new).await.is_ok());
        identity.remove_object(&may, principal.id).await.unwrap();
        assert!(caller(&process, &new).await.is_err());
    });
}

#[test]
fn a_refresh_token_is_of_its_user_and_program_until_the_password_changes() {
    on_both_engines(async |place| {
        let process = start(&place).await;
        let identity = &process.identity;
        let made = token(identity, AZ, ClientProof::None, password(ADMIN, PASSWORD)).await;
        let first = made.unwrap();
        assert_eq!(
            caller(&process, &access(&first)).await.unwrap(),
            CallerKind::User
        );
        let id_token = read(&first)["id_token"].as_str().unwrap().to_owned();
        assert_eq!(decode(&id_token).1["aud"], AZ);
        assert!(
            caller(&process, &id_token).await.is_err(),
            "an ID token opens nothing"
        );
        let renewed = token(identity, AZ, ClientProof::None, renewal(&first)).await;
        let renewed = renewed.unwrap();
        let refresh = read(&renewed)["refresh_token"].as_str().unwrap().to_owned();
        assert!(caller(&process, &refresh).await.is_err());
        // Another program cannot use it.
        let powershell = "1950a258-227b-4e31-a9cf-717495945fc2";
        let stolen = token(identity, powershell, ClientProof::None, renewal(&first)).await;
        assert_eq!(stolen.unwrap_err(), Failure::Expired);
        process.advance(1);
        let may = DirectoryWrite::of_operator();
        let admin = identity
            .object_named(ObjectKind::User, ADMIN)
            .await
            .unwrap();
        let changed = identity
            .set_user_password(&may, admin.unwrap().id, None)
            .await;
        let new = changed.unwrap().unwrap();
        for old in [&first, &renewed] {
            let revoked = token(identity, AZ, ClientProof::None, renewal(old)).await;
            assert_eq!(revoked.unwrap_err(), Failure::Revoked);
            assert!(caller(&process, &access(old)).await.is_err());
        }
        let old = token(identity, AZ, ClientProof::None, password(ADMIN, PASSWORD)).await;
        assert_eq!(old.unwrap_err(), Failure::Password);
        let grant = password(ADMIN, new.expose());
        assert!(token(identity, AZ, ClientProof::None, grant).await.is_ok());
    });
}

#[test]
fn who_guesses_waits_and_nobody_else_does() {
    on_both_engines(async |place| {
        let process = start(&place).await;
        let identity = &process.identity;
        let attempt = async |from, name: &str, word: &str| {
            token_from(identity, from, AZ, ClientProof::None, password(name, word)).await
        };
        // A name that there is, and one that there is not: the same is told.
        for name in [ADMIN, "nobody@lazuli.test"] {
            for _ in 0..6 {
                let refused = attempt(elsewhere(), name, "guess").await;
                assert_eq!(refused.unwrap_err(), Failure::Password);
            }
            let locked = attempt(elsewhere(), name, PASSWORD).await;
            assert_eq!(locked.unwrap_err(), Failure::Locked(2));
        }
        assert!(attempt(Origin::LOCAL, ADMIN, PASSWORD).await.is_ok());
        process.advance(3);
        assert!(attempt(elsewhere(), ADMIN, PASSWORD).await.is_ok());
    });
}

fn browser(challenge: Option<&str>, redirect: &str) -> AuthorizeRequest {
    AuthorizeRequest {
        client_id: AZ.to_owned(),
        redirect_uri: RedirectUri::parse(redirect).unwrap(),
        response_mode: ResponseMode::Query,
        asked: Asked::parse(SCOPE).unwrap(),
        state: Some("s".to_owned()),
        nonce: Some("n".to_owned()),
        challenge: challenge.map(str::to_owned),
        login_hint: None,
        client_info: false,
    }
}

#[test]
fn a_code_from_a_browser_counts_once_for_its_program_place_and_verifier() {
    // RFC 7636, appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    on_both_engines(async |place| {
        let process = start(&place).await;
        let identity = &process.identity;
        let tenant = Tenant::Organizations;
        let at = at(&tenant, Origin::LOCAL);
        let home = "http://localhost:8400/";
        let code = async || {
            let request = browser(Some(CHALLENGE), home);
            let landing = identity
                .authorize_user(&at, &request, ADMIN, &Secret::new(PASSWORD))
                .await
                .unwrap();
            landing
                .fields
                .iter()
                .find(|(name, _)| *name == "code")
                .unwrap()
                .1
                .clone()
        };
        let redeem = async |code: &str, place: &str, verifier: Option<&str>| {
            let grant = Grant::AuthorizationCode {
                code: Secret::new(code),
                redirect_uri: Some(place.to_owned()),
                verifier: verifier.map(Secret::new),
            };
            token(identity, AZ, ClientProof::None, grant).await
        };
        let one = code().await;
        let made = redeem(&one, home, Some(VERIFIER)).await.unwrap();
        let id_token = read(&made)["id_token"].as_str().unwrap().to_owned();
        assert_eq!(decode(&id_token).1["nonce"], "n");
        assert_eq!(
            redeem(&one, home, Some(VERIFIER)).await.unwrap_err(),
            Failure::Expired
        );
        for (place, verifier) in [
            ("http://localhost:8401/", Some(VERIFIER)),
            (home, Some("another")),
            (home, None),
        ] {
            let wrong = code().await;
            let refused = redeem(&wrong, place, verifier).await;
            assert_eq!(refused.unwrap_err(), Failure::WrongCode);
            // It is used up all the same.
            let again = redeem(&wrong, home, Some(VERIFIER)).await;
            assert_eq!(again.unwrap_err(), Failure::Expired);
        }
        let late = code().await;
        process.advance(301);
        assert_eq!(
            redeem(&late, home, Some(VERIFIER)).await.unwrap_err(),
            Failure::Expired
        );
        // No page at all for those who would take the answer elsewhere, or prove nothing.
        for (request, failure) in [
            (
                browser(Some(CHALLENGE), "https://evil.example/"),
                Failure::RedirectUri,
            ),
            (
                browser(Some(CHALLENGE), "http://localhost.evil.example/"),
                Failure::RedirectUri,
            ),
            (browser(None, home), Failure::Missing("code_challenge")),
        ] {
            let refused = identity.check_authorize(&at, &request).await;
            assert_eq!(refused.unwrap_err(), failure);
        }
    });
}

#[test]
fn a_device_waits_until_somebody_signs_in_or_declines() {
    on_both_engines(async |place| {
        let process = start(&place).await;
        let identity = &process.identity;
        let tenant = Tenant::Common;
        let at = at(&tenant, Origin::LOCAL);
        let begin = async || {
            let asked = Asked::parse(SCOPE).unwrap();
            let begun = identity
                .begin_device_sign_in(&at, AZ, &asked)
                .await
                .unwrap();
            let begun = serde_json::to_value(begun).unwrap();
            let text = |name: &str| begun[name].as_str().unwrap().to_owned();
            (text("user_code"), text("device_code"))
        };
        let poll = async |code: &str| {
            let grant = Grant::DeviceCode(Secret::new(code));
            token(identity, AZ, ClientProof::None, grant).await
        };
        let (typed, device) = begin().await;
        assert_eq!(poll(&device).await.unwrap_err(), Failure::Pending);
        assert_eq!(poll(&device).await.unwrap_err(), Failure::SlowDown);
        let secret = Secret::new(PASSWORD);
        let wrong = Secret::new("wrong");
        let refused = identity
            .answer_device(&at, &typed, Some((ADMIN, &wrong)))
            .await;
        assert_eq!(refused.unwrap_err(), Failure::Password);
        let typed_badly = typed.to_lowercase();
        let yes = Some((ADMIN, &secret));
        identity
            .answer_device(&at, &typed_badly, yes)
            .await
            .unwrap();
        let again = identity.answer_device(&at, &typed, yes).await;
        assert_eq!(again.unwrap_err(), Failure::DeviceExpired);
        let made = poll(&device).await.unwrap();
        assert!(caller(&process, &access(&made)).await.is_ok());
        assert_eq!(poll(&device).await.unwrap_err(), Failure::DeviceExpired);
        let (typed, device) = begin().await;
        identity.answer_device(&at, &typed, None).await.unwrap();
        assert_eq!(poll(&device).await.unwrap_err(), Failure::Declined);
        let (typed, device) = begin().await;
        process.advance(901);
        assert!(identity.answer_device(&at, &typed, yes).await.is_err());
        assert_eq!(poll(&device).await.unwrap_err(), Failure::DeviceExpired);
    });
}

#[test]
fn groups_are_transitive_and_never_circular() {
    on_both_engines(async |place| {
        let process = start(&place).await;
        let identity = &process.identity;
        let (may, now) = (DirectoryWrite::of_operator(), identity.now_us());
        let mut groups: Vec<Guid> = Vec::new();
        for name in ["inner", "outer"] {
            let id = random_guid().unwrap();
            let group = Object::new(id, ObjectKind::Group, &id.to_string(), name, now);
            groups.push(identity.add_object(&may, group, None).await.unwrap().id);
        }
        let admin = identity
            .object_named(ObjectKind::User, ADMIN)
            .await
            .unwrap();
        let admin = admin.unwrap().id;
        identity
            .add_group_member(&may, groups[0], admin)
            .await
            .unwrap();
        identity
            .add_group_member(&may, groups[1], groups[0])
            .await
            .unwrap();
        let circular = identity.add_group_member(&may, groups[0], groups[1]).await;
        assert!(circular.is_err());
        let of = async |transitive| {
            let found = identity.groups_of_object(admin, transitive).await.unwrap();
            found.len()
        };
        assert_eq!((of(false).await, of(true).await), (1, 2));
        identity.remove_object(&may, groups[0]).await.unwrap();
        assert_eq!((of(false).await, of(true).await), (0, 0));
    });
}

#[test]
fn a_new_key_signs_from_now_on_and_the_old_one_verifies_until_its_tokens_end() {
    on_both_engines(async |place| {
        let process = start(&place).await;
        let other = Process::start(&place).await;
        let identity = &process.identity;
        let sign_in = async || {
            let grant = password(ADMIN, PASSWORD);
            token(identity, AZ, ClientProof::None, grant).await.unwrap()
        };
        let old = sign_in().await;
        assert!(caller(&other, &access(&old)).await.is_ok());
        identity
            .rotate_directory_key(OldTokens::Expire)
            .await
            .unwrap();
        assert_eq!(identity.directory_keys().await.unwrap().len(), 2);
        let new = sign_in().await;
        let kid = |answer: &TokenAnswer| decode(&access(answer)).0["kid"].clone();
        assert_ne!(kid(&old), kid(&new));
        assert!(caller(&process, &access(&old)).await.is_ok());
        // Another process looks up the unknown key.
        other.advance(2);
        assert!(caller(&other, &access(&new)).await.is_ok());
        // By age, beside the keys of registries.
        process.advance(86_400);
        let day = std::time::Duration::from_secs(86_000);
        assert_eq!(identity.rotate_aged_signing_keys(day).await.unwrap(), 2);
        assert_eq!(identity.rotate_aged_signing_keys(day).await.unwrap(), 0);
        let new = sign_in().await;
        process.advance(1);
        identity
            .rotate_directory_key(OldTokens::Revoke)
            .await
            .unwrap();
        assert!(caller(&process, &access(&new)).await.is_err());
        let ended = token(identity, AZ, ClientProof::None, renewal(&new)).await;
        assert_eq!(ended.unwrap_err(), Failure::Revoked);
    });
}
