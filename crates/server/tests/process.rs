//! The binary as its users meet it: first and second start, commands beside a server, signals, exit codes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(
    clippy::disallowed_methods,
    reason = "a test waits in real time for a real process"
)]

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use lazuli_db::{Db, SqliteOptions, params};
use lazuli_testkit::http::Client;
use lazuli_testkit::postgres::Database;
use lazuli_testkit::server::basic;

/// The program without any setting of the surrounding environment.
fn lazuli(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lazuli"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("LAZULI_") {
            command.env_remove(name);
        }
    }
    command
        .current_dir(data.parent().unwrap())
        .stdin(Stdio::null())
        .env("LAZULI_DATA_DIR", data);
    command
}

fn run(data: &Path, arguments: &[&str]) -> Output {
    lazuli(data).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A folder that does not exist yet, in one that is removed at the end.
fn fresh() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    (parent, data)
}

/// A server on ports of the system's choice; killed when dropped.
struct Server {
    child: Child,
    banner: String,
    errors: PathBuf,
}

impl Server {
    fn start(data: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Server {
        let errors = data.parent().unwrap().join("stderr");
        let mut child = lazuli(data)
            .args(["--http", "127.0.0.1:0", "--https", "127.0.0.1:0"])
            .args(arguments)
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&errors).unwrap())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut banner = String::new();
        while !banner.contains("docker push") {
            if lines.read_line(&mut banner).unwrap() == 0 {
                let _ = child.wait();
                panic!(
                    "it ended: {banner}{}",
                    std::fs::read_to_string(&errors).unwrap()
                );
            }
        }
        Server {
            child,
            banner,
            errors,
        }
    }

    /// The word after a label of the banner.
    fn told(&self, label: &str) -> &str {
        let line = self
            .banner
            .lines()
            .find(|line| line.trim_start().starts_with(label))
            .unwrap();
        line.split_whitespace().nth(1).unwrap()
    }

    fn client(&self) -> Client {
        Client::new(
            self.told("HTTP ")
                .strip_prefix("http://")
                .unwrap()
                .parse()
                .unwrap(),
        )
    }

    /// The status of `GET /v2/` with the admin's password.
    fn sign_in(&self, password: &str) -> u16 {
        self.client()
            .with_authorization(basic("lazuli", password))
            .get("/v2/")
            .status
    }

    fn signal(&self, name: &str) {
        assert!(
            Command::new("kill")
                .arg(name)
                .arg(self.child.id().to_string())
                .status()
                .unwrap()
                .success()
        );
    }

    fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.errors).unwrap()
    }

    fn wait_for_log(&self, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !self.log().contains(text) {
            assert!(Instant::now() < deadline, "no {text:?} in\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn password(data: &Path) -> String {
    std::fs::read_to_string(data.join("admin-password"))
        .unwrap()
        .trim_end()
        .to_owned()
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn the_first_start_makes_everything_and_says_how_to_begin() {
    let (_parent, data) = fresh();
    let mut server = Server::start(&data, &[], &[]);
    assert_eq!(mode(&data), 0o700);
    for secret in [
        "master.key",
        "admin-password",
        "lazuli.db",
        "tls/ca.key",
        "tls/server.key",
    ] {
        assert_eq!(mode(&data.join(secret)), 0o600, "{secret}");
    }
    let secret = password(&data);
    assert_eq!(server.sign_in(&secret), 200);
    assert_eq!(server.sign_in("something else"), 401);
    assert!(!server.banner.contains(&secret) && !server.log().contains(&secret));
    let login = format!(
        "--password-stdin < {}",
        data.join("admin-password").display()
    );
    assert!(server.banner.contains(&login), "{}", server.banner);
    assert_eq!(server.client().get("/readyz").status, 200);
    server.signal("-TERM");
    assert!(server.wait().success(), "{}", server.log());
}

#[test]
fn the_second_start_keeps_everything() {
    let (_parent, data) = fresh();
    let files = [
        "master.key",
        "admin-password",
        "tls/ca.crt",
        "tls/server.crt",
        "tls/server.key",
    ];
    let read = || files.map(|file| std::fs::read(data.join(file)).unwrap());
    let mut first = Server::start(&data, &[], &[]);
    let made = read();
    first.signal("-INT");
    assert!(first.wait().success());
    let second = Server::start(&data, &[], &[]);
    assert_eq!(read(), made);
    assert_eq!(second.sign_in(&password(&data)), 200);
}

#[test]
fn a_given_password_is_written_nowhere() {
    let (_parent, data) = fresh();
    let server = Server::start(
        &data,
        &[],
        &[("LAZULI_ADMIN_PASSWORD", "correct horse battery")],
    );
    assert!(!data.join("admin-password").try_exists().unwrap());
    assert_eq!(server.sign_in("correct horse battery"), 200);
    assert!(!server.banner.contains("correct horse") && !server.log().contains("correct horse"));
}

#[test]
fn two_servers_on_one_folder_are_refused() {
    let (_parent, data) = fresh();
    let server = Server::start(&data, &[], &[]);
    let second = run(&data, &["--http", "127.0.0.1:0", "--https", "off"]);
    assert_eq!(second.status.code(), Some(3), "{}", stderr(&second));
    let message = stderr(&second);
    assert!(
        message.contains(&format!("(process {})", server.child.id())),
        "{message}"
    );
    let repair = run(&data, &["fsck", "--repair"]);
    assert_eq!(repair.status.code(), Some(3), "{}", stderr(&repair));
    let collect = run(&data, &["gc", "run"]);
    assert!(collect.status.success(), "{}", stderr(&collect));
    assert!(stdout(&collect).contains("running server begins within seconds"));
}

#[test]
fn a_port_in_use_is_said_and_changes_nothing() {
    let (_parent, data) = fresh();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&data, &["--http", &address]);
    assert_eq!(output.status.code(), Some(1));
    let message = stderr(&output);
    assert!(
        message.contains(&address) && message.contains("--http"),
        "{message}"
    );
    assert!(!data.join("lazuli.db").try_exists().unwrap());
}

#[test]
fn a_reset_password_counts_beside_a_running_server() {
    let (_parent, data) = fresh();
    let server = Server::start(&data, &[], &[]);
    let old = password(&data);
    let output = run(&data, &["admin", "reset-password"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let new = password(&data);
    assert_ne!(old, new);
    assert!(
        !stdout(&output).contains(&new) && stdout(&output).contains("admin-password"),
        "{}",
        stdout(&output)
    );
    let deadline = Instant::now() + Duration::from_secs(20);
    while server.sign_in(&new) != 200 || server.sign_in(&old) != 401 {
        assert!(
            Instant::now() < deadline,
            "the server does not take the new password over"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    // The second password is another one; the first stays.
    let second = run(&data, &["admin", "reset-password", "--name", "password2"]);
    assert!(second.status.success(), "{}", stderr(&second));
    let second = std::fs::read_to_string(data.join("admin-password2")).unwrap();
    assert_ne!(second.trim_end(), new);
    assert_eq!(mode(&data.join("admin-password2")), 0o600);
    assert_eq!(password(&data), new);
}

#[test]
fn a_command_beside_a_server_changes_none_of_its_settings() {
    let (_parent, data) = fresh();
    let server = Server::start(
        &data,
        &["--anonymous-pull", "--registry-name", "another"],
        &[],
    );
    let output = run(&data, &["admin", "reset-password"]);
    assert!(
        stdout(&output).contains("The admin user another "),
        "{}{}",
        stdout(&output),
        stderr(&output)
    );
    drop(server);
    let db = Db::open_sqlite(SqliteOptions::new(data.join("lazuli.db"))).unwrap();
    let row = db.read_blocking(|tx| {
        tx.query_one(
            "SELECT name, anonymous_pull FROM registries",
            params![],
            |row| Ok((row.get_string(0)?, row.get_bool(1)?)),
        )
    });
    assert_eq!(row.unwrap(), Some(("another".to_owned(), true)));
}

#[test]
fn it_serves_from_postgresql() {
    let Some(database) = Database::create() else {
        return;
    };
    // `host=/folder user=postgres dbname=test_0` as a URL.
    let parts = database.url();
    let part = |name: &str| {
        parts
            .split(' ')
            .find_map(|part| part.strip_prefix(name))
            .unwrap()
    };
    let folder = part("host=").replace('/', "%2F");
    let url = format!("postgres://postgres:secret@{folder}/{}", part("dbname="));
    let (_parent, data) = fresh();
    let variables = [("LAZULI_DATABASE_URL", url.as_str())];
    let mut server = Server::start(&data, &[], &variables);
    assert_eq!(server.sign_in(&password(&data)), 200);
    assert_eq!(server.client().get("/readyz").status, 200);
    assert!(!data.join("lazuli.db").try_exists().unwrap());
    assert!(!server.log().contains("secret"));
    server.signal("-TERM");
    assert!(server.wait().success(), "{}", server.log());
    let again = Server::start(&data, &[], &variables);
    assert_eq!(again.sign_in(&password(&data)), 200);
}

#[test]
fn the_state_of_collection_and_storage_is_shown_beside_a_server_and_without() {
    let (_parent, data) = fresh();
    let missing = run(&data, &["gc", "status"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(
        stderr(&missing).contains("there is no data folder"),
        "{}",
        stderr(&missing)
    );

    let mut server = Server::start(&data, &[], &[]);
    for arguments in [&["gc", "status"][..], &["fsck"], &["fsck", "--verify"]] {
        let output = run(&data, arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            stderr(&output)
        );
    }
    assert!(stdout(&run(&data, &["gc", "status"])).contains("to be checked  0 blobs"));
    server.signal("-TERM");
    assert!(server.wait().success());
    let collected = run(&data, &["gc", "run"]);
    assert!(collected.status.success(), "{}", stderr(&collected));
    assert!(
        stdout(&collected).contains("last run       20"),
        "{}",
        stdout(&collected)
    );
    let repaired = run(&data, &["fsck", "--verify", "--repair"]);
    assert!(repaired.status.success(), "{}", stderr(&repaired));
    assert!(
        stdout(&repaired).contains("0 errors, 0 warnings"),
        "{}",
        stdout(&repaired)
    );
}

#[test]
fn sighup_applies_what_can_be_applied_and_names_what_waits() {
    let (parent, data) = fresh();
    let file = parent.path().join("lazuli.toml");
    std::fs::write(&file, "log.level = \"info\"\n").unwrap();
    let server = Server::start(&data, &[], &[]);
    let before = std::fs::read(data.join("tls/server.crt")).unwrap();
    std::fs::write(
        &file,
        "log.level = \"info,lazuli=debug\"\ntls.names = [\"more.example\"]\ngc.interval = \"5m\"\n",
    )
    .unwrap();
    server.signal("-HUP");
    server.wait_for_log("these changes wait for a restart keys=\"gc.interval\"");
    assert!(
        server
            .log()
            .contains("reloaded changed=\"tls.names log.level\""),
        "{}",
        server.log()
    );
    assert_ne!(std::fs::read(data.join("tls/server.crt")).unwrap(), before);

    std::fs::write(&file, "log.levle = \"debug\"\n").unwrap();
    server.signal("-HUP");
    server.wait_for_log("did you mean log.level?");
    assert_eq!(server.client().get("/healthz").status, 200);
}

#[test]
fn a_second_signal_does_not_wait_for_a_transfer() {
    let (_parent, data) = fresh();
    let mut server = Server::start(&data, &[], &[]);
    // A request whose body never comes.
    let mut connection = lazuli_testkit::http::Connection::open(server.client().address()).unwrap();
    let authorization = basic("lazuli", &password(&data));
    let head = format!(
        "POST /v2/a/blobs/uploads/?digest=sha256:{:064} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {authorization}\r\n\
         Content-Length: 1000000\r\n\r\nbegin",
        0
    );
    connection.write(head.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    server.signal("-TERM");
    server.wait_for_log("stopping");
    std::thread::sleep(Duration::from_millis(300));
    assert!(
        server.child.try_wait().unwrap().is_none(),
        "it waits for the transfer\n{}",
        server.log()
    );
    server.signal("-TERM");
    assert_eq!(server.wait().code(), Some(1));
}

#[test]
fn wrong_configuration_ends_with_2_and_says_where() {
    let (parent, data) = fresh();
    let file = parent.path().join("wrong.toml");
    std::fs::write(&file, "\nhtpp = \"off\"\n").unwrap();
    let output = run(
        &data,
        &["config", "--check", "--config", file.to_str().unwrap()],
    );
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("wrong.toml:2: unknown key htpp; did you mean http?"),
        "{}",
        stderr(&output)
    );
    let output = lazuli(&data).env("LAZULI_HTPP", "off").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("did you mean LAZULI_HTTP?"),
        "{}",
        stderr(&output)
    );
    assert_eq!(run(&data, &["--htpp", "off"]).status.code(), Some(2));
    assert!(!data.try_exists().unwrap());
    assert!(run(&data, &["config", "--check"]).status.success());
}

#[test]
fn the_reference_pages_are_those_of_this_program() {
    let (_parent, data) = fresh();
    for page in ["configuration", "cli"] {
        let file =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../docs/reference/{page}.md"));
        let written = std::fs::read_to_string(&file).unwrap();
        let made = stdout(&run(&data, &["config", "--reference", page]));
        assert!(
            written == made,
            "docs/reference/{page}.md is out of date: cargo run -- config --reference {page} > docs/reference/{page}.md"
        );
    }
}

#[test]
fn output_into_a_closed_pipe_is_no_crash() {
    let (_parent, data) = fresh();
    let mut child = lazuli(&data)
        .arg("config")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let status = child.wait().unwrap();
    let mut message = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut message)
        .unwrap();
    assert!(
        status.code().is_some() && !message.contains("panicked"),
        "{message}"
    );
}
