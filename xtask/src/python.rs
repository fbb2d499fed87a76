//! Python with packages, each set in a folder of its own in `target/xtask-cache`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::exec::Cmd;
use crate::{packages, workspace};

/// How long fetching may take.
const FETCH_SECONDS: u64 = 1200;

/// The interpreter that has the packages of a requirements file of the repository. Where they come from is for pip's own
/// configuration to say.
pub(crate) fn with(requirements: &str, folder: &str) -> Result<PathBuf> {
    let folder = workspace::target_dir().join("xtask-cache").join(folder);
    let requirements = workspace::root().join(requirements);
    let wanted = fs::read(&requirements)?;
    // Written last: a folder with it is complete.
    let stamp = folder.join("installed.txt");
    let python = folder.join("bin/python");
    if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    packages::install(&["python3-venv"])?;
    println!("  installing {}", requirements.display());
    let _ = fs::remove_dir_all(&folder);
    Cmd::new("/usr/bin/python3")
        .args(["-m", "venv"])
        .arg(&folder)
        .run()?;
    Cmd::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--no-deps"])
        .args(["--disable-pip-version-check", "--requirement"])
        .arg(&requirements)
        .timeout(FETCH_SECONDS)
        .run()
        .with_context(|| format!("{}, by pip", requirements.display()))?;
    fs::write(stamp, wanted)?;
    Ok(python)
}
