//! What files and variables may say, and how mistakes are reported.

#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;

fn file_problems(text: &str) -> Vec<String> {
    let mut values = Values::default();
    values.read_file(Path::new("lazuli.toml"), text);
    values.problems.iter().map(ToString::to_string).collect()
}

fn variable_problems(name: &str, value: &str) -> Vec<String> {
    let mut values = Values::default();
    values.read_environment(&[(name.into(), value.into())]);
    values.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn unknown_keys_in_a_file_are_refused_with_line_and_hint() {
    let problems = file_problems(
        "http = \"off\"\n\n[limits]\nmax_conections = 5\n[logging]\nlevel = \"info\"\n",
    );
    assert_eq!(
        problems,
        [
            "lazuli.toml:4: unknown key limits.max_conections; did you mean limits.max_connections?",
            "lazuli.toml:6: unknown key logging.level; did you mean log.level?",
        ]
    );
    assert_eq!(
        file_problems("replicas = 3"),
        ["lazuli.toml:1: unknown key replicas; `lazuli config` shows every key"]
    );
}

#[test]
fn a_section_is_not_a_key_and_a_key_is_not_a_section() {
    assert_eq!(
        file_problems("gc = true"),
        ["lazuli.toml:1: gc is a section: write [gc] and its keys below"]
    );
    assert_eq!(
        file_problems("[http]\nport = 5000"),
        [
            "lazuli.toml:1: http: expected an address and port, such as 127.0.0.1:5000 or [::1]:5000, or \"off\""
        ]
    );
    assert_eq!(file_problems("[gc]\n[tls]\n"), Vec::<String>::new());
}

#[test]
fn a_password_in_a_file_is_refused() {
    let problems = file_problems("[admin]\npassword = \"hunter22\"");
    assert_eq!(problems.len(), 1);
    assert!(
        problems[0].starts_with("lazuli.toml:2: ") && problems[0].contains("LAZULI_ADMIN_PASSWORD")
    );
    assert!(!problems[0].contains("hunter22"));
}

#[test]
fn a_broken_file_is_reported_with_its_line() {
    let problems = file_problems("http = \"off\"\nhttps = \n");
    assert_eq!(problems.len(), 1);
    assert!(
        problems[0].starts_with("lazuli.toml:2: not TOML: "),
        "{}",
        problems[0]
    );
}

#[test]
fn unknown_variables_are_refused_with_a_hint() {
    assert_eq!(
        variable_problems("LAZULI_DATADIR", "/x"),
        ["environment LAZULI_DATADIR: unknown variable; did you mean LAZULI_DATA_DIR?"]
    );
    assert_eq!(variable_problems("LAZULI_UNHEARD_OF_THING", "1").len(), 1);
    assert!(variable_problems("PATH", "/bin").is_empty());
    assert!(
        variable_problems("LAZULI_UNHEARD_OF_THING", "").is_empty(),
        "empty counts as not set"
    );
}

#[test]
fn the_variables_kubernetes_makes_for_a_service_are_not_mistakes() {
    for name in [
        "LAZULI_SERVICE_HOST",
        "LAZULI_SERVICE_PORT",
        "LAZULI_SERVICE_PORT_HTTPS",
        "LAZULI_PORT",
        "LAZULI_PORT_5000_TCP",
        "LAZULI_PORT_5000_TCP_PROTO",
        "LAZULI_PORT_5000_TCP_PORT",
        "LAZULI_PORT_5000_TCP_ADDR",
        "LAZULI_METRICS_SERVICE_HOST",
    ] {
        assert!(
            variable_problems(name, "tcp://10.0.0.1:5000").is_empty(),
            "{name}"
        );
    }
    for key in KEYS {
        assert!(
            !is_service_link(&key.variable()),
            "{} would be ignored",
            key.variable()
        );
    }
}

#[test]
fn relative_paths_in_a_file_are_beside_the_file() {
    let mut values = Values::default();
    values.read_file(
        Path::new("/etc/lazuli/lazuli.toml"),
        "[tls]\ncertificate = \"own.pem\"\nkey = \"/k.pem\"",
    );
    assert_eq!(
        values.typed::<Option<PathBuf>>("tls.certificate"),
        Some(Some("/etc/lazuli/own.pem".into()))
    );
    assert_eq!(
        values.typed::<Option<PathBuf>>("tls.key"),
        Some(Some("/k.pem".into()))
    );
}

#[test]
fn a_value_out_of_its_range_is_refused_where_it_was_set() {
    let mut values = Values::default();
    values.read_file(
        Path::new("l.toml"),
        "[limits]\nmax_connections = 0\nmanifest_bytes = \"1KiB\"",
    );
    assert_eq!(
        values.typed_within::<u32>("limits.max_connections", "1", "10000"),
        None
    );
    assert_eq!(
        values.problems[0].to_string(),
        "l.toml:2: limits.max_connections: 0 is outside of 1 to 10000"
    );
}
