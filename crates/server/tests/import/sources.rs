//! Everything comes, from each kind of source, and only what was asked for.

use std::process::Command;

use lazuli_testkit::server::PASSWORD;

use crate::content::{Content, referrers};
use crate::distribution::{Distribution, USER, not_run, with_password};
use crate::support::{command, import, run, start};

#[test]
fn a_registry_comes_over_whole_with_signatures_and_referrers() {
    let Some(source) = Distribution::start() else {
        return;
    };
    let content = Content::push(source.client(), false);
    let target = start();
    let url = source.url();
    // Without the password nothing.
    let denied = run(&mut command(&target, &[&url]));
    assert_eq!(denied.code, 1);
    assert!(
        denied.errors.contains("the source cannot be used"),
        "{}",
        denied.errors
    );
    let import = |arguments: &[&str]| {
        let outcome = run(with_password(&mut command(&target, arguments)));
        assert_eq!(outcome.code, 0);
        outcome
    };
    let planned = import(&[&url, "--dry-run"]);
    assert!(content.missing(&target.admin(), "").len() > 10);
    let done = import(&[&url]);
    assert_eq!(content.missing(&target.admin(), ""), [""; 0]);
    // What was planned is what came, but that blobs of another repository were mounted.
    let (planned, copied) = (planned.counts("to copy:"), done.counts("copied:"));
    assert_eq!(planned[..2], copied[..2]);
    let mounted = done.counts("mounted:")[0];
    assert!(mounted >= 1);
    assert_eq!(planned[2], copied[2] + mounted);
    let subject = content.digest("team/app", "v1");
    assert_eq!(referrers(&target.admin(), "team/app", &subject), 1);

    // Again: nothing is copied, all is looked at.
    let again = import(&[&url]);
    assert_eq!(again.counts("copied:"), [0, 0, 0, 0]);
    assert_eq!(again.counts("there already:")[..2], copied[..2]);
    assert_eq!(again.counts("verified:")[0], copied[0] + copied[1]);
}

#[test]
fn the_folder_of_a_registry_comes_over_whole() {
    let Some(source) = Distribution::start() else {
        return;
    };
    let content = Content::push(source.client(), false);
    let tree = source.tree();
    let tree = format!("file:{}", tree.display());
    let target = start();
    import(&target, &[&tree, "--to", "old"]);
    assert_eq!(content.missing(&target.admin(), "old/"), [""; 0]);
    let subject = content.digest("team/app", "multi");
    assert_eq!(referrers(&target.admin(), "old/team/app", &subject), 1);
    // Of one tag: with its signature and what refers to it, and without the others.
    let arguments = [
        &*tree,
        "--repository",
        "team/*",
        "--tag",
        "v1",
        "--to",
        "one",
    ];
    let one = import(&target, &arguments);
    let mut missing = content.missing(&target.admin(), "one/");
    missing.retain(|what| what.starts_with("team/app"));
    assert!(missing.iter().any(|what| what == "team/app v2"));
    let subject = content.digest("team/app", "v1").to_string();
    let named = subject.replace(':', "-");
    assert!(
        !missing
            .iter()
            .any(|what| what.contains(&named) || what.ends_with("app v1")),
        "{missing:?}"
    );
    // v1, its signature, and the index of referrers under its name and the referrer's.
    assert_eq!(one.counts("copied:")[0], 4);
    assert_eq!(target.admin().get("/v2/one/single/tags/list").status, 404);
}

#[test]
fn another_lazuli_comes_over_whole() {
    let source = start();
    let content = Content::push(source.admin(), true);
    let target = start();
    let url = format!("http://{}", source.http());
    let mut command = command(&target, &[&url, "--user", "lazuli"]);
    let outcome = run(command.env("LAZULI_IMPORT_PASSWORD", PASSWORD));
    assert_eq!(outcome.code, 0);
    assert_eq!(content.missing(&target.admin(), ""), [""; 0]);
    let subject = content.digest("team/app", "v1");
    assert_eq!(referrers(&target.admin(), "team/app", &subject), 1);
}

#[test]
fn what_skopeo_moves_comes_over_by_each_way() {
    let Some(source) = Distribution::start() else {
        return;
    };
    if Command::new("skopeo").arg("--version").output().is_err() {
        not_run("skopeo");
        return;
    }
    let content = Content::push(source.client(), false);
    let folder = tempfile::tempdir().unwrap();
    let layout = format!("oci:{}", folder.path().join("layout").display());
    let skopeo = |from: &str, to: &str| {
        let mut command = Command::new("skopeo");
        let user = format!("{USER}:{}", crate::distribution::PASSWORD);
        command.args([
            "--insecure-policy",
            "copy",
            "--all",
            "--src-tls-verify=false",
        ]);
        command.args(["--dest-tls-verify=false", "--preserve-digests"]);
        for (place, flag) in [(from, "--src-creds"), (to, "--dest-creds")] {
            if place.starts_with("docker:") {
                command.args([flag, &user]);
            }
        }
        let output = command.args([from, to]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    // Out of the registry into a layout, and from there, by skopeo's hand, to another repository.
    let remote = format!("docker://{}", source.address);
    for tag in ["v1", "multi"] {
        skopeo(
            &format!("{remote}/team/app:{tag}"),
            &format!("{layout}:{tag}"),
        );
    }
    skopeo(
        &format!("{layout}:multi"),
        &format!("{remote}/by/skopeo:multi"),
    );
    let target = start();
    let url = source.url();
    let arguments = ["--repository", "by/skopeo", &url];
    let outcome = run(with_password(&mut command(&target, &arguments)));
    assert_eq!(outcome.code, 0);
    let nameless = run(&mut command(&target, &[&layout]));
    assert!(nameless.code == 1 && nameless.errors.contains("--repository"));
    import(&target, &[&layout, "--repository", "from/layout"]);
    for (repository, tag) in [
        ("by/skopeo", "multi"),
        ("from/layout", "multi"),
        ("from/layout", "v1"),
    ] {
        let answer = target
            .admin()
            .head(&format!("/v2/{repository}/manifests/{tag}"));
        let digest = content.digest("team/app", tag).to_string();
        assert_eq!(
            answer.header("docker-content-digest"),
            Some(&*digest),
            "{repository} {tag}"
        );
    }
}

#[test]
fn large_blobs_pass_through_little_memory_and_tls() {
    const MOST_KIB: u64 = 64 << 10;
    let source = start();
    let content = Content::push_large(source.admin(), 200 << 20);
    let target = start();
    let authority = target.data().join("tls/ca.crt");
    let into = format!("https://{}", target.https());
    let url = format!("http://{}", source.http());
    let arguments = ["import-from", &url, "--user", "lazuli", "--into", &into];
    let import = |more: &[&str]| {
        let mut command = target.command(&[&arguments[..], more].concat());
        command.env("LAZULI_ADMIN_PASSWORD", PASSWORD);
        command.env("LAZULI_IMPORT_PASSWORD", PASSWORD);
        command
    };
    // An authority that nobody trusts.
    let distrusted = run(&mut import(&[]));
    assert_eq!(distrusted.code, 1);
    assert!(distrusted.errors.contains("the target cannot be used"));
    let mut child = import(&["--ca", authority.to_str().unwrap()])
        .spawn()
        .unwrap();
    let mut peak = 0;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        peak = peak.max(peak_memory(child.id()).unwrap_or(0));
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    assert!(status.success());
    assert!(peak > 1000 && peak < MOST_KIB, "{peak} KiB");
    assert_eq!(content.missing(&target.admin(), ""), [""; 0]);
}

/// In KiB; `None` when it has ended.
fn peak_memory(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[test]
fn mistakes_are_told_before_anything_is_copied() {
    let target = start();
    for (arguments, word) in [
        (&["http://registry.example.com"][..], "plain http"),
        (&["https://10.0.0.1"], "private network"),
        (
            &["https://169.254.169.254", "--allow-private"],
            "which no request goes to",
        ),
        (&["registry.example.com"], "is no URL"),
        (
            &["https://registry.example.com/v2/a"],
            "is not the URL of a registry",
        ),
        (&["file:/nonexistent"], "docker/registry/v2"),
        (
            &["http://127.0.0.1:1", "--user", "somebody"],
            "LAZULI_IMPORT_PASSWORD",
        ),
    ] {
        let outcome = run(&mut command(&target, arguments));
        assert_eq!(outcome.code, 1, "{arguments:?}");
        assert!(outcome.errors.contains(word), "{}", outcome.errors);
    }
}
