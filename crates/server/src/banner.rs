//! What a person sees when the server is ready: where it listens, how to sign in, and three lines to paste.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// What the banner tells.
#[derive(Clone, Debug)]
pub(crate) struct Banner {
    pub(crate) http: Option<SocketAddr>,
    pub(crate) https: Option<SocketAddr>,
    pub(crate) public_url: Option<String>,
    /// The made authority's certificate, if the server's certificate is a made one.
    pub(crate) authority: Option<PathBuf>,
    pub(crate) data_dir: PathBuf,
    /// `None`: the admin user is turned off.
    pub(crate) admin: Option<Admin>,
    /// The directory's first administrator.
    pub(crate) administrator: String,
    /// What `lazuli az-env` has to be told to describe this server, as words of a shell.
    pub(crate) flags: String,
}

/// How to sign in.
#[derive(Clone, Debug)]
pub(crate) struct Admin {
    pub(crate) name: String,
    /// The file with the generated password; `None`: the password was given or the file is gone.
    pub(crate) password_file: Option<PathBuf>,
}

impl Banner {
    pub(crate) fn render(&self) -> String {
        let mut out = format!("Lazuli {} is ready.\n\n", env!("CARGO_PKG_VERSION"));
        if let Some(address) = self.http {
            let _ = writeln!(out, "  HTTP    http://{address}");
        }
        if let Some(address) = self.https {
            let _ = write!(out, "  HTTPS   https://{address}");
            let _ = match &self.authority {
                Some(path) => writeln!(out, "   (certificate authority: {})", path.display()),
                None => writeln!(out),
            };
        }
        if let Some(url) = &self.public_url {
            let _ = writeln!(out, "  Public  {url}");
        }
        let _ = writeln!(out, "  Data    {}", self.data_dir.display());
        let Some(admin) = &self.admin else {
            out.push_str("  Admin   turned off (admin.enabled = false)\n");
            out.push_str(&self.for_az(None));
            return out;
        };
        let _ = match &admin.password_file {
            Some(path) => writeln!(
                out,
                "  Admin   {}   password in {}",
                admin.name,
                path.display()
            ),
            None => writeln!(
                out,
                "  Admin   {}   the password you know (`lazuli admin reset-password` makes a new one)",
                admin.name
            ),
        };
        if let Some(server) = self.login_server() {
            let _ = write!(out, "\nTry it:\n\n{}", example(admin, &server));
        }
        out.push_str(&self.for_az(admin.password_file.as_deref()));
        out
    }

    /// How az, Azure's command line, is pointed at this server.
    fn for_az(&self, password_file: Option<&Path>) -> String {
        if self.https.is_none() {
            return String::new();
        }
        let password = password_file.map_or(String::new(), |path| {
            format!(" -p \"$(cat {})\"", shell_word(path))
        });
        format!(
            "\nWith az, Azure's command line:\n\n  eval \"$(lazuli{} az-env)\"\n  az login -u {}{password}\n",
            self.flags, self.administrator
        )
    }

    /// What to write before a repository's name on this computer. An address of 127.0.0.0/8 is preferred because Docker
    /// asks nothing of its certificate.
    fn login_server(&self) -> Option<String> {
        let url = self
            .public_url
            .as_deref()
            .and_then(|url| url.split_once("://"));
        url.map(|(_, authority)| authority.to_owned())
            .or_else(|| self.http.or(self.https).map(dialled))
    }
}

/// An address that can be dialled for one that was listened on.
pub(crate) fn dialled(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port()).to_string()
}

/// Three lines for a shell. The image is made on the spot, so that they work without any other registry.
fn example(admin: &Admin, server: &str) -> String {
    let login = match &admin.password_file {
        Some(path) => format!(
            "docker login {server} -u {} --password-stdin < {}",
            admin.name,
            shell_word(path)
        ),
        None => format!("docker login {server} -u {}", admin.name),
    };
    format!(
        "  {login}\n  tar -cC /etc os-release | docker import - {server}/hello:v1\n  docker push {server}/hello:v1\n"
    )
}

/// The path as one word of a shell.
pub(crate) fn shell_word(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,".contains(c);
    if text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn banner() -> Banner {
        Banner {
            http: Some("127.0.0.1:5000".parse().unwrap()),
            https: Some("127.0.0.1:5443".parse().unwrap()),
            public_url: None,
            authority: Some("/data/tls/ca.crt".into()),
            data_dir: "/data".into(),
            admin: Some(Admin {
                name: "lazuli".into(),
                password_file: Some("/data/admin-password".into()),
            }),
            administrator: "admin@lazuli.test".to_owned(),
            flags: " --data-dir /data".to_owned(),
        }
    }

    #[test]
    fn everything_to_begin_with_is_said() {
        let text = banner().render();
        for part in [
            "http://127.0.0.1:5000",
            "https://127.0.0.1:5443",
            "/data/tls/ca.crt",
            "in /data/admin-password",
            "docker login 127.0.0.1:5000 -u lazuli --password-stdin < /data/admin-password",
            "docker push 127.0.0.1:5000/hello",
            "eval \"$(lazuli --data-dir /data az-env)\"",
            "az login -u admin@lazuli.test -p \"$(cat /data/admin-password)\"",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert_eq!(
            text.lines().filter(|line| line.contains("docker")).count(),
            3
        );
    }

    #[test]
    fn the_example_dials_an_address_that_can_be_dialled() {
        let every = Banner {
            http: None,
            https: Some("0.0.0.0:443".parse().unwrap()),
            ..banner()
        };
        assert!(every.render().contains("docker push 127.0.0.1:443/hello"));
        let every = Banner {
            http: Some("[::]:5000".parse().unwrap()),
            ..banner()
        };
        assert!(every.render().contains("docker push [::1]:5000/hello"));
        let public = Banner {
            public_url: Some("https://registry.example".into()),
            ..banner()
        };
        assert!(
            public
                .render()
                .contains("docker push registry.example/hello")
        );
    }

    #[test]
    fn a_given_password_is_not_looked_for_in_a_file() {
        let given = Banner {
            admin: Some(Admin {
                name: "lazuli".into(),
                password_file: None,
            }),
            ..banner()
        };
        let text = given.render();
        assert!(
            text.contains("  docker login 127.0.0.1:5000 -u lazuli\n")
                && !text.contains("admin-password"),
            "{text}"
        );
        let off = Banner {
            admin: None,
            ..banner()
        }
        .render();
        assert!(
            off.contains("turned off") && !off.contains("docker"),
            "{off}"
        );
    }

    #[test]
    fn paths_are_quoted_for_a_shell_when_they_need_it() {
        assert_eq!(shell_word(Path::new("/a-b/c.d")), "/a-b/c.d");
        assert_eq!(
            shell_word(Path::new("/my data/it's")),
            r"'/my data/it'\''s'"
        );
    }
}
