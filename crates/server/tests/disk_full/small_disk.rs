//! A small disk for one test: a file system in a mount namespace of its own, so that nothing else on the machine changes.
//!
//! The test runs a second time in a child process inside the namespace. Root gets ext4 on a loop device; others get a
//! tmpfs in a user namespace, where the system allows that.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set in the child: where to mount.
const INSIDE: &str = "SMALL_DISK_TEST_FOLDER";

/// Which file systems a test can do with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Any,
    /// One that can fail.
    Ext4,
}

/// The mounted disk.
#[derive(Debug)]
pub(crate) struct SmallDisk {
    /// Where it is mounted.
    pub(crate) folder: PathBuf,
    image: Option<PathBuf>,
}

/// Runs a test on a disk of so many MiB. `name` is the name of the calling test. Where that is not possible a line that
/// begins with `NOT RUN:` says so, which is a failure under `CI=true`.
pub(crate) fn on(kind: Kind, mebibytes: u64, name: &str, test: fn(&SmallDisk)) {
    if let Some(folder) = std::env::var_os(INSIDE) {
        let mut disk = SmallDisk {
            folder: Path::new(&folder).join("mounted"),
            image: None,
        };
        disk.make(Path::new(&folder), mebibytes).unwrap();
        return test(&disk);
    }
    let flags = match namespace(kind) {
        Ok(flags) => flags,
        Err(why) => {
            // Past the test harness's capture: this must be seen.
            let _ = writeln!(std::io::stderr().lock(), "NOT RUN: {name}: {why}");
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
            return;
        }
    };
    let folder = tempfile::Builder::new()
        .prefix("lazuli-disk-")
        .tempdir()
        .unwrap();
    let output = Command::new("unshare")
        .args(flags)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, folder.path())
        .output()
        .unwrap();
    let (out, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    println!("{out}{errors}");
    assert!(output.status.success(), "{}", output.status);
    assert!(out.contains("1 passed"), "the test did not run inside");
}

/// The flags of `unshare` that make a namespace in which one can mount.
fn namespace(kind: Kind) -> Result<&'static [&'static str], String> {
    const AS_ROOT: &[&str] = &["--mount"];
    const AS_USER: &[&str] = &["--user", "--map-root-user", "--mount"];
    if run("sh", &["-c", "test $(id -u) = 0"]).is_ok() {
        let probe = [AS_ROOT, &["mkfs.ext4", "-V"]].concat();
        return run("unshare", &probe).map(|()| AS_ROOT);
    }
    if kind == Kind::Ext4 {
        return Err("only root can mount ext4".to_owned());
    }
    let mount = ["mount", "-t", "tmpfs", "none", "/mnt"];
    run("unshare", &[AS_USER, &mount].concat()).map(|()| AS_USER)
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!(
            "{program} {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        )),
        Err(error) => Err(format!("{program}: {error}")),
    }
}

impl SmallDisk {
    fn make(&mut self, base: &Path, mebibytes: u64) -> Result<(), String> {
        std::fs::create_dir(&self.folder).unwrap();
        // A process can be root of its user namespace only.
        let is_root_of_machine = std::fs::read_to_string("/proc/self/uid_map")
            .unwrap()
            .split_whitespace()
            .nth(2)
            .is_some_and(|count| count != "1");
        if !is_root_of_machine {
            let size = format!("size={mebibytes}m");
            let folder = self.folder.to_str().unwrap();
            return run("mount", &["-t", "tmpfs", "-o", &size, "none", folder]);
        }
        let image = base.join("image");
        std::fs::File::create(&image)
            .unwrap()
            .set_len(mebibytes << 20)
            .unwrap();
        let path = image.to_str().unwrap();
        run("mkfs.ext4", &["-q", "-F", "-m", "0", path])?;
        self.image = Some(image);
        self.mount()
    }

    /// Mounts the ext4 file system.
    pub(crate) fn mount(&self) -> Result<(), String> {
        let image = self.image.as_ref().ok_or("not on ext4")?.to_str().unwrap();
        let folder = self.folder.to_str().unwrap();
        run("mount", &["-o", "loop,errors=remount-ro", image, folder])
    }

    /// Unmounts it, and has its file system checked.
    pub(crate) fn unmount_and_check(&self) -> Result<(), String> {
        let image = self.image.as_ref().ok_or("not on ext4")?.to_str().unwrap();
        run("umount", &[self.folder.to_str().unwrap()])?;
        // 1: errors were corrected.
        let status = Command::new("e2fsck").args(["-f", "-y", image]).output();
        match status.map(|output| output.status.code()) {
            Ok(Some(0 | 1)) => Ok(()),
            other => Err(format!("e2fsck: {other:?}")),
        }
    }

    /// Makes the file system fail, as a broken device does: it turns read-only by itself.
    pub(crate) fn fail(&self) {
        let output = Command::new("findmnt")
            .args(["-n", "-o", "SOURCE", self.folder.to_str().unwrap()])
            .output()
            .unwrap();
        let device = String::from_utf8(output.stdout).unwrap();
        let device = device.trim().trim_start_matches("/dev/");
        let trigger = format!("/sys/fs/ext4/{device}/trigger_fs_error");
        std::fs::write(trigger, "a test").unwrap();
    }

    /// Free bytes.
    pub(crate) fn free(&self) -> u64 {
        let output = Command::new("df")
            .args(["-B1", "--output=avail"])
            .arg(&self.folder)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().last().unwrap().trim().parse().unwrap()
    }

    /// Fills it to the last byte with something that is not the registry's.
    pub(crate) fn fill(&self) {
        let mut ballast = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.ballast())
            .unwrap();
        for size in [1 << 20, 64 << 10, 4 << 10, 512, 1] {
            let piece = vec![0; size];
            while ballast.write_all(&piece).is_ok() {}
        }
        let _ = ballast.sync_all();
    }

    /// Takes that away.
    pub(crate) fn empty(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }
}
