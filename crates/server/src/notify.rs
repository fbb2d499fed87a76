//! Tells systemd that the server is ready or stopping (`Type=notify`); does nothing elsewhere. See sd_notify(3).

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The server accepts connections.
pub(crate) const READY: &str = "READY=1";
/// The server finishes its transfers.
pub(crate) const STOPPING: &str = "STOPPING=1";

/// Sends a state to the supervisor that started this process, if there is one.
pub(crate) fn notify(state: &str) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    if let Err(error) = send(socket.as_encoded_bytes(), state) {
        tracing::warn!(%error, state, "the supervisor could not be told");
    }
}

fn send(socket: &[u8], state: &str) -> std::io::Result<()> {
    let address = match socket.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => {
            SocketAddr::from_pathname(std::str::from_utf8(socket).map_err(std::io::Error::other)?)?
        }
    };
    UnixDatagram::unbound()?
        .send_to_addr(state.as_bytes(), &address)
        .map(drop)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_supervisor_is_told_by_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str().as_encoded_bytes(), READY).unwrap();
        assert_eq!(received(&socket), "READY=1");
    }

    #[test]
    fn a_supervisor_is_told_by_abstract_name() {
        let name = format!("lazuli-notify-test-{}", std::process::id());
        let socket =
            UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        send(format!("@{name}").as_bytes(), STOPPING).unwrap();
        assert_eq!(received(&socket), "STOPPING=1");
    }
}
