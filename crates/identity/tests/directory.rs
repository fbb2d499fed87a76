//! Signing in to the embedded directory, on both engines: who gets which token, and when it ends.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
mod signing_in;

use common::{Process, decode, on_both_engines};
use lazuli_identity::{
    Audience, AuthError, CallerKind, DirectoryOptions, DirectoryWrite, Object, ObjectKind,
    OldTokens, Origin, TokenAnswer, random_guid,
};
use lazuli_wire::Guid;
use lazuli_wire::entra::{ClientProof, Failure, Grant};
use lazuli_wire::token::Secret;
use signing_in::{
    ADMIN, AZ, PASSWORD, access, caller, elsewhere, password, program, read, renewal, start, token,
    token_from,
};

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
