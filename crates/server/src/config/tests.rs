//! Precedence, refusals and the round trip of the whole configuration.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::*;

/// A valid value for each key that is not its default, and a second and third one.
fn samples(key: &Key) -> [&'static str; 3] {
    match key.name {
        "data_dir" => ["/a", "/b", "/c"],
        "http" | "https" => ["127.0.0.1:1001", "127.0.0.1:1002", "127.0.0.1:1003"],
        "public_url" => [
            "https://a.example",
            "https://b.example",
            "https://c.example",
        ],
        "trusted_proxies" | "storage.redirect_networks" => {
            ["10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/16"]
        }
        "cors_origins" => ["https://a.example", "*", "http://c.example:8080"],
        "registry_name" => ["alpha1", "bravo1", "charlie1"],
        "tls.certificate"
        | "tls.key"
        | "master_key_file"
        | "storage.authorities"
        | "scrub.peer_password_file"
        | "scrub.peer_authorities"
        | "storage.sas_token_file"
        | "storage.secret_key_file" => ["/a.pem", "/b.pem", "/c.pem"],
        "azure.proxy" => ["127.0.0.1:7001", "127.0.0.1:7002", "off"],
        "domain_suffix" | "azure.domain" | "tls.names" => ["a.example", "b.example", "c.example"],
        "storage.url" => ["s3://a", "az://b/c", "gs://d"],
        "scrub.peer" | "storage.endpoint" => ["http://a", "https://b:1", "http://c/d"],
        "storage.region" => ["eu-a", "eu-b", "eu-c"],
        "scrub.peer_user" | "storage.access_key" => ["one", "two", "three"],
        "storage.part_size" => ["6MiB", "7MiB", "9MiB"],
        "storage.upload_memory" => ["129MiB", "130MiB", "131MiB"],
        "storage.signed_url_lifetime" => ["2m", "3m", "4m"],
        "database.url" => ["postgres://a/x", "postgres://b/x", "postgres://c/x"],
        "tokens.key_lifetime"
        | "retention.operations"
        | "retention.usage_hours"
        | "retention.usage_days" => ["2d", "3d", "4d"],
        "scrub.period" => ["2h", "3h", "4h"],
        "scrub.rate" => ["1MiB", "2MiB", "3MiB"],
        "log.level" => ["warn", "debug", "trace"],
        "metrics.access" => ["everyone", "off", "everyone"],
        "storage.redirect_for" => ["anonymous", "signed-in", "anonymous"],
        "quotas.tier" => ["standard", "premium", "standard"],
        "log.format" => ["json", "text", "json"],
        _ if key.kind.switch => ["true", "false", "true"],
        _ => match key.kind.word {
            "NUMBER" => ["11", "12", "13"],
            "SIZE"
                if key.name.starts_with("limits.") && key.name != "limits.request_header_bytes" =>
            {
                ["1MiB", "2MiB", "3MiB"]
            }
            "SIZE" if key.section() == "memory" => ["1MiB", "2MiB", "3MiB"],
            "SIZE" => ["11KiB", "12KiB", "13KiB"],
            "DURATION" => ["11s", "12s", "13s"],
            other => panic!("{} has no samples ({other})", key.name),
        },
    }
}

/// What `lazuli config` prints for the key, and from where.
fn effective(given: &Given, name: &str) -> (String, Origin) {
    let configuration = Configuration::load(given).unwrap();
    let printed = configuration
        .settings
        .as_toml()
        .into_iter()
        .find(|(key, _)| key.name == name)
        .unwrap();
    (
        printed.1.unwrap_or_default().replace(['"', '[', ']'], ""),
        configuration.origin(name),
    )
}

/// What else has to be set so that the key may be.
fn companion(name: &str) -> Option<&'static str> {
    match name {
        "tls.certificate" => Some("tls.key"),
        "tls.key" => Some("tls.certificate"),
        _ => None,
    }
}

/// Every key, in each of the eight ways in which the three sources may or may not name it.
#[test]
fn a_flag_beats_the_environment_beats_the_file_beats_the_default() {
    let folder = tempfile::tempdir().unwrap();
    for key in KEYS.iter().filter(|key| !key.is(Mark::EnvOnly)) {
        let [in_file, in_variable, in_flag] = samples(key);
        for sources in 0..8 {
            let (by_file, by_variable, by_flag) =
                (sources & 1 != 0, sources & 2 != 0, sources & 4 != 0);
            let path = folder.path().join("precedence.toml");
            let mut lines = if by_file {
                format!("{} = \"{in_file}\"\n", key.name)
            } else {
                "\n".to_owned()
            };
            if let Some(other) = companion(key.name).filter(|_| sources != 0) {
                let _ = writeln!(lines, "{other} = \"/companion.pem\"");
            }
            std::fs::write(&path, lines).unwrap();
            let mut given = Given {
                file: Some(path.clone()),
                ..Given::default()
            };
            if by_variable {
                given
                    .variables
                    .push((key.variable().into(), in_variable.into()));
            }
            if by_flag {
                given.flags.push((key, in_flag.to_owned()));
            }
            let expected = match (by_flag, by_variable, by_file) {
                (true, ..) => (in_flag, Origin::Flag(key.flag())),
                (_, true, _) => (in_variable, Origin::Variable(key.variable())),
                (_, _, true) => (in_file, Origin::File { path, line: 1 }),
                _ => (key.default, Origin::Default),
            };
            let (value, origin) = effective(&given, key.name);
            assert_eq!(
                (value.as_str(), origin),
                expected,
                "{} by sources {sources:03b}",
                key.name
            );
        }
    }
}

fn empty_file(folder: &tempfile::TempDir) -> PathBuf {
    let path = folder.path().join("empty.toml");
    std::fs::write(&path, "").unwrap();
    path
}

#[test]
fn the_printed_configuration_reads_back_as_itself() {
    let folder = tempfile::tempdir().unwrap();
    let mut given = Given {
        file: Some(empty_file(&folder)),
        ..Given::default()
    };
    for key in KEYS.iter().filter(|key| !key.is(Mark::EnvOnly)) {
        given.flags.push((key, samples(key)[0].to_owned()));
    }
    given.flags.retain(|(key, _)| key.name != "https");
    let first = Configuration::load(&given).unwrap();
    let printed = first.to_toml();
    let path = folder.path().join("printed.toml");
    std::fs::write(&path, &printed).unwrap();
    let second = Configuration::load(&Given {
        file: Some(path),
        ..Given::default()
    })
    .unwrap();
    let values = |c: &Configuration| -> BTreeMap<&'static str, Option<String>> {
        c.settings
            .as_toml()
            .into_iter()
            .map(|(key, value)| (key.name, value))
            .collect()
    };
    assert_eq!(values(&first), values(&second), "{printed}");
    assert!(first.changed_keys(&second).is_empty());
    assert!(
        printed.contains("# flag --data-dir") && printed.contains("# default"),
        "{printed}"
    );
}

#[test]
fn secrets_are_masked() {
    let given = Given {
        variables: vec![
            ("LAZULI_ADMIN_PASSWORD".into(), "correct horse".into()),
            (
                "LAZULI_DATABASE_URL".into(),
                "postgres://lazuli:battery@db/lazuli".into(),
            ),
        ],
        file: Some("/dev/null".into()),
        ..Given::default()
    };
    let configuration = Configuration::load(&given).unwrap();
    let printed = configuration.to_toml();
    assert!(printed.contains("# password is set: \"***\""), "{printed}");
    for shown in [printed, format!("{configuration:?}")] {
        assert!(
            !shown.contains("battery") && !shown.contains("horse"),
            "{shown}"
        );
    }
}

#[test]
fn every_problem_is_reported_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.toml");
    std::fs::write(
        &path,
        "htpp = 1\n[limits]\nmax_connections = 0\nheader_timeout = \"soon\"\n",
    )
    .unwrap();
    let given = Given {
        file: Some(path),
        variables: vec![("LAZULI_GC_INTERVALL".into(), "1h".into())],
        ..Given::default()
    };
    let message = Configuration::load(&given).unwrap_err().to_string();
    for part in [
        "bad.toml:1: ",
        "did you mean http?",
        "bad.toml:3: ",
        "bad.toml:4: ",
        "LAZULI_GC_INTERVAL?",
    ] {
        assert!(message.contains(part), "{part} in {message}");
    }
}

#[test]
fn keys_that_contradict_each_other_are_refused() {
    for (pairs, part) in [
        (
            &[("http", "off"), ("https", "off")][..],
            "nothing would listen",
        ),
        (
            &[("http", "127.0.0.1:7"), ("https", "127.0.0.1:7")],
            "both listen",
        ),
        (&[("tls.certificate", "/c.pem")], "needs tls.key"),
        (&[("tls.key", "/k.pem")], "needs tls.certificate"),
    ] {
        let message = Configuration::load(&Given::of(pairs))
            .unwrap_err()
            .to_string();
        assert!(message.contains(part), "{message}");
    }
    assert!(
        Configuration::load(&Given::of(&[
            ("http", "127.0.0.1:0"),
            ("https", "127.0.0.1:0")
        ]))
        .is_ok()
    );
}

#[test]
fn the_file_in_the_data_folder_is_found_and_cannot_move_the_data_folder() {
    let folder = tempfile::tempdir().unwrap();
    let key = Key::find("data_dir").unwrap();
    let given = Given {
        flags: vec![(key, folder.path().to_str().unwrap().to_owned())],
        ..Given::default()
    };
    let path = folder.path().join("lazuli.toml");
    std::fs::write(&path, "registry_name = \"found1\"\n").unwrap();
    let configuration = Configuration::load(&given).unwrap();
    assert_eq!(configuration.settings.general.registry_name.0, "found1");
    assert_eq!(configuration.file, Some(path.clone()));
    std::fs::write(&path, "data_dir = \"/elsewhere\"\n").unwrap();
    assert!(
        Configuration::load(&given)
            .unwrap_err()
            .to_string()
            .contains("found in the data folder")
    );
}

#[test]
fn a_named_file_must_exist() {
    let given = Given {
        file: Some("/nonexistent/lazuli.toml".into()),
        ..Given::default()
    };
    assert!(
        Configuration::load(&given)
            .unwrap_err()
            .to_string()
            .contains("/nonexistent/lazuli.toml")
    );
    let given = Given {
        variables: vec![(
            "LAZULI_CONFIG".into(),
            "/nonexistent/by-variable.toml".into(),
        )],
        ..Given::default()
    };
    assert!(
        Configuration::load(&given)
            .unwrap_err()
            .to_string()
            .contains("by-variable.toml")
    );
}

#[test]
fn every_key_is_in_the_reference() {
    let page = markdown();
    for key in KEYS {
        assert!(
            page.contains(&format!("### `{}`", key.name)) && page.contains(&key.variable()),
            "{}",
            key.name
        );
        assert_eq!(
            page.contains(&format!("`--{}`", key.flag())),
            !key.is(Mark::EnvOnly),
            "{}",
            key.name
        );
    }
}
