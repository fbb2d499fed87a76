//! First start, restart, and what lies in the database.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{
    MASTER, Place, Process, REGISTRY, basic, bearer, decode, on_both_engines, options,
    options_with_password,
};
use lazuli_db::params;
use lazuli_identity::{AdminPassword, AuthError, Error, GENERATED_LENGTH, KeyError, PasswordError};
use lazuli_wire::token::Secret;

#[test]
fn the_first_start_makes_an_admin_with_a_generated_password_and_tells_it_once() {
    on_both_engines(async |place| {
        let first = Process::start(&place).await;
        let password = first.generated_password();
        assert_eq!(first.first_start.as_ref().unwrap().admin_name, "lazuli");
        assert_eq!(password.len(), GENERATED_LENGTH);
        assert!(password.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert!(
            first
                .authenticate(&basic("lazuli", &password))
                .await
                .is_ok()
        );
        let again = Process::start(&place).await;
        assert!(again.first_start.is_none());
        assert!(
            again
                .authenticate(&basic("lazuli", &password))
                .await
                .is_ok()
        );
    });
}

#[test]
fn a_given_first_password_counts_at_the_first_start_only() {
    on_both_engines(async |place| {
        let first = Process::start_with(&place, options_with_password("correct horse")).await;
        assert!(
            first
                .first_start
                .as_ref()
                .unwrap()
                .generated_password
                .is_none()
        );
        assert!(
            first
                .authenticate(&basic("lazuli", "correct horse"))
                .await
                .is_ok()
        );
        let again = Process::start_with(&place, options_with_password("battery staple")).await;
        assert!(
            again
                .authenticate(&basic("lazuli", "correct horse"))
                .await
                .is_ok()
        );
        assert!(
            again
                .authenticate(&basic("lazuli", "battery staple"))
                .await
                .is_err()
        );
    });
}

#[test]
fn an_unusable_first_password_stops_the_first_start_and_leaves_nothing() {
    on_both_engines(async |place| {
        let refused = Process::try_start(&place, &MASTER, options_with_password("short")).await;
        assert!(matches!(
            refused.err(),
            Some(Error::Password(PasswordError::TooShort))
        ));
        let first = Process::start_with(&place, options_with_password("long enough")).await;
        assert!(first.first_start.is_some());
    });
}

#[test]
fn processes_that_start_together_agree_on_one_admin() {
    on_both_engines(async |place| {
        let (one, two) = tokio::join!(Process::start(&place), Process::start(&place));
        let told: Vec<_> = [&one, &two]
            .into_iter()
            .filter(|process| process.first_start.is_some())
            .collect();
        assert_eq!(told.len(), 1);
        let header = basic("lazuli", &told[0].generated_password());
        let token = one.token(&header, "repository:a:pull").await;
        assert!(two.authenticate(&bearer(&token)).await.is_ok());
    });
}

#[test]
fn two_fresh_installations_share_no_key_and_no_password() {
    on_both_engines(async |place| {
        let other_place = Place::Sqlite(tempfile::tempdir().unwrap());
        let (one, two) = (
            Process::start(&place).await,
            Process::start(&other_place).await,
        );
        assert_ne!(one.generated_password(), two.generated_password());
        let token = one
            .token(
                &basic("lazuli", &one.generated_password()),
                "repository:a:pull",
            )
            .await;
        let other = two
            .token(
                &basic("lazuli", &two.generated_password()),
                "repository:a:pull",
            )
            .await;
        assert_ne!(decode(&token).0["kid"], decode(&other).0["kid"]);
        assert!(matches!(
            two.authenticate(&bearer(&token)).await,
            Err(AuthError::InvalidToken)
        ));
    });
}

#[test]
fn tokens_outlive_a_restart() {
    on_both_engines(async |place| {
        let first = Process::start(&place).await;
        let token = first
            .token(
                &basic("lazuli", &first.generated_password()),
                "repository:a:pull",
            )
            .await;
        drop(first);
        assert!(
            Process::start(&place)
                .await
                .authenticate(&bearer(&token))
                .await
                .is_ok()
        );
    });
}

#[test]
fn another_master_key_opens_nothing() {
    on_both_engines(async |place| {
        drop(Process::start(&place).await);
        let refused = Process::try_start(&place, &[8; 32], options()).await;
        assert!(matches!(
            refused.err(),
            Some(Error::Key(KeyError::WrongMasterKey))
        ));
    });
}

#[test]
fn the_configured_name_and_flag_take_effect_at_every_start() {
    on_both_engines(async |place| {
        let password = Process::start(&place).await.generated_password();
        let mut changed = options();
        changed.registry_name = "contoso".into();
        changed.anonymous_pull = Some(true);
        let again = Process::start_with(&place, changed).await;
        assert_eq!(
            again.identity.registry_name(REGISTRY).await.unwrap(),
            "contoso"
        );
        assert!(
            again
                .authenticate(&basic("contoso", &password))
                .await
                .is_ok()
        );
        assert!(
            again
                .authenticate(&basic("lazuli", &password))
                .await
                .is_err()
        );
        let anonymous = again
            .identity
            .authenticate(
                REGISTRY,
                common::SERVICE,
                lazuli_identity::Origin::LOCAL,
                None,
            )
            .await
            .unwrap();
        assert!(
            again
                .identity
                .authorize_catalog(&anonymous, REGISTRY)
                .is_ok()
        );
        // A flag the configuration does not mention stays.
        let mut unsaid = options();
        unsaid.registry_name = "contoso".into();
        let third = Process::start_with(&place, unsaid).await;
        assert!(
            third
                .identity
                .authorize_catalog(&anonymous, REGISTRY)
                .is_ok()
        );
    });
}

/// Every value of the tables that belong to this crate.
async fn dump(process: &Process) -> Vec<u8> {
    let read = |tx: &mut lazuli_db::Tx<'_>| {
        let mut bytes = Vec::new();
        tx.query("SELECT name, value FROM settings", params![], |row| {
            bytes.extend_from_slice(row.get_text(0)?.as_bytes());
            bytes.extend_from_slice(row.get_text(1)?.as_bytes());
            Ok(())
        })?;
        tx.query(
            "SELECT kid, purpose, sealed FROM signing_keys",
            params![],
            |row| {
                bytes.extend_from_slice(row.get_text(0)?.as_bytes());
                bytes.extend_from_slice(row.get_bytes_ref(2)?);
                Ok(())
            },
        )?;
        tx.query(
            "SELECT name, salt, hash FROM credentials",
            params![],
            |row| {
                bytes.extend_from_slice(row.get_bytes_ref(1)?);
                bytes.extend_from_slice(row.get_bytes_ref(2)?);
                Ok(())
            },
        )?;
        Ok::<_, lazuli_db::Error>(bytes)
    };
    process.db.read(read).await.unwrap()
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn a_database_dump_holds_no_usable_secret() {
    on_both_engines(async |place| {
        let process = Process::start(&place).await;
        let first = process.generated_password();
        let chosen = "a password that somebody chose";
        process
            .identity
            .set_password(REGISTRY, AdminPassword::Second, Secret::new(chosen))
            .await
            .unwrap();
        process
            .token(&basic("lazuli", &first), "repository:a:pull")
            .await;
        let mut bytes = dump(&process).await;
        // Not only the rows: the files, with what an update leaves behind.
        if let Place::Sqlite(folder) = &place {
            for file in std::fs::read_dir(folder.path()).unwrap() {
                bytes.extend(std::fs::read(file.unwrap().path()).unwrap());
            }
        }
        assert!(bytes.len() > 400, "the dump has the keys");
        assert!(!holds(&bytes, first.as_bytes()));
        assert!(!holds(&bytes, chosen.as_bytes()));
        assert!(!holds(&bytes, &MASTER));
        // The object identifier of its kind, RSA or elliptic curves, is in every private key that is not encrypted.
        assert!(!holds(
            &bytes,
            &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01]
        ));
        assert!(!holds(&bytes, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01]));
        assert!(!holds(&bytes, b"PRIVATE KEY"));
    });
}

/// Nodes that are started together on an empty database: one makes the installation, all serve it.
#[test]
fn several_first_starts_at_once_make_one_installation() {
    on_both_engines(async |place| {
        let (a, b, c) = tokio::join!(
            Process::start(&place),
            Process::start(&place),
            Process::start(&place)
        );
        let processes = [a, b, c];
        let first: Vec<_> = processes
            .iter()
            .filter(|process| process.first_start.is_some())
            .collect();
        assert_eq!(first.len(), 1);
        let password = first[0].generated_password();
        for process in &processes {
            let signed_in = process.authenticate(&basic("lazuli", &password)).await;
            assert!(signed_in.is_ok(), "{signed_in:?}");
        }
    });
}
