//! Commands beside a running server, and after it.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use lazuli_testkit::server::{PASSWORD, Server, basic};

use crate::support::{push, start, text};

pub(crate) fn run(server: &Server, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lazuli"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("LAZULI_") {
            command.env_remove(name);
        }
    }
    command
        .current_dir(server.data().parent().unwrap())
        .args(arguments)
        .arg("--data-dir")
        .arg(server.data())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn a_password_that_is_reset_stops_working_within_ten_seconds() {
    let server = start();
    let status = |password: &str| {
        server
            .anonymous()
            .with_authorization(basic("lazuli", password))
            .get("/v2/")
            .status
    };
    assert_eq!(status(PASSWORD), 200);
    let output = run(&server, &["admin", "reset-password"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let reset = Instant::now();
    while status(PASSWORD) == 200 {
        assert!(
            reset.elapsed() < Duration::from_secs(10),
            "the old password still works"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    let new = std::fs::read_to_string(server.data().join("admin-password")).unwrap();
    assert_eq!((status(new.trim_end()), status(PASSWORD)), (200, 401));
}

#[test]
fn the_commands_beside_a_running_server_tell_its_state() {
    let server = start();
    push(&server, "commands/app", &vec![9; 1 << 20]);
    for arguments in [&["gc", "status"][..], &["fsck"], &["config"], &["version"]] {
        let output = if arguments == ["version"] {
            Command::new(env!("CARGO_BIN_EXE_lazuli"))
                .arg("version")
                .output()
                .unwrap()
        } else {
            run(&server, arguments)
        };
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
        assert!(!output.stdout.is_empty(), "{arguments:?} says nothing");
        assert!(!text(&output.stdout).contains(PASSWORD));
    }
    let status = text(&run(&server, &["gc", "status"]).stdout);
    assert!(status.contains("blobs"), "{status}");
    // Of each value it says who set it.
    let config = text(&run(&server, &["config", "--gc-interval", "5m"]).stdout);
    let line = |key: &str| {
        config
            .lines()
            .find(|line| line.starts_with(key))
            .unwrap_or_else(|| panic!("{config}"))
    };
    assert!(
        line("interval").contains("5m") && line("interval").contains("flag"),
        "{config}"
    );
    assert!(
        line("data_dir").contains("flag") && line("registry_name").contains("default"),
        "{config}"
    );
    let second = run(
        &server,
        &["serve", "--http", "127.0.0.1:0", "--https", "off"],
    );
    assert_eq!(second.status.code(), Some(3), "{}", text(&second.stderr));
    assert_eq!(server.anonymous().get("/readyz").status, 200);
}

#[test]
fn damage_is_found_by_fsck_and_told_by_its_exit_code() {
    let mut server = start();
    let content = vec![3; 2 << 20];
    push(&server, "damage/app", &content);
    assert!(server.stop());
    assert!(run(&server, &["fsck", "--verify"]).status.success());
    let mut blobs = Vec::new();
    find_files(&server.data(), content.len() as u64, &mut blobs);
    assert_eq!(blobs.len(), 1, "{blobs:?}");
    let mut changed = content;
    changed[1 << 20] ^= 1;
    std::fs::write(&blobs[0], &changed).unwrap();
    let output = run(&server, &["fsck", "--verify"]);
    assert_eq!(
        output.status.code(),
        Some(4),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    std::fs::remove_file(&blobs[0]).unwrap();
    let output = run(&server, &["fsck"]);
    assert_eq!(
        output.status.code(),
        Some(4),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
}

pub(crate) fn find_files(folder: &std::path::Path, size: u64, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() {
            find_files(&entry.path(), size, found);
        } else if metadata.len() == size {
            found.push(entry.path());
        }
    }
}

#[test]
fn a_health_check_says_whether_the_server_can_serve() {
    let mut server = start();
    let address = server.http().to_string();
    let ask = |server: &Server| run(server, &["healthcheck", "--http", &address]);
    assert!(ask(&server).status.success());
    server.stop();
    let output = ask(&server);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("does not answer"),
        "{output:?}"
    );
    let off = run(&server, &["healthcheck", "--http", "off"]);
    assert!(text(&off.stderr).contains("nothing to ask"), "{off:?}");
}
