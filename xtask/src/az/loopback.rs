//! The script `tests/az/loopback.sh`: one az process for each of its steps.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::{PASSWORD, SECONDS};
use crate::exec::Cmd;
use crate::workspace;

/// Steps over what is not there yet: they have to fail, so that this list does not outlive its reason.
const LATER: &[&str] = &[
    "acr webhook create",
    "acr webhook ping",
    "acr webhook list-events",
    "acr replication create",
    "acr config retention update",
    "acr config soft-delete update",
    "acr network-rule add",
    "acr cache create",
    "acr import (from a sibling registry)",
    "acr build (upload, schedule, stream log)",
    "acr build --no-wait",
    "acr run --cmd",
    "acr task create",
    "acr task run",
    "acr task logs",
    "acr task timer add",
    "acr task timer remove",
    "acr agentpool create",
];

/// What the script is told of a server.
pub(super) struct Target {
    pub(super) management: String,
    pub(super) authority: String,
    pub(super) bundle: OsString,
    pub(super) proxy: Option<OsString>,
    pub(super) admin: String,
    /// Application ID, secret, tenant.
    pub(super) program: (String, String, String),
}

/// Runs it; a line for each step, as `drive.py` tells of its own.
pub(super) fn run(
    vars: &[(String, OsString)],
    az: &Path,
    target: &Target,
    transcript: &Path,
) -> Result<Vec<Value>> {
    let kept = |name: &str| matches!(name, "HOME" | "PATH" | "LC_ALL");
    let vars: Vec<(String, OsString)> = vars
        .iter()
        .filter(|(name, _)| kept(name))
        .cloned()
        .collect();
    let mut script = Cmd::new("bash")
        .arg(workspace::root().join("tests/az/loopback.sh"))
        .only_env(&vars)
        .env("AZ", az)
        .env("ACR_ARM", &target.management)
        .env("ACR_AUTHORITY", &target.authority)
        .env("ACR_CA", &target.bundle)
        .env("ACR_CLIENT_ID", &target.program.0)
        .env("ACR_CLIENT_SECRET", &target.program.1)
        .env("ACR_TENANT", &target.program.2)
        .env("ACR_USER", &target.admin)
        .env("ACR_PASSWORD", PASSWORD)
        .timeout(SECONDS)
        .transcript(transcript);
    if let Some(proxy) = &target.proxy {
        script = script.env("ACR_PROXY", proxy);
    }
    let out = script.output()?;
    let mut lines = Vec::new();
    for line in out.stdout.lines() {
        let (passed, name) = match line.split_once(' ') {
            Some(("ok", name)) => (true, name.trim()),
            Some(("FAIL", name)) => (false, name.trim()),
            _ => continue,
        };
        let later = LATER.contains(&name);
        let template = format!("loopback.sh: {name}");
        let mut told = json!({
            "section": "loopback.sh", "command": template, "template": template,
            "exit": i32::from(later), "ok": passed != later, "seconds": 0,
            "note": if later { "comes later; the answer names what is missing" } else { "" },
        });
        if passed == later {
            let why = if later {
                "this is said to come later, but it works"
            } else {
                "see the log"
            };
            told["error"] = json!(why);
        }
        lines.push(told);
    }
    ensure!(
        lines.len() > 60,
        "only {} steps were tried: {}",
        lines.len(),
        out.all()
    );
    Ok(lines)
}
