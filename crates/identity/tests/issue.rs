//! The token endpoints: who gets which token, and how long it counts.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{
    Process, REGISTRY, SERVICE, basic, bearer, decode, name, on_both_engines, options, request,
};
use lazuli_identity::{
    ACCESS_LIFE, ANONYMOUS_LIFE, AuthError, Delete, Denied, Origin, Pull, Push, REFRESH_LIFE, SKEW,
    TokenError,
};
use lazuli_wire::token::{GrantType, OAuthError, Secret, TOKEN_USERNAME, TokenRequest};
use serde_json::json;

fn password_request(user: Option<&str>, password: Option<&str>, scopes: &str) -> TokenRequest {
    let mut request = request(GrantType::Password, scopes);
    request.username = user.map(str::to_owned);
    request.password = password.map(Secret::new);
    request
}

async fn issue(
    process: &Process,
    header: Option<&str>,
    request: &TokenRequest,
) -> Result<String, TokenError> {
    let header = header.map(str::as_bytes);
    Ok(process
        .identity
        .issue_token(REGISTRY, SERVICE, Origin::LOCAL, header, request)
        .await?
        .access_token)
}

#[test]
fn an_access_token_grants_what_was_asked_and_no_more() {
    on_both_engines(async |place| {
        let process = Process::start(&place).await;
        let header = basic("lazuli", &process.generated_password());
        let token = process
            .token(
                &header,
                "repository:team/app:pull,push registry:deleted_catalog:*",
            )
            .await;
        let principal = process.authenticate(&bearer(&token)).await.unwrap();
        let identity = &process.identity;
        let app = name("team/app");
        let insufficient = Some(Denied::InsufficientScope);
        assert!(
            identity
                .authorize::<Pull>(&principal, REGISTRY, &app)
                .is_ok()
        );
        assert!(
            identity
                .authorize::<Push>(&principal, REGISTRY, &app)
                .is_ok()
        );
        assert!(identity.authorize_base(&principal, REGISTRY).is_ok());
        assert_eq!(
            identity
                .authorize::<Delete>(&principal, REGISTRY, &app)
                .err(),
            insufficient
        );
        assert_eq!(
            identity
                .authorize::<Pull>(&principal, REGISTRY, &name("team"))
                .err(),
            insufficient
        );
        assert_eq!(
            identity
                .authorize::<Pull>(&principal, REGISTRY, &name("team/app/x"))
                .err(),
            insufficient
        );
        assert_eq!(
            identity.authorize_catalog(&principal, REGISTRY).err(),
            insufficient
        );
        // A token for nothing is a token all the same.
        let empty = process.token(&header, "").await;
        assert_eq!(decode(&empty).1["access"], json!([]));
        let principal = process.authenticate(&bearer(&empty)).await.unwrap();
        assert!(identity.authorize_base(&principal, REGISTRY).is_ok());
        assert_eq!(
            identity.authorize::<Pull>(&principal, REGISTRY, &app).err(),
            insufficient
        );
    });
}

#[test]
fn a_token_counts_only_where_it_was_made_for() {
    on_both_engines(async |place| {
        let process = Process::start(&place).await;
        let token = process
            .token(
                &basic("lazuli", &process.generated_password()),
                "repository:a:pull",
            )
            .await;
        let header = bearer(&token);
        assert!(process.authenticate(&header).await.is_ok());
        assert!(process.cached(&header).is_some());
        for service in [
            "127.0.0.1:5443",
            "localhost:5000",
            "127.0.0.1",
            "127.0.0.1:5000.",
            "",
        ] {
            let bytes = Some(header.as_bytes());
            assert!(
                process
                    .identity
                    .authenticate_cached(REGISTRY, service, bytes)
                    .is_none(),
                "{service}"
            );
            let outcome = process
                .identity
                .authenticate(REGISTRY, service, Origin::LOCAL, bytes)
                .await;
            assert!(matches!(outcome, Err(AuthError::InvalidToken)), "{service}");
        }
        // A refused look-up leaves the remembered one alone.
        assert!(process.cached(&header).is_some());
    });
}

#[test]
fn a_remembered_token_ends_when_it_expires() {
    on_both_engines(async |place| {
        let process = Process::start(&place).await;
        let header = bearer(
            &process
                .token(&basic("lazuli", &process.generated_password()), "")
                .await,
        );
        let life = u64::try_from(ACCESS_LIFE + SKEW).unwrap();
        assert!(process.cached(&header).is_none());
        process.authenticate(&header).await.unwrap();
        process.advance(life - 1);
        assert!(process.authenticate(&header).await.is_ok());
        assert!(process.cached(&header).is_some());
        process.advance(1);
        assert!(process.cached(&header).is_none());
        assert!(matches!(
            process.authenticate(&header).await,
            Err(AuthError::InvalidToken)
        ));
    });
}

#[test]
fn tampering_with_a_remembered_token_is_noticed() {
    on_both_engines(async |place| {
        let process = Process::start(&place).await;
        let token = process
            .token(
                &basic("lazuli", &process.generated_password()),
                "repository:a:pull",
            )
            .await;
        process.authenticate(&bearer(&token)).await.unwrap();
        for index in (0..token.len()).step_by(7) {
            let mut changed = token.clone().into_bytes();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            let header = bearer(&String::from_utf8(changed).unwrap());
            assert!(process.cached(&header).is_none(), "position {index}");
            assert!(
                process.authenticate(&header).await.is_err(),
                "position {index}"
            );
        }
    });
}

#[test]
fn credentials_come_by_header_or_by_form_and_whole() {
    on_both_engines(async |place| {
        let process = Process::start(&place).await;
        let password = process.generated_password();
        let header = basic("lazuli", &password);
        let form = |user, password| password_request(user, password, "repository:a:pull");
        assert!(
            issue(&process, Some(&header), &form(None, None))
                .await
                .is_ok()
        );
        assert!(
            issue(&process, None, &form(Some("lazuli"), Some(&password)))
                .await
                .is_ok()
        );
        for (header, request) in [
            (None, form(Some("lazuli"), None)),
            (None, form(None, Some(&password))),
            (Some(&header), form(Some("lazuli"), Some(&password))),
            (Some(&header), form(None, Some(&password))),
        ] {
            let outcome = issue(&process, header.map(String::as_str), &request).await;
            assert!(matches!(outcome, Err(TokenError::Credentials)));
        }
        let wrong = issue(&process, None, &form(Some("lazuli"), Some("wrong")))
            .await
            .unwrap_err();
        assert!(matches!(
            wrong,
            TokenError::Refused(AuthError::WrongPassword)
        ));
        assert_eq!(wrong.oauth_error(), Some(OAuthError::InvalidClient));
        let wrong = issue(&process, Some(&basic("lazuli", "wrong")), &form(None, None)).await;
        assert!(matches!(
            wrong,
            Err(TokenError::Refused(AuthError::WrongPassword))
        ));
        let token = issue(&process, Some(&header), &form(None, None))
            .await
            .unwrap();
        let by_bearer = issue(&process, Some(&bearer(&token)), &form(None, None)).await;
        assert!(matches!(
            by_bearer,
            Err(TokenError::Refused(AuthError::InvalidToken))
        ));
    });
}

#[test]
fn a_request_for_another_login_server_is_refused() {
    on_both_engines(async |place| {
        let process = Process::start(&place).await;
        let header = basic("lazuli", &process.generated_password());
        let mut request = request(GrantType::Password, "repository:a:pull");
        for (service, accepted) in [
            (Some("other.example"), false),
            (Some("127.0.0.1:5000"), true),
            (Some(""), false),
            (None, true),
        ] {
            request.service = service.map(str::to_owned);
            let outcome = issue(&process, Some(&header), &request).await;
            assert_eq!(outcome.is_ok(), accepted, "{service:?}");
            assert!(
                accepted || matches!(outcome, Err(TokenError::WrongService)),
                "{service:?}"
            );
        }
    });
}

#[test]
fn anonymous_tokens_need_anonymous_pull_and_end_with_it() {
    on_both_engines(async |place| {
        let process = Process::start(&place).await;
        let asks = request(
            GrantType::Password,
            "repository:a:pull,push registry:catalog:*",
        );
        let refused = issue(&process, None, &asks).await.unwrap_err();
        assert!(matches!(refused, TokenError::AnonymousRefused));
        assert_eq!(refused.oauth_error(), Some(OAuthError::InvalidClient));

        process
            .identity
            .set_anonymous_pull(REGISTRY, true)
            .await
            .unwrap();
        let token = issue(&process, None, &asks).await.unwrap();
        let claims = decode(&token).1;
        assert_eq!(claims["sub"], "acr_anon_pull");
        assert_eq!(
            claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(),
            ANONYMOUS_LIFE + 900
        );
        let header = bearer(&token);
        let principal = process.authenticate(&header).await.unwrap();
        let identity = &process.identity;
        assert!(principal.is_anonymous() && principal.presented_credentials());
        assert!(identity.authorize_base(&principal, REGISTRY).is_ok());
        assert!(
            identity
                .authorize::<Pull>(&principal, REGISTRY, &name("b"))
                .is_ok()
        );
        assert!(
            identity
                .authorize::<Push>(&principal, REGISTRY, &name("a"))
                .is_err()
        );
        assert!(identity.authorize_catalog(&principal, REGISTRY).is_ok());

        identity.set_anonymous_pull(REGISTRY, false).await.unwrap();
        let principal = process.authenticate(&header).await.unwrap();
        let denied = identity.authorize::<Pull>(&principal, REGISTRY, &name("b"));
        assert_eq!(denied.err(), Some(Denied::Unauthenticated));
    });
}

#[test]
fn a_refresh_token_is_good_for_access_tokens_until_it_ends() {
    on_both_engines(async |place| {
        let process = Process::start(&place).await;
        let refresh = process.refresh_token(&process.generated_password()).await;
        let claims = decode(&refresh).1;
        let end = claims["exp"].as_i64().unwrap();
        assert_eq!(end - claims["iat"].as_i64().unwrap(), REFRESH_LIFE + 900);
        let token = process
            .refresh(&refresh, "repository:a:pull")
            .await
            .unwrap();
        assert!(process.authenticate(&bearer(&token)).await.is_ok());
        // Near its end the access token is cut off with it.
        process.advance(u64::try_from(REFRESH_LIFE).unwrap() - 60);
        let last = process
            .refresh(&refresh, "repository:a:pull")
            .await
            .unwrap();
        assert_eq!(decode(&last).1["exp"].as_i64(), Some(end));
        process.advance(60 + u64::try_from(SKEW).unwrap());
        let late = process
            .refresh(&refresh, "repository:a:pull")
            .await
            .unwrap_err();
        assert!(matches!(late, TokenError::Refused(AuthError::InvalidToken)));
        assert_eq!(late.oauth_error(), Some(OAuthError::InvalidGrant));
        assert!(
            process.refresh(&token, "repository:a:pull").await.is_err(),
            "an access token is none"
        );
        assert!(process.refresh("", "repository:a:pull").await.is_err());
    });
}

#[test]
fn a_refresh_token_is_handed_out_only_where_it_does_not_replace_a_password() {
    on_both_engines(async |place| {
        let process = Process::start(&place).await;
        let password = process.generated_password();
        let offered = async |header: Option<&str>, mut request: TokenRequest, offline: bool| {
            request.offline = offline;
            let header = header.map(str::as_bytes);
            process
                .identity
                .issue_token(REGISTRY, SERVICE, Origin::LOCAL, header, &request)
                .await
                .unwrap()
                .refresh_token
        };
        let by_form = || password_request(Some("lazuli"), Some(&password), "repository:a:pull");
        let refresh = offered(None, by_form(), true).await.unwrap();
        assert!(offered(None, by_form(), false).await.is_none());
        // What `docker login` sends: with a password nothing comes back, with a refresh token one does.
        let get = || request(GrantType::Password, "");
        assert!(
            offered(Some(&basic("lazuli", &password)), get(), true)
                .await
                .is_none()
        );
        let again = offered(Some(&basic(TOKEN_USERNAME, &refresh)), get(), true)
            .await
            .unwrap();
        assert_eq!(decode(&again).1["grant_type"], "refresh_token");
        // An access token never becomes more than it is.
        let access = process
            .token(&basic("lazuli", &password), "repository:a:pull")
            .await;
        assert!(
            offered(Some(&basic(TOKEN_USERNAME, &access)), get(), true)
                .await
                .is_none()
        );
        process
            .identity
            .set_anonymous_pull(REGISTRY, true)
            .await
            .unwrap();
        assert!(offered(None, get(), true).await.is_none());
    });
}

#[test]
fn exchange_renews_refresh_tokens_and_nothing_else() {
    on_both_engines(async |place| {
        let process = Process::start(&place).await;
        let password = process.generated_password();
        let refresh = process.refresh_token(&password).await;
        let access = process
            .token(&basic("lazuli", &password), "repository:a:*")
            .await;
        let exchange =
            async |grant_type, refresh_token: Option<&str>, access_token: Option<&str>| {
                let mut request = request(grant_type, "");
                request.refresh_token = refresh_token.map(Secret::new);
                request.access_token = access_token.map(Secret::new);
                let answer = process.identity.exchange(REGISTRY, SERVICE, &request).await;
                answer.map(|answer| answer.refresh_token)
            };
        process.advance(600);
        for answer in [
            exchange(GrantType::RefreshToken, Some(&refresh), None).await,
            exchange(
                GrantType::AccessTokenRefreshToken,
                Some(&refresh),
                Some("x"),
            )
            .await,
            exchange(GrantType::AccessTokenRefreshToken, None, Some(&refresh)).await,
            exchange(GrantType::AccessToken, None, Some(&refresh)).await,
        ] {
            let renewed = answer.unwrap();
            assert_ne!(renewed, refresh);
            assert_eq!(
                decode(&renewed).1["exp"],
                decode(&refresh).1["exp"],
                "it ends with the old one"
            );
            assert!(process.refresh(&renewed, "repository:a:pull").await.is_ok());
        }
        for (grant_type, refresh_token, access_token) in [
            (GrantType::AccessToken, None, Some(access.as_str())),
            (GrantType::RefreshToken, Some(access.as_str()), None),
            (
                GrantType::AccessToken,
                None,
                Some("eyJhbGciOiJub25lIn0.e30."),
            ),
            (GrantType::AccessToken, None, Some("")),
            (GrantType::AccessToken, None, None),
        ] {
            let refused = exchange(grant_type, refresh_token, access_token)
                .await
                .unwrap_err();
            assert!(matches!(
                refused,
                TokenError::Refused(AuthError::InvalidToken)
            ));
        }
        let refused = exchange(GrantType::Password, None, None).await;
        assert!(matches!(refused, Err(TokenError::GrantType)));
        let mut wrong = request(GrantType::AccessToken, "");
        wrong.access_token = Some(Secret::new(refresh.as_str()));
        let refused = process
            .identity
            .issue_token(REGISTRY, SERVICE, Origin::LOCAL, None, &wrong)
            .await;
        assert!(matches!(refused, Err(TokenError::GrantType)));
    });
}

#[test]
fn a_database_that_fails_is_no_wrong_password() {
    on_both_engines(async |place| {
        let process = Process::start_with(&place, options()).await;
        let header = basic("lazuli", &process.generated_password());
        assert!(process.authenticate(&header).await.is_ok());
        process
            .db
            .close(std::time::Duration::from_secs(5))
            .await
            .unwrap();
        // What is known counts for ten seconds more, then nobody is let in on old knowledge.
        assert!(process.authenticate(&header).await.is_ok());
        process.advance(10);
        assert!(matches!(
            process.authenticate(&header).await,
            Err(AuthError::Internal(_))
        ));
        assert!(process.cached(&header).is_none());
        assert!(
            process
                .identity
                .authenticate_cached(REGISTRY, SERVICE, None)
                .is_none()
        );
    });
}
