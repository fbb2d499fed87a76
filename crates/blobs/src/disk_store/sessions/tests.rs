#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{self, IoSlice};

use super::*;

struct NoFile;

impl DiskFile for NoFile {
    fn write_at(&self, _: &[IoSlice<'_>], _: u64) -> io::Result<usize> {
        Ok(0)
    }
    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
        Ok(0)
    }
    fn set_length(&self, _: u64) -> io::Result<()> {
        Ok(())
    }
    fn length(&self) -> io::Result<u64> {
        Ok(0)
    }
    fn write_back(&self, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }
    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}

fn upload(number: u8) -> UploadId {
    UploadId::from_bytes([number; 16])
}

fn file() -> Arc<dyn DiskFile> {
    Arc::new(NoFile)
}

fn claim(sessions: &Arc<Sessions>, number: u8) -> Claim {
    sessions.try_claim(upload(number)).unwrap().unwrap()
}

#[test]
fn nothing_is_kept_of_uploads_without_a_file() {
    let sessions = Sessions::new(10);
    for number in 0..100 {
        drop(claim(&sessions, number));
    }
    assert_eq!(sessions.counts(), (0, 0));
}

#[test]
fn files_that_became_blobs_or_were_aborted_are_forgotten() {
    let sessions = Sessions::new(10);
    for number in 0..3 {
        claim(&sessions, number).keep(&file()).unwrap();
    }
    assert_eq!(sessions.counts(), (3, 3));
    claim(&sessions, 0).forget_file();
    drop(sessions.abort(upload(1)));
    assert_eq!(sessions.counts(), (1, 1));
    // A holder that is cut off cannot leave its file behind.
    let holder = claim(&sessions, 2);
    assert!(sessions.abort(upload(2)).is_none());
    assert!(matches!(holder.keep(&file()), Err(Error::NotFound)));
    assert!(matches!(holder.check(), Err(Error::NotFound)));
    drop(holder);
    assert_eq!(sessions.counts(), (0, 0));
}

#[test]
fn the_longest_unused_file_is_closed_first() {
    let sessions = Sessions::new(2);
    for number in [3, 1, 2, 1] {
        claim(&sessions, number).keep(&file()).unwrap();
    }
    let surplus = sessions.surplus().unwrap();
    assert_eq!(surplus.upload(), upload(3));
    assert!(sessions.surplus().is_none());
    surplus.forget_file();
    drop(surplus);
    assert_eq!(sessions.counts(), (2, 2));
}

#[tokio::test]
async fn work_nobody_waits_for_is_waited_for() {
    let sessions = Sessions::new(2);
    let holder = claim(&sessions, 1);
    let watch = holder.watch();
    assert!(matches!(sessions.try_claim(upload(1)), Err(Error::Busy)));
    drop(watch);
    let waiting = sessions.claim(upload(1));
    tokio::pin!(waiting);
    let early = tokio::time::timeout(std::time::Duration::from_millis(20), &mut waiting).await;
    assert!(early.is_err());
    drop(holder);
    let next = waiting.await.unwrap();
    // The watch of an earlier claim has no say in the next.
    assert!(matches!(sessions.try_claim(upload(1)), Err(Error::Busy)));
    drop(next);
    assert_eq!(sessions.counts(), (0, 0));
}

#[test]
fn a_lost_upload_is_refused_until_it_is_aborted() {
    let sessions = Sessions::new(2);
    let holder = claim(&sessions, 1);
    holder.keep(&file()).unwrap();
    assert!(holder.poison());
    assert!(!holder.poison());
    drop(holder);
    assert!(sessions.is_poisoned(upload(1)));
    let refused = sessions.try_claim(upload(1));
    assert!(matches!(refused, Err(Error::Poisoned)));
    drop(sessions.abort(upload(1)));
    assert_eq!(sessions.counts(), (0, 0));
    drop(claim(&sessions, 1));
}
