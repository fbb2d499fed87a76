//! The made certificates, judged by the verifier that TLS clients use.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::{ServerName, UnixTime};

use super::*;

/// 2026-11-23
const NOW: u64 = 1_795_392_000;

fn made() -> (tempfile::TempDir, MadeCertificates) {
    let folder = tempfile::tempdir().unwrap();
    let made = MadeCertificates::new(folder.path().join("tls"));
    (folder, made)
}

fn some_names(more: &[&str]) -> BTreeSet<CertificateName> {
    names(more.iter().map(|name| CertificateName((*name).to_owned())))
}

/// Whether a client that trusts only the authority accepts the server under this name at this time.
fn accepted(made: &MadeCertificates, name: &str, at: u64) -> bool {
    let mut roots = RootCertStore::empty();
    roots
        .add(read_certificate(&made.authority()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .unwrap();
    Pem::read(&made.chain(), &made.key())
        .unwrap()
        .to_tls()
        .unwrap();
    let server = read_certificate(&made.chain()).unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let at = UnixTime::since_unix_epoch(Duration::from_secs(at));
    verifier
        .verify_server_cert(&server, &[], &name, &[], at)
        .is_ok()
}

#[test]
fn the_certificate_is_valid_for_this_computer_and_the_configured_names() {
    let (_folder, made) = made();
    let names = some_names(&[
        "registry.example.com",
        "*.registry.example.com",
        "192.0.2.7",
        "2001:db8::7",
    ]);
    assert_eq!(made.ensure(&names, NOW).unwrap(), Ensured::AuthorityMade);
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .to_ascii_lowercase();
    for name in [
        "localhost",
        "127.0.0.1",
        "::1",
        "registry.example.com",
        "a.registry.example.com",
        "192.0.2.7",
        "2001:db8::7",
    ] {
        assert!(accepted(&made, name, NOW), "{name}");
    }
    assert!(!is_host_name(&host) || accepted(&made, &host, NOW));
    for name in ["example.com", "a.b.registry.example.com", "192.0.2.8"] {
        assert!(!accepted(&made, name, NOW), "{name}");
    }
}

#[test]
fn the_server_certificate_lasts_397_days_and_the_authority_ten_years() {
    let (_folder, made) = made();
    made.ensure(&some_names(&[]), NOW).unwrap();
    assert!(accepted(&made, "localhost", NOW + 395 * DAY));
    assert!(!accepted(&made, "localhost", NOW + 397 * DAY));
    assert!(!accepted(&made, "localhost", NOW - 2 * DAY));
    let authority = read_certificate(&made.authority()).unwrap();
    let validity = parse(&authority).unwrap().validity().clone();
    let days = (validity.not_after.timestamp() - validity.not_before.timestamp()) / to_i64(DAY);
    assert_eq!(days, 3653);
    assert!(parse(&authority).unwrap().is_ca());
}

#[test]
fn private_keys_are_for_the_owner_only() {
    let (_folder, made) = made();
    made.ensure(&some_names(&[]), NOW).unwrap();
    let mode = |path: PathBuf| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (
            mode(made.folder.clone()),
            mode(made.key()),
            mode(made.authority_key())
        ),
        (0o700, 0o600, 0o600)
    );
}

#[test]
fn a_second_start_keeps_everything() {
    let (_folder, made) = made();
    let read = || {
        let files = [
            made.authority(),
            made.authority_key(),
            made.chain(),
            made.key(),
        ];
        files.map(|file| std::fs::read(file).unwrap())
    };
    made.ensure(&some_names(&["a.example"]), NOW).unwrap();
    let before = read();
    assert_eq!(
        made.ensure(&some_names(&["a.example"]), NOW + 300 * DAY)
            .unwrap(),
        Ensured::Kept
    );
    assert_eq!(read(), before);
}

#[test]
fn a_certificate_near_its_end_or_for_other_names_is_renewed_by_the_same_authority() {
    let (_folder, made) = made();
    made.ensure(&some_names(&["a.example"]), NOW).unwrap();
    let authority = std::fs::read(made.authority()).unwrap();
    let later = NOW + (SERVER_DAYS - RENEW_DAYS) * DAY;
    assert_eq!(
        made.ensure(&some_names(&["a.example"]), later).unwrap(),
        Ensured::ServerMade
    );
    assert!(accepted(&made, "a.example", later + 300 * DAY));
    assert_eq!(
        made.ensure(&some_names(&["b.example"]), later).unwrap(),
        Ensured::ServerMade
    );
    assert!(accepted(&made, "b.example", later) && !accepted(&made, "a.example", later));
    assert_eq!(std::fs::read(made.authority()).unwrap(), authority);
}

#[test]
fn an_authority_near_its_end_is_replaced() {
    let (_folder, made) = made();
    made.ensure(&some_names(&[]), NOW).unwrap();
    let later = NOW + (AUTHORITY_DAYS - RENEW_DAYS) * DAY;
    assert_eq!(
        made.ensure(&some_names(&[]), later).unwrap(),
        Ensured::AuthorityMade
    );
    assert!(accepted(&made, "localhost", later));
}

#[test]
fn a_pair_torn_by_a_crash_is_replaced() {
    let (_folder, made) = made();
    made.ensure(&some_names(&[]), NOW).unwrap();
    let other = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    std::fs::write(made.key(), other.serialize_pem()).unwrap();
    assert!(
        Pem::read(&made.chain(), &made.key())
            .unwrap()
            .to_tls()
            .is_err()
    );
    assert_eq!(
        made.ensure(&some_names(&[]), NOW).unwrap(),
        Ensured::ServerMade
    );
    assert!(accepted(&made, "localhost", NOW));
}

#[test]
fn an_authority_without_its_key_is_not_replaced_silently() {
    let (_folder, made) = made();
    made.ensure(&some_names(&[]), NOW).unwrap();
    std::fs::remove_file(made.authority_key()).unwrap();
    let message = made.ensure(&some_names(&[]), NOW).unwrap_err().to_string();
    assert!(message.contains("ca.key is missing"), "{message}");
}
