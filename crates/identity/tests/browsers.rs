//! Signing in through a browser, or on another device, on both engines.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
mod signing_in;

use common::{decode, on_both_engines};
use lazuli_identity::Origin;
use lazuli_wire::entra::{
    Asked, AuthorizeRequest, ClientProof, Failure, Grant, RedirectUri, ResponseMode, Tenant,
};
use lazuli_wire::token::Secret;
use signing_in::{ADMIN, AZ, PASSWORD, SCOPE, access, at, caller, read, start, token};

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
