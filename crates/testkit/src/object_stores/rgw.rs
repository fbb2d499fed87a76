//! A private Ceph object gateway: a real S3 engine on one in-memory disk.
//!
//! One monitor, one OSD that keeps its objects in memory, one `radosgw`. Killing the gateway loses nothing that it
//! acknowledged, because the OSD lives on; that is what makes it fit for fault tests.
//!
//! Version 16 (Debian 12) differs from Amazon's S3 in ways that tests meet: bucket names have at least three letters;
//! `If-None-Match: *` is honoured for PUT (one winner of many at once) but not for completing an upload, for copies, nor in buckets
//! with versions; `x-amz-checksum-*` is neither checked nor echoed, `Content-MD5` and `x-amz-content-sha256` are
//! checked; completing an upload again answers 200 while its object is there, and 500 after that was replaced or
//! deleted.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::sign::{self, Request};
use crate::engine::{self, Folder, Process};
use crate::http::Response;
use crate::server::free_port;

/// The region to sign for. The gateway takes any.
pub const REGION: &str = "us-east-1";

const ACCESS_KEY: &str = "lazuli-test";
const SECRET_KEY: &str = "a-secret-for-tests-on-loopback-only";
const PROGRAMS: [&str; 6] = [
    "ceph",
    "ceph-mon",
    "ceph-osd",
    "monmaptool",
    "radosgw",
    "radosgw-admin",
];
const LIMIT: Duration = Duration::from_mins(1);

/// A gateway with its cluster. Killed when dropped, and when the process that started it ends, however that ends.
#[derive(Debug)]
pub struct Rgw {
    // In the order in which they end.
    gateway: Option<Process>,
    osd: Option<Process>,
    monitor: Option<Process>,
    programs: Programs,
    address: SocketAddr,
}

impl Rgw {
    /// The gateway that the tests of this process share, each with buckets of its own. For tests that do not kill it.
    /// `None`: as [`start`](Self::start).
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Rgw>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    /// Starts a cluster of its own. `None`: this machine has no Ceph; a line that begins with `NOT RUN:` says so, and
    /// the test should return.
    ///
    /// # Panics
    /// When it does not start, and, under `CI=true`, when this machine has no Ceph.
    pub fn start() -> Option<Self> {
        let missing = PROGRAMS
            .iter()
            .find(|program| engine::which(program).is_none());
        if let Some(program) = missing {
            engine::not_run("Ceph RGW", &format!("no {program}"));
            return None;
        }
        let mut rgw = match Programs::new() {
            Ok(programs) => Self {
                gateway: None,
                osd: None,
                monitor: None,
                programs,
                address: free_port(),
            },
            Err(error) => panic!("no folder for a Ceph cluster: {error:#}"),
        };
        if let Err(error) = rgw.launch_cluster() {
            panic!("the private Ceph RGW does not start: {error:#}");
        }
        Some(rgw)
    }

    fn launch_cluster(&mut self) -> anyhow::Result<()> {
        let programs = &self.programs;
        let monitor = free_port();
        programs.configure(monitor, self.address)?;
        let map = programs.path("monmap");
        programs.run("monmaptool", |command| {
            command
                .args(["--create", "--clobber", "--fsid", &programs.cluster])
                .args(["--addv", "a", &format!("[v1:{monitor}]")])
                .arg(&map)
        })?;
        programs.run("ceph-mon", |command| {
            command.args(["--mkfs", "-i", "a", "--monmap"]).arg(&map)
        })?;
        self.monitor = Some(programs.start("ceph-mon", &["-f", "-i", "a"])?);
        let disk = uuid()?;
        programs.insist("ceph", &["osd", "create", &disk, "0"])?;
        programs.insist(
            "ceph",
            &["osd", "crush", "add", "osd.0", "1", "root=default"],
        )?;
        programs.run("ceph-osd", |command| {
            command.args(["-i", "0", "--mkfs", "--osd-uuid", &disk])
        })?;
        self.osd = Some(programs.start("ceph-osd", &["-f", "-i", "0"])?);
        self.launch_gateway()?;
        let mut user = vec!["-n", "client.rgw.admin", "user", "create"];
        user.extend(["--uid=test", "--display-name=test"]);
        user.extend(["--access-key", ACCESS_KEY, "--secret", SECRET_KEY]);
        self.programs.insist("radosgw-admin", &user)
    }

    fn launch_gateway(&mut self) -> anyhow::Result<()> {
        let mut gateway = self
            .programs
            .start("radosgw", &["-f", "-n", "client.rgw"])?;
        let listens = engine::await_true(LIMIT, || {
            for (name, process) in [
                ("radosgw", Some(&mut gateway)),
                ("ceph-osd", self.osd.as_mut()),
                ("ceph-mon", self.monitor.as_mut()),
            ] {
                ensure!(process.is_some_and(Process::is_running), "{name} ended");
            }
            Ok(engine::listens(self.address))
        });
        listens.context("radosgw does not listen")?;
        self.gateway = Some(gateway);
        Ok(())
    }

    /// Ends the gateway at once, as a crash would (SIGKILL). The cluster behind it lives on.
    pub fn stop_kill(&mut self) {
        if let Some(gateway) = self.gateway.take() {
            gateway.kill();
        }
    }

    /// Starts the gateway again, at the same address with the same content.
    ///
    /// # Panics
    /// When it is not ready within a minute.
    pub fn restart(&mut self) {
        self.stop_kill();
        if let Err(error) = self.launch_gateway() {
            panic!("radosgw does not start again: {error:#}");
        }
    }

    /// Where it listens for plain HTTP. Buckets are named in the path.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, without a slash at the end.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The user's access key.
    #[allow(clippy::unused_self, reason = "belongs to the instance")]
    pub fn access_key(&self) -> &'static str {
        ACCESS_KEY
    }

    /// The user's secret key.
    #[allow(clippy::unused_self, reason = "belongs to the instance")]
    pub fn secret_key(&self) -> &'static str {
        SECRET_KEY
    }

    /// Makes a bucket. Names have at least three letters.
    ///
    /// # Panics
    /// When the gateway refuses.
    pub fn create_bucket(&self, name: &str) {
        let response = self.send("PUT", &format!("/{name}"), &[], &[]);
        assert_eq!(response.status, 200, "bucket {name}: {response:?}");
    }

    /// Sends a request signed with the user's key, past the code under test. `target` is `/bucket/key?query`,
    /// percent-encoded.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        self.try_send_at(self.address, method, target, headers, body)
            .unwrap_or_else(|error| panic!("{method} {target}: {error}\n{}", self.log_tail()))
    }

    /// The same by way of another address, such as a [`Proxy`](crate::proxy::Proxy)'s.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn try_send_at(
        &self,
        address: SocketAddr,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        let request = Request {
            method,
            target,
            headers,
            body,
        };
        let host = address.to_string();
        let signed = sign::aws(&request, &host, (ACCESS_KEY, SECRET_KEY), REGION);
        request.send(address, &signed)
    }

    /// The last lines that the cluster and the gateway logged.
    pub fn log_tail(&self) -> String {
        engine::tail(&self.programs.log())
    }
}

impl Drop for Rgw {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The harness shows it for tests that failed.
            println!("the end of the log of Ceph:\n{}", self.log_tail());
        }
    }
}

/// Ceph's programs, bound to the configuration of one cluster.
#[derive(Debug)]
struct Programs {
    folder: Folder,
    /// The cluster's identifier.
    cluster: String,
}

impl Programs {
    fn new() -> anyhow::Result<Self> {
        let folder = Folder::new("lazuli-rgw-")?;
        for name in ["mon", "osd", "run", "rgw"] {
            std::fs::create_dir(folder.join(name))?;
        }
        Ok(Self {
            folder,
            cluster: uuid()?,
        })
    }

    fn configure(&self, monitor: SocketAddr, gateway: SocketAddr) -> anyhow::Result<()> {
        let text = CONFIGURATION
            .replace("{cluster}", &self.cluster)
            .replace("{monitor}", &monitor.to_string())
            .replace("{gateway}", &gateway.to_string())
            .replace("{folder}", &self.folder.path().display().to_string());
        std::fs::write(self.path("ceph.conf"), text)?;
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn log(&self) -> PathBuf {
        self.path("log")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(engine::which(program).unwrap_or_else(|| program.into()));
        command
            .env("CEPH_CONF", self.path("ceph.conf"))
            .env_remove("CEPH_ARGS")
            .current_dir(self.folder.path());
        command
    }

    fn run(
        &self,
        program: &str,
        arguments: impl FnOnce(&mut Command) -> &mut Command,
    ) -> anyhow::Result<()> {
        let mut command = self.command(program);
        engine::run(arguments(&mut command), &self.log(), LIMIT)
    }

    /// Runs a client of the monitor, again if need be: sometimes a client asks before it was told which cluster it talks
    /// to, and is turned away ("wrong fsid"). All that is asked here may be asked twice.
    fn insist(&self, program: &str, arguments: &[&str]) -> anyhow::Result<()> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.run(program, |command| command.args(arguments)) {
                Err(_) if tries < 5 => {}
                result => return result,
            }
        }
    }

    fn start(&self, program: &str, arguments: &[&str]) -> anyhow::Result<Process> {
        let mut command = self.command(program);
        Process::start(command.args(arguments), &self.log(), "KILL")
    }
}

fn uuid() -> anyhow::Result<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/uuid").context("no random UUID")?;
    Ok(text.trim().to_owned())
}

/// Where it differs from what every one-disk cluster has: the monitor decides within 20 ms instead of a second, which
/// makes the start ten times faster, and does not give up on a disk that is nearly full; the OSD neither names its place
/// nor its class at its start, because it may do so before it knows the cluster's identifier, and ends then ("wrong
/// fsid"); a gateway that was killed holds its watches and the locks on uploads that it was completing for seconds
/// instead of minutes.
const CONFIGURATION: &str = "\
[global]
fsid = {cluster}
mon host = v1:{monitor}
monmap = {folder}/monmap
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
mon allow pool size one = true
osd crush chooseleaf type = 0
osd crush update on start = false
osd class update on start = false
osd objectstore = memstore
memstore device bytes = 8589934592
osd client watch timeout = 2
paxos propose interval = 0.02
paxos min wait = 0.01
ms bind msgr2 = false
public addr = 127.0.0.1
cluster addr = 127.0.0.1
mon data = {folder}/mon
mon data avail crit = 1
mon data avail warn = 1
osd data = {folder}/osd
run dir = {folder}/run
admin socket = {folder}/run/$name.$pid.asok
log file =
log to stderr = true
debug rocksdb = 0
debug paxos = 0
debug mgrc = 0

[client.rgw]
rgw frontends = beast endpoint={gateway}
rgw data = {folder}/rgw
rgw thread pool size = 64
rgw cache enabled = false
rgw mp lock max time = 3
";
