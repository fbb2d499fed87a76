//! `lazuli healthcheck`: asks the server whether it can serve, for supervisors that run a command.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Command;

use crate::cli::{Shown, settings};
use crate::config::{Configuration, Given};

const EXAMPLES: &str = "\
Examples:
  lazuli healthcheck                       ask the server at the configured address (http)
  lazuli --http 127.0.0.1:5701 healthcheck

It asks for /readyz: exit code 0 when the server can serve, 1 with the reason when it cannot or does not answer within \
five seconds. For HEALTHCHECK in an image, where there is no other program.";

const LIMIT: Duration = Duration::from_secs(5);

pub(crate) fn command() -> Command {
    Command::new("healthcheck")
        .about("Ask the server whether it can serve")
        .after_help(EXAMPLES)
        .args(settings(Shown::Common))
}

/// `lazuli healthcheck`
pub(crate) fn run(given: &Given) -> anyhow::Result<()> {
    let settings = Configuration::load(given)?.settings;
    let Some(listens) = settings.general.http.address() else {
        bail!("plain HTTP is off (http = \"off\"): there is nothing to ask");
    };
    let answer = ask(reachable(listens));
    let answer = answer.with_context(|| format!("{listens} does not answer"))?;
    let status = answer.split(' ').nth(1).unwrap_or_default();
    if status == "200" {
        return Ok(());
    }
    let reason = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    bail!("the server is not ready ({status}): {}", reason.trim());
}

/// Where a listener on every address is reached from here.
fn reachable(listens: SocketAddr) -> SocketAddr {
    let ip = match listens.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listens.port())
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    const MOST: u64 = 64 << 10;
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(MOST).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
