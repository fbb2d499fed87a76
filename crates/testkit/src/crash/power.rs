//! Power failures: the data folder is on an ext4 file system of its own, which is made to forget everything that was not
//! flushed (the ioctl `EXT4_IOC_SHUTDOWN` without a flush of the journal), and is mounted again. What it forgets depends on
//! how it was mounted: bytes of files, sizes, names, in the order of its journal or not.
//!
//! All that happens in a mount namespace, so that nothing else on the machine changes; there the machine seems to have been
//! started anew after each failure.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use anyhow::{Context as _, Result, bail, ensure};

use super::random::Random;

/// Set inside the namespace.
const INSIDE: &str = "CRASH_TEST_NAMESPACE";
/// What names the start of the machine.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const MEBIBYTES: u64 = 2048;
/// How it is mounted: as usual; and so that sizes and names are on the disk before the bytes of a file are.
const MOUNTS: [&str; 3] = [
    "loop",
    "loop,commit=600",
    "loop,commit=600,data=writeback,nodelalloc,noauto_da_alloc",
];
/// `EXT4_IOC_SHUTDOWN` with `EXT4_GOING_FLAGS_NOLOGFLUSH`. In perl, because a call by number is not safe Rust.
const SHUT_DOWN: &str = r#"open(my $f, "<", $ARGV[0]) or die "$!"; ioctl($f, 0x8004587d, my $a = pack("L", 2)) or die "$!";"#;

/// Whether this process is in a namespace made by [`inside`].
pub fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Runs this program with these arguments in a mount namespace. `Err`: that is not possible on this machine, and why.
///
/// # Errors
/// See above.
pub fn inside(arguments: &[String]) -> Result<ExitStatus, String> {
    let possible = "test $(id -u) = 0 || { echo only root can mount; exit 1; }
        for program in mkfs.ext4 perl losetup; do
            command -v $program >/dev/null || { echo $program is missing; exit 1; }
        done
        unshare --mount mount --bind /etc/hostname /proc/sys/kernel/random/boot_id 2>&1";
    let probe = Command::new("sh").args(["-c", possible]).output();
    let probe = probe.map_err(|error| error.to_string())?;
    if !probe.status.success() {
        return Err(String::from_utf8_lossy(&probe.stdout).trim().to_owned());
    }
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    Command::new("unshare")
        .args(["--mount", "--propagation", "private"])
        .arg(program)
        .args(arguments)
        .env(INSIDE, "1")
        .status()
        .map_err(|error| error.to_string())
}

/// A disk that loses power.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
    failures: u64,
}

impl Disk {
    /// Makes one below `folder`; `folder/data` is on it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn make(folder: &Path) -> Result<Self> {
        ensure!(is_inside(), "only in a mount namespace");
        let disk = Self {
            folder: folder.to_owned(),
            failures: 0,
        };
        let image = std::fs::File::create(disk.image())?;
        image.set_len(MEBIBYTES << 20)?;
        std::fs::create_dir(disk.mounted())?;
        call("mkfs.ext4", &["-q", "-F", "-m", "0"], &[&disk.image()])?;
        disk.mount(MOUNTS[0])?;
        std::fs::create_dir(disk.mounted().join("data"))?;
        std::os::unix::fs::symlink(disk.mounted().join("data"), folder.join("data"))?;
        call("sync", &["-f"], &[&disk.mounted()])?;
        Ok(disk)
    }

    /// Everything that was not flushed is gone. The server must have been killed a moment ago.
    ///
    /// # Errors
    /// When the file system cannot be mounted again.
    pub fn lose_power(&mut self, random: &mut Random) -> Result<()> {
        call("perl", &["-e", SHUT_DOWN], &[&self.mounted()])?;
        call("umount", &[], &[&self.mounted()])?;
        self.failures += 1;
        let boot = self.folder.join(format!("boot{}", self.failures));
        let mut file = std::fs::File::create(&boot)?;
        writeln!(file, "{:032x}", self.failures)?;
        call("mount", &["--bind"], &[&boot, Path::new(BOOT_ID)])?;
        let how = random.pick(&MOUNTS).context("no way to mount")?;
        self.mount(how)
    }

    fn mount(&self, how: &str) -> Result<()> {
        call("mount", &["-o", how], &[&self.image(), &self.mounted()])
    }

    fn image(&self) -> PathBuf {
        self.folder.join("image")
    }

    fn mounted(&self) -> PathBuf {
        self.folder.join("disk")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The namespace's end would do it, too, but the folder may be removed before.
        let _ = call("umount", &["-l"], &[&self.mounted()]);
    }
}

fn call(program: &str, flags: &[&str], paths: &[&Path]) -> Result<()> {
    let output = Command::new(program).args(flags).args(paths).output();
    let output = output.context(program.to_owned())?;
    if output.status.success() {
        return Ok(());
    }
    bail!(
        "{program} {flags:?} {paths:?}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    )
}
