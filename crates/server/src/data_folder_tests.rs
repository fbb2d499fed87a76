//! First and second starts, locks, keys, permissions.

#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn the_first_start_makes_a_folder_and_a_key_for_the_owner_only() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("new/data");
    let (folder, held) = DataFolder::hold(&path).unwrap();
    let key = folder.master_key_or_new(&held).unwrap();
    assert_eq!(
        (mode(&path), mode(&path.join("master.key"))),
        (0o700, 0o600)
    );
    assert_ne!(key, [0; 32]);
    assert_eq!(folder.permissions_for_others(), None);
    assert_eq!(
        std::fs::read_dir(&path).unwrap().count(),
        2,
        "lock and key, nothing temporary"
    );
}

#[test]
fn the_second_start_reads_the_same_key() {
    let parent = tempfile::tempdir().unwrap();
    let (folder, held) = DataFolder::hold(parent.path()).unwrap();
    let key = folder.master_key_or_new(&held).unwrap();
    drop(held);
    let (folder, held) = DataFolder::hold(parent.path()).unwrap();
    assert_eq!(folder.master_key_or_new(&held).unwrap(), key);
    assert_eq!(
        DataFolder::existing(parent.path())
            .unwrap()
            .master_key()
            .unwrap(),
        key
    );
}

#[test]
fn a_second_server_is_refused_with_the_first_ones_process() {
    let parent = tempfile::tempdir().unwrap();
    let (_, held) = DataFolder::hold(parent.path()).unwrap();
    let refused = DataFolder::hold(parent.path()).unwrap_err();
    let message = refused.to_string();
    assert!(
        message.contains(&format!("(process {})", std::process::id())),
        "{message}"
    );
    assert!(
        message.contains(parent.path().to_str().unwrap()) && message.contains("--data-dir"),
        "{message}"
    );
    drop(held);
    assert!(DataFolder::hold(parent.path()).is_ok());
}

#[test]
fn a_command_notices_a_server_and_refuses_one_of_another_version() {
    let parent = tempfile::tempdir().unwrap();
    let (folder, held) = DataFolder::hold(parent.path()).unwrap();
    let process = std::process::id().to_string();
    assert_eq!(folder.check_running_server().unwrap(), Some(process));
    std::fs::write(folder.lock_path(), "77 0.0.1\n").unwrap();
    let error = folder.check_running_server().unwrap_err();
    assert!(
        matches!(&error, FolderError::OtherVersion { version, .. } if version == "0.0.1"),
        "{error}"
    );
    drop(held);
    assert_eq!(folder.check_running_server().unwrap(), None);
}

#[test]
fn a_lost_key_is_not_replaced_beside_a_database() {
    let parent = tempfile::tempdir().unwrap();
    let (folder, held) = DataFolder::hold(parent.path()).unwrap();
    std::fs::write(folder.database(), b"rows").unwrap();
    assert!(matches!(
        folder.master_key_or_new(&held),
        Err(FolderError::KeyMissing(_))
    ));
    assert!(!parent.path().join("master.key").try_exists().unwrap());
}

#[test]
fn a_damaged_key_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let (folder, held) = DataFolder::hold(parent.path()).unwrap();
    for content in [&b""[..], &[7; 31], &[7; 33]] {
        std::fs::write(parent.path().join("master.key"), content).unwrap();
        let error = folder.master_key_or_new(&held).unwrap_err();
        assert!(
            matches!(error, FolderError::KeyMalformed { length, .. } if length == content.len()),
            "{error}"
        );
    }
}

#[test]
fn a_crash_before_the_rename_leaves_no_half_key() {
    let parent = tempfile::tempdir().unwrap();
    let (folder, held) = DataFolder::hold(parent.path()).unwrap();
    std::fs::write(parent.path().join("master.key.new"), b"half").unwrap();
    folder.master_key_or_new(&held).unwrap();
    assert!(!parent.path().join("master.key.new").try_exists().unwrap());
}

#[test]
fn a_command_beside_a_server_needs_a_folder_that_was_served() {
    let parent = tempfile::tempdir().unwrap();
    let error = DataFolder::existing(&parent.path().join("none")).unwrap_err();
    assert!(matches!(error, FolderError::Missing(_)), "{error}");
}

#[test]
fn a_folder_that_others_can_read_is_noticed() {
    let parent = tempfile::tempdir().unwrap();
    let (folder, _held) = DataFolder::hold(parent.path()).unwrap();
    std::fs::set_permissions(parent.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(folder.permissions_for_others(), Some(0o755));
}
