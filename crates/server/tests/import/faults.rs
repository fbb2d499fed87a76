//! Imports that are killed, sources that break or have holes.

use std::process::Stdio;
use std::time::{Duration, Instant};

use lazuli_testkit::proxy::{Fault, Proxy};

use crate::content::Content;
use crate::distribution::{Distribution, with_password};
use crate::support::{command, run, start};

#[test]
fn an_import_that_is_killed_goes_on() {
    let Some(source) = Distribution::start() else {
        return;
    };
    let content = Content::push(source.client(), false);
    let all = content.missing(&start().admin(), "").len();
    let target = start();
    let proxy = Proxy::start(source.address);
    proxy.set(Fault::Delay(Duration::from_millis(20)));
    let url = format!("http://{}", proxy.address());
    for part in 1..=3 {
        let mut child = with_password(&mut command(&target, &[&url]))
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_mins(1);
        while content.missing(&target.admin(), "").len() > all - all * part / 5 {
            assert!(Instant::now() < deadline);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // No tag without what it needs.
        let missing = content.missing(&target.admin(), "");
        for tag in ["v1", "v2", "multi"] {
            let digest = content.digest("team/app", tag).to_string();
            let is_missing = |what: &str| missing.iter().any(|m| *m == format!("team/app {what}"));
            assert!(is_missing(tag) || !is_missing(&digest), "{missing:?}");
        }
    }
    proxy.set(Fault::None);
    let outcome = run(with_password(&mut command(&target, &[&url])));
    assert_eq!(outcome.code, 0);
    assert!(outcome.counts("there already:").iter().sum::<u64>() >= 5);
    assert_eq!(content.missing(&target.admin(), ""), [""; 0]);
}

#[test]
fn connections_that_break_are_mended() {
    let Some(source) = Distribution::start() else {
        return;
    };
    let mut content = Content::push(source.client(), false);
    let large: Vec<u8> = (0..6_000_000_u32).map(|n| (n * 7 % 255) as u8).collect();
    content.large("large", &large);
    let target = start();
    let proxy = Proxy::start(source.address);
    let url = format!("http://{}", proxy.address());
    // Each connection gives two million bytes and breaks.
    proxy.set(Fault::CutAnswer(2_000_000));
    let outcome = run(with_password(&mut command(&target, &[&url])));
    assert_eq!(outcome.code, 0);
    assert!(proxy.struck() >= 2, "{}", proxy.struck());
    assert_eq!(content.missing(&target.admin(), ""), [""; 0]);
}

#[test]
fn a_hole_in_the_source_is_named_and_the_rest_is_copied() {
    let Some(source) = Distribution::start() else {
        return;
    };
    let content = Content::push(source.client(), false);
    let manifest = &content.manifests[&("team/app".to_owned(), "v2".to_owned())];
    let manifest: serde_json::Value = serde_json::from_slice(manifest).unwrap();
    let layer = manifest["layers"][1]["digest"].as_str().unwrap();
    let hex = layer.strip_prefix("sha256:").unwrap();
    let folder = source.tree().join("docker/registry/v2/blobs/sha256");
    let data = folder.join(&hex[..2]).join(hex).join("data");
    let mut bytes = std::fs::read(&data).unwrap();
    let tree = format!("file:{}", source.tree().display());
    for is_damaged in [true, false] {
        if is_damaged {
            bytes[70_000] ^= 1;
            std::fs::write(&data, &bytes).unwrap();
        } else {
            std::fs::remove_file(&data).unwrap();
        }
        let target = start();
        let outcome = run(&mut command(&target, &[&tree]));
        assert_eq!(outcome.code, 1);
        for word in [layer, "team/app:v2", "3 things are missing"] {
            assert!(outcome.errors.contains(word), "{word}");
        }
        let v2 = content.digest("team/app", "v2");
        let expected = [format!("team/app {v2}"), "team/app v2".to_owned()];
        let mut missing = content.missing(&target.admin(), "");
        missing.retain(|what| !what.ends_with(layer));
        // Its configuration came.
        assert_eq!(missing, expected);
    }
}

#[test]
fn a_target_that_goes_away_ends_it() {
    let Some(source) = Distribution::start() else {
        return;
    };
    let content = Content::push(source.client(), false);
    let mut target = start();
    let proxy = Proxy::start(source.address);
    proxy.set(Fault::Delay(Duration::from_millis(20)));
    let url = format!("http://{}", proxy.address());
    let child = with_password(&mut command(&target, &[&url]))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    let all = content.missing(&target.admin(), "").len();
    while content.missing(&target.admin(), "").len() == all {
        assert!(Instant::now() < deadline);
    }
    target.kill();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("given up"), "{errors}");
    assert!(errors.contains("team/app") && errors.contains("are missing"));
}
