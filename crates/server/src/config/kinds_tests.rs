//! What each type of setting accepts and refuses.

#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;

#[test]
fn a_port_alone_is_refused_with_both_ways_to_write_it() {
    let message = Listen::from_text(":5000").unwrap_err();
    assert!(
        message.contains("127.0.0.1:5000") && message.contains("0.0.0.0:5000"),
        "{message}"
    );
    assert_eq!(Listen::from_text("off").unwrap(), Listen::Off);
    assert!(Listen::from_text("localhost:5000").is_err());
}

#[test]
fn public_urls_are_origins() {
    for good in [
        "https://registry.example.com",
        "http://localhost:5000",
        "https://[::1]:5443",
        "https://192.0.2.1/",
        "https://[::1]",
    ] {
        assert!(PublicUrl::from_text(good).is_ok(), "{good}");
    }
    for bad in [
        "registry.example.com",
        "https://",
        "https://a/b",
        "ftp://a",
        "https://user@a",
    ] {
        assert!(PublicUrl::from_text(bad).is_err(), "{bad}");
    }
    assert_eq!(
        PublicUrl::from_text("https://[::1]:5443").unwrap().host(),
        "::1"
    );
    assert_eq!(
        PublicUrl::from_text("https://Reg.Example:1")
            .unwrap()
            .host(),
        "reg.example"
    );
}

#[test]
fn passwords_in_database_urls_are_never_printed() {
    for url in [
        "postgres://me:s3cret@db.example/lazuli",
        "postgresql://me:s3cr@t@db/lazuli",
        "postgres://db/lazuli?password=s3cret&sslmode=require",
    ] {
        let parsed = DatabaseUrl::from_text(url).unwrap();
        let shown = format!("{parsed:?} {}", parsed.to_toml().unwrap());
        assert!(!shown.contains("s3cr") && shown.contains("***"), "{shown}");
    }
    let message = DatabaseUrl::from_text("mysql://me:s3cret@db/x").unwrap_err();
    assert!(!message.contains("s3cret"));
}

#[test]
fn log_levels_may_differ_by_module() {
    for good in [
        "info",
        "WARN",
        "info,lazuli_api=debug",
        "lazuli_db=trace, warn",
    ] {
        assert!(LogLevel::from_text(good).is_ok(), "{good}");
    }
    for bad in ["", "loud", "lazuli_api=loud", "=debug", "info,,"] {
        assert!(LogLevel::from_text(bad).is_err(), "{bad}");
    }
}

#[test]
fn registry_names_are_letters_and_digits() {
    assert_eq!(
        RegistryName::from_text("MyRegistry1").unwrap().0,
        "myregistry1"
    );
    for bad in ["four", "with-hyphen", "ünicode", &"a".repeat(51)] {
        assert!(RegistryName::from_text(bad).is_err(), "{bad}");
    }
}
