//! Finds processes that a run started and nobody ended: they carry a mark in their environment.

use std::fs;

use anyhow::{Result, ensure};

use crate::exec::signal;

/// The variable that marks what a run starts.
pub(crate) const VARIABLE: &str = "XTASK_RUN";

/// The mark of this process.
pub(crate) fn mark() -> String {
    format!("xtask-{}", std::process::id())
}

/// Fails when processes with our mark still run; ends them, so that they do not disturb what comes next.
pub(crate) fn check() -> Result<()> {
    let entry = format!("{VARIABLE}={}", mark());
    let mut found = Vec::new();
    for process in fs::read_dir("/proc")?.flatten() {
        // A process may end while we look, and others' may not be looked at.
        let environment = fs::read(process.path().join("environ")).unwrap_or_default();
        if environment
            .split(|byte| *byte == 0)
            .any(|variable| variable == entry.as_bytes())
        {
            let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
            found.push(String::from_utf8_lossy(&line).replace('\0', " "));
            signal("TERM", &process.file_name().to_string_lossy());
        }
    }
    ensure!(found.is_empty(), "still running:\n{}", found.join("\n"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_left_behind_is_found_and_ended() {
        check().unwrap();
        let mut child = Command::new("sleep")
            .arg("60")
            .env(VARIABLE, mark())
            .spawn()
            .unwrap();
        let error = check().unwrap_err().to_string();
        assert!(error.contains("sleep 60"), "{error}");
        assert!(!child.wait().unwrap().success());
        check().unwrap();
    }
}
