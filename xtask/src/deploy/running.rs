//! What needs a running server: the names of its metrics, and nginx with the compose file's configuration before it.

use std::ffi::OsString;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::chart::promtool;
use super::{CHART, GROUP, Kit, repository, tool};
use crate::daemon::Daemon;
use crate::exec::{Cmd, which};
use crate::packages;
use crate::report::Results;

const PASSWORD: &str = "behind the proxy";
const LOG: &str = "server.log";
const READY_SECONDS: u64 = 30;

pub(super) fn run(kit: &Kit, results: &mut Results) {
    let mut started = None;
    results.case(GROUP, "a server starts", || {
        started = Some(server(kit)?);
        Ok(())
    });
    let Some((_server, address)) = started else {
        return;
    };
    metrics(kit, &address, results);
    proxy(kit, &address, results);
}

fn server(kit: &Kit) -> Result<(Daemon, String)> {
    let address = format!("127.0.0.1:{}", free_port()?);
    let settings = [
        (
            "DATA_DIR",
            kit.dir.join("data").to_string_lossy().into_owned(),
        ),
        ("HTTP", address.clone()),
        ("HTTPS", "off".to_owned()),
        ("ADMIN_PASSWORD", PASSWORD.to_owned()),
        ("METRICS_ACCESS", "everyone".to_owned()),
        ("TRUSTED_PROXIES", "127.0.0.1".to_owned()),
    ];
    let vars: Vec<(String, OsString)> = settings
        .into_iter()
        .map(|(name, value)| (format!("LAZULI_{name}"), value.into()))
        .collect();
    let mut daemon = Daemon::start(&kit.binary, ["serve"], &vars, &kit.dir.join(LOG))?;
    daemon.wait_ready(READY_SECONDS, || TcpStream::connect(&address).is_ok())?;
    Ok((daemon, address))
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn metrics(kit: &Kit, address: &str, results: &mut Results) {
    let name = "alerts and dashboard name metrics that there are";
    let Some(promtool) = tool(results, name, promtool) else {
        return;
    };
    results.case(GROUP, name, || {
        let fetch =
            "import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).read().decode())";
        let text = Cmd::new(&kit.python)
            .args(["-c", fetch, &format!("http://{address}/metrics")])
            .run()?;
        let rules = kit.dir.join("dashboard-rules.yaml");
        kit.check("metrics")
            .arg(repository(CHART))
            .arg(kit.write("metrics.txt", &text)?)
            .arg(&rules)
            .run()?;
        Cmd::new(promtool)
            .args(["check", "rules", "--lint=none"])
            .arg(rules)
            .run()?;
        Ok(())
    });
}

fn nginx() -> Result<PathBuf> {
    let installed = || {
        which("nginx").or_else(|| {
            let file = PathBuf::from("/usr/sbin/nginx");
            fs::metadata(&file).is_ok().then_some(file)
        })
    };
    if installed().is_none() {
        packages::install(&["nginx-light"])?;
    }
    installed().context("no nginx")
}

fn proxy(kit: &Kit, address: &str, results: &mut Results) {
    let name = "nginx of the compose file: streams both ways, one node of three is enough";
    let Some(nginx) = tool(results, name, nginx) else {
        return;
    };
    results.case(GROUP, name, || {
        let port = free_port()?;
        let dead = [free_port()?, free_port()?].map(|port| format!("127.0.0.1:{port}"));
        let text = fs::read_to_string(repository("deploy/compose/nginx.conf"))?;
        let mut here = text;
        for (name, address) in [
            ("listen 80;", format!("listen 127.0.0.1:{port};").as_str()),
            ("node1:5000", &dead[0]),
            ("node2:5000", &dead[1]),
            ("node3:5000", address),
        ] {
            ensure!(here.contains(name), "nginx.conf has no `{name}`");
            here = here.replace(name, address);
        }
        let file = kit.write("nginx.conf", &here)?;
        let pid = format!("daemon off; pid {};", kit.dir.join("nginx.pid").display());
        let args: Vec<OsString> = vec![
            "-p".into(),
            kit.dir.clone().into(),
            "-e".into(),
            kit.dir.join("nginx.log").into(),
            "-c".into(),
            file.into(),
            "-g".into(),
            pid.into(),
        ];
        Cmd::new(&nginx).arg("-t").args(&args).run()?;
        let mut daemon = Daemon::start(&nginx, args, &[], &kit.dir.join("nginx.out"))?;
        let address = format!("127.0.0.1:{port}");
        daemon.wait_ready(READY_SECONDS, || TcpStream::connect(&address).is_ok())?;
        kit.check("proxy")
            .args([&format!("http://{address}"), PASSWORD])
            .arg(kit.dir.join(LOG))
            .run()?;
        Ok(())
    });
}
