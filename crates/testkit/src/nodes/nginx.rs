//! nginx with `deploy/compose/nginx.conf`, at other addresses.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::engine::{self, Process};

/// Added to the configuration: where nginx keeps its files, and what is asked of its log.
const ADDED: &str = "http {
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  log_format traffic '$upstream_addr|$upstream_status|$status|$request_method|$request_uri';
";
const ACCESS_LOG: &str = "access_log off;";

/// What nginx saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests that each node was given.
    pub by_node: Vec<usize>,
    /// Requests that were given to another node after a first one.
    pub passed_on: usize,
    /// Requests that nginx answered itself because a node did not: what a client has to try again.
    pub bad_gateway: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Nginx {
    _process: Process,
    address: SocketAddr,
    folder: PathBuf,
}

impl Nginx {
    /// Otherwise it was said that it is missing.
    pub(super) fn is_installed() -> bool {
        let is_installed = engine::which("nginx").is_some();
        if !is_installed {
            engine::not_run("nginx", "no nginx");
        }
        is_installed
    }

    pub(super) fn start(folder: &Path, address: SocketAddr, nodes: &[SocketAddr]) -> Result<Self> {
        let folder = folder.join("nginx");
        std::fs::create_dir_all(&folder)?;
        let configuration = render(&super::deployed("nginx.conf")?, &folder, address, nodes)?;
        std::fs::write(folder.join("nginx.conf"), configuration)?;
        let program = engine::which("nginx").context("no nginx")?;
        let pid = folder.join("pid");
        // Workers of root's would be somebody who may not look into the folder.
        let is_root = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self")?) == 0;
        let user = if is_root { "user root; " } else { "" };
        let mut command = Command::new(program);
        command
            .arg("-p")
            .arg(&folder)
            .arg("-e")
            .arg(folder.join("error.log"))
            .arg("-c")
            .arg(folder.join("nginx.conf"))
            .arg("-g")
            .arg(format!("{user}daemon off; pid {};", pid.display()));
        let log = folder.join("log");
        let mut process = Process::start(&mut command, &log, "TERM")?;
        engine::await_true(Duration::from_secs(30), || {
            ensure!(process.is_running(), "it ended");
            Ok(engine::listens(address))
        })
        .with_context(|| engine::tail(&log))
        .context("nginx does not listen")?;
        Ok(Self {
            _process: process,
            address,
            folder,
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn traffic(&self, nodes: &[SocketAddr]) -> Result<Traffic> {
        let log = std::fs::read_to_string(self.folder.join("traffic.log"))?;
        Ok(count(&log, nodes))
    }
}

/// The configuration with other addresses and the log.
fn render(text: &str, folder: &Path, address: SocketAddr, nodes: &[SocketAddr]) -> Result<String> {
    let folder = folder.display().to_string();
    let mut changes = vec![
        ("http {\n".to_owned(), ADDED.replace("{folder}", &folder)),
        (
            ACCESS_LOG.to_owned(),
            format!("access_log {folder}/traffic.log traffic;"),
        ),
        ("listen 80;".to_owned(), format!("listen {address};")),
    ];
    for (number, node) in nodes.iter().enumerate() {
        changes.push((format!("node{}:5000", number + 1), node.to_string()));
    }
    let mut rendered = text.to_owned();
    for (here, there) in changes {
        let found = rendered.matches(&here).count();
        ensure!(found == 1, "nginx.conf has `{}` {found} times", here.trim());
        rendered = rendered.replace(&here, &there);
    }
    Ok(rendered)
}

fn count(log: &str, nodes: &[SocketAddr]) -> Traffic {
    let mut traffic = Traffic {
        by_node: vec![0; nodes.len()],
        ..Traffic::default()
    };
    for line in log.lines() {
        let mut fields = line.splitn(4, '|');
        let (Some(given), Some(answers), Some(status), Some(request)) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let given: Vec<&str> = given.split(", ").collect();
        for (node, count) in nodes.iter().zip(&mut traffic.by_node) {
            let node = node.to_string();
            *count += given.iter().filter(|given| **given == node).count();
        }
        traffic.passed_on += usize::from(given.len() > 1);
        if matches!(status, "502" | "504") {
            traffic
                .bad_gateway
                .push(format!("{} ({answers})", shortened(request)));
        }
    }
    traffic
}

/// Method and path; the query of an upload is long.
fn shortened(request: &str) -> String {
    let path = request.split('?').next().unwrap_or_default();
    path.replace('|', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_tells_who_was_asked() {
        let nodes: Vec<SocketAddr> = ["127.0.0.1:1", "127.0.0.1:2"]
            .map(|address| address.parse().unwrap())
            .to_vec();
        let log = "127.0.0.1:1|200|200|GET|/v2/\n127.0.0.1:2, 127.0.0.1:1|502, 200|200|GET|/v2/a\n\
            127.0.0.1:2|502|502|PATCH|/v2/b?x=y|z\n-|-|404|GET|/metrics\n";
        let traffic = count(log, &nodes);
        assert_eq!(traffic.by_node, [2, 2]);
        assert_eq!(traffic.passed_on, 1);
        assert_eq!(traffic.bad_gateway, ["PATCH /v2/b (502)"]);
    }
}
