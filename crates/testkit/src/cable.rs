//! A network that is cut by the kernel: each node lives in a network namespace of its own, behind a pair of virtual network
//! cards, and packets between it and an engine are dropped when told to. Unlike with [`proxy`](crate::proxy), no connection
//! is ever closed by that: both sides wait for packets that do not come.
//!
//! All that happens in namespaces of this process, so that nothing else on the machine changes.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, ExitStatus};

use crate::server::Server;

/// Set inside the namespaces.
const INSIDE: &str = "CABLE_TEST_NAMESPACE";
/// Everything that [`Cable::lay`] does, in a namespace that is thrown away.
const PROBE: &str = "test $(id -u) = 0 || { echo only root can make network namespaces; exit 1; }
for program in ip iptables sysctl unshare; do
    command -v $program >/dev/null || { echo $program is missing; exit 1; }
done
unshare --net sh -c 'ip link add probe0 type veth peer name probe1 && iptables -t nat -L -n >/dev/null \
    && iptables -A INPUT -i probe0 -p tcp --dport 1 -j DROP' 2>&1";

/// Whether this process is in namespaces made by [`inside`].
pub fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Runs this program with these arguments in a network of its own. `Err`: that is not possible on this machine, and why.
///
/// # Errors
/// See above.
pub fn inside(arguments: &[&str]) -> Result<ExitStatus, String> {
    let probe = Command::new("sh").args(["-c", PROBE]).output();
    let probe = probe.map_err(|error| error.to_string())?;
    if !probe.status.success() {
        return Err(String::from_utf8_lossy(&probe.stdout).trim().to_owned());
    }
    let begin =
        "mkdir -p /run/netns && mount -t tmpfs none /run/netns && ip link set lo up && exec \"$@\"";
    Command::new("unshare")
        .args([
            "--net",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            begin,
            "sh",
        ])
        .arg(std::env::current_exe().map_err(|error| error.to_string())?)
        .args(arguments)
        .env(INSIDE, "1")
        .status()
        .map_err(|error| error.to_string())
}

/// The cable between a node and everything else.
#[derive(Debug)]
pub struct Cable {
    number: usize,
    card: String,
}

impl Cable {
    /// Makes a namespace for a node; `number` must differ between nodes and be less than 250.
    ///
    /// # Panics
    /// When that is not possible, or outside of [`inside`].
    pub fn lay(number: usize) -> Self {
        assert!(is_inside(), "only in a network of its own");
        let (card, space) = (format!("v{number}"), format!("node{number}"));
        let (here, there) = (format!("10.77.{number}.1"), format!("10.77.{number}.2"));
        let script = format!(
            "ip netns add {space}
            ip link add {card} type veth peer name e0 netns {space}
            ip addr add {here}/24 dev {card} && ip link set {card} up
            ip -n {space} addr add {there}/24 dev e0 && ip -n {space} link set e0 up && ip -n {space} link set lo up
            # Whoever listens on loopback is reached from the other side.
            sysctl -qw net.ipv4.conf.{card}.route_localnet=1
            ip netns exec {space} sysctl -qw net.ipv4.conf.e0.route_localnet=1
            iptables -t nat -A PREROUTING -i {card} -p tcp -d {here} -j DNAT --to-destination 127.0.0.1
            iptables -t nat -A POSTROUTING -s 127.0.0.1 -o {card} -j MASQUERADE
            ip netns exec {space} iptables -t nat -A PREROUTING -i e0 -p tcp -d {there} -j DNAT --to-destination 127.0.0.1"
        );
        sh(&script);
        Self { number, card }
    }

    /// The address at which the node reaches what listens there, on loopback, on this side.
    pub fn address_of(&self, engine: SocketAddr) -> String {
        format!("10.77.{}.1:{}", self.number, engine.port())
    }

    /// A server in the namespace, not yet started. It is reached at its usual address on loopback.
    ///
    /// # Panics
    /// When its folder cannot be made.
    pub fn server(&self, binary: &Path, folder: &Path, environment: &[(&str, &str)]) -> Server {
        let Self { number, card } = self;
        let wrapper = folder.join("start");
        let script = format!(
            "#!/bin/sh\nexec ip netns exec node{number} '{}' \"$@\"\n",
            binary.display()
        );
        let written = std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&wrapper, script))
            .and_then(|()| std::fs::set_permissions(&wrapper, PermissionsExt::from_mode(0o755)));
        if let Err(error) = written {
            panic!("{}: {error}", wrapper.display());
        }
        let server = Server::new(wrapper, folder, environment);
        let port = server.http().port();
        sh(&format!(
            "iptables -t nat -A OUTPUT -o lo -d 127.0.0.1 -p tcp --dport {port} -j DNAT --to-destination 10.77.{number}.2
            iptables -A INPUT -i {card} -p tcp --sport {port} -j ACCEPT"
        ));
        server
    }

    /// From now on no packet passes between the node and what listens there.
    pub fn cut(&self, engine: SocketAddr) {
        self.rules("-A", engine);
    }

    /// Packets pass again.
    pub fn mend(&self, engine: SocketAddr) {
        self.rules("-D", engine);
    }

    fn rules(&self, what: &str, engine: SocketAddr) {
        let (card, port) = (&self.card, engine.port());
        sh(&format!(
            "iptables {what} INPUT -i {card} -p tcp --dport {port} -j DROP
            iptables {what} OUTPUT -o {card} -p tcp --sport {port} -j DROP"
        ));
    }
}

fn sh(script: &str) {
    let output = Command::new("sh").args(["-ec", script]).output();
    match output {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!("{script}\n{}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => panic!("{script}\n{error}"),
    }
}
