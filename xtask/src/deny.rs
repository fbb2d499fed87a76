//! cargo-deny, which knows advisories too. It takes minutes to build, so nothing installs it on its own.

use anyhow::Result;

use crate::exec::which;
use crate::workspace;

/// Runs all of its checks, or the named ones (`bans`, `licenses`, `sources`, `advisories`).
pub(crate) fn run(checks: &[String]) -> Result<bool> {
    if which("cargo-deny").is_none() {
        println!("cargo-deny is not installed: cargo install --locked cargo-deny");
        println!("licences and bans are also checked, without it, by: cargo xtask tidy");
        return Ok(false);
    }
    let out = workspace::cargo()
        .args(["deny", "--workspace", "check"])
        .args(checks)
        .timeout(600)
        .tee()?;
    Ok(out.status.success())
}
