//! The tutorial with az, as it stands on its page, with a real Docker engine and the real az.

use std::ffi::OsString;

use anyhow::{Context as _, Result, ensure};

use super::context::Context;
use super::dockerd::Engine;
use super::server::Server;
use super::{Case, Suite};
use crate::daemon::Daemon;
use crate::exec::Cmd;
use crate::{az, packages, workspace};

const PAGE: &str = "docs/tutorials/az.md";

pub(super) struct Tutorial {
    engine: Engine,
    _server: Daemon,
}

impl Suite for Tutorial {
    const CASES: &'static [Case<Self>] = &[(
        "docs/tutorials/az.md, line by line: az login, acr create, acr login, docker push, a user who may pull one repository",
        Self::page,
    )];

    fn install(_: &str) -> Result<()> {
        packages::needs_root("dockerd runs as root here")?;
        packages::install(&["docker.io", "runc"])?;
        az::interpreter().map(drop)
    }

    fn version(_: &str) -> Result<String> {
        az::version()
    }

    fn start(mut cx: Context, _: &str) -> Result<Self> {
        for folder in ["/usr/sbin", "/usr/bin"] {
            cx.add_path(folder.as_ref());
        }
        // `az` and `lazuli` as a person has them on the path.
        let programs = cx.folder("bin")?;
        az::wrapper(&programs, &az::interpreter()?)?;
        std::os::unix::fs::symlink(&cx.binary, programs.join("lazuli"))?;
        cx.add_path(&programs);
        let (http, https) = Server::free_ports()?;
        cx.set("LAZULI_HTTP", format!("127.0.0.1:{http}"));
        cx.set("LAZULI_HTTPS", format!("127.0.0.1:{https}"));
        cx.set("LAZULI_DATA_DIR", cx.file("lazuli-data"));
        let mut server = cx.daemon("lazuli", [] as [OsString; 0])?;
        server.wait_ready(30, || cx.file("lazuli-data/admin-password").is_file())?;
        server.wait_ready(30, || {
            let ready = cx.cmd("lazuli").args(["healthcheck"]).run();
            ready.is_ok()
        })?;
        Ok(Self {
            engine: Engine::start(cx, "{}")?,
            _server: server,
        })
    }
}

impl Tutorial {
    /// All blocks of the page that are for a shell, in one shell that stops at the first failure.
    fn page(&mut self) -> Result<()> {
        let page = workspace::read(PAGE)?.context(PAGE)?;
        let script = blocks(&page);
        ensure!(
            script.lines().count() > 20,
            "{PAGE} has hardly a line for a shell"
        );
        let file = self
            .engine
            .cx
            .write("tutorial.sh", format!("set -eu\n{script}"))?;
        let bash: Cmd = self.engine.cx.cmd("bash");
        bash.arg("-x").arg(file).timeout(300).run()?;
        Ok(())
    }
}

/// The text of the blocks marked `sh`. A line that begins with `! ` has to fail, which `set -e` alone does not see.
fn blocks(page: &str) -> String {
    let mut script = String::new();
    let mut inside = false;
    for line in page.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            _ if inside => {
                match line.strip_prefix("! ") {
                    Some(refused) => {
                        script.push_str("if ");
                        script.push_str(refused);
                        script.push_str("; then echo 'this should have been refused'; exit 1; fi");
                    }
                    None => script.push_str(line),
                }
                script.push('\n');
            }
            _ => {}
        }
    }
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_blocks_for_a_shell_are_taken() {
        let page = "a\n```text\nb\n```\n```sh\nc\n! d e\n```\nf\n";
        assert_eq!(
            blocks(page),
            "c\nif d e; then echo 'this should have been refused'; exit 1; fi\n"
        );
    }
}
