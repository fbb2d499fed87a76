//! Full and failing disks, end to end: pushes are refused with clear errors, pulls go on, nothing acknowledged is lost, and
//! when there is space again pushes work again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(
    clippy::disallowed_methods,
    reason = "a test waits in real time for a real process"
)]

mod book;
mod small_disk;

use std::time::{Duration, Instant};

use book::{Book, is_out_of_space, is_read_only};
use lazuli_testkit::server::Server;
use small_disk::{Kind, SmallDisk};

const MIB: usize = 1 << 20;

/// A server with its data on the disk, which keeps so much space free.
fn start(disk: &SmallDisk, reserve: &str) -> Server {
    let mut server = Server::new(
        env!("CARGO_BIN_EXE_lazuli"),
        &disk.folder,
        &[
            ("LAZULI_STORAGE_RESERVED_FREE_SPACE", reserve),
            ("LAZULI_LEASES_DURATION", "2s"),
            ("LAZULI_GC_INTERVAL", "1s"),
            ("LAZULI_LOG_ACCESS", "false"),
            ("LAZULI_LOG_LEVEL", "warn"),
        ],
    );
    server.restart();
    server
}

fn restart(server: &mut Server) {
    server.kill();
    if let Err(problem) = server.try_restart("/healthz") {
        panic!("{problem}");
    }
}

fn fsck(server: &mut Server) {
    server.stop();
    let output = server.command(&["fsck", "--verify"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    println!("{text}");
}

/// Tries until it works.
fn soon(what: &str, mut attempt: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !attempt() {
        assert!(Instant::now() < deadline, "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn uploads_stop_at_the_reserve_and_everything_else_goes_on() {
    let name = "uploads_stop_at_the_reserve_and_everything_else_goes_on";
    small_disk::on(Kind::Any, 64, name, |disk| {
        let mut server = start(disk, "8MiB");
        let mut book = Book::new(&server);
        book.push("first", MIB).unwrap();
        let session = book.begin_session(4 * MIB);

        let (count, refusal) = book.push_until_refused("fill", 2 * MIB);
        println!("{count} images of 2 MiB; {} bytes are free", disk.free());
        is_out_of_space(&refusal);
        assert!(disk.free() < 11 << 20, "refused while there was space");
        assert!(disk.free() > 5 << 20, "the reserve was used up");
        is_out_of_space(&book.finish_session(&session).unwrap_err());

        // What needs little space has the reserve.
        book.verify();
        book.verify_session(&session);
        book.tag_again("first", "second").unwrap();
        book.delete_tag("first").unwrap();
        assert!(server.is_running());

        server.kill();
        server.restart();
        book.verify();
        book.verify_session(&session);
        is_out_of_space(&book.push("more", 2 * MIB).unwrap_err());

        for number in 0..count / 2 {
            book.delete_image(&format!("fill{number}")).unwrap();
        }
        soon("a push after garbage was collected", || {
            book.push("after", 4 * MIB).is_ok()
        });
        book.finish_session(&session).unwrap();
        book.verify();
        assert!(book.len() > count / 2);
        fsck(&mut server);
    });
}

#[test]
fn a_disk_without_a_free_byte_loses_nothing() {
    let name = "a_disk_without_a_free_byte_loses_nothing";
    small_disk::on(Kind::Any, 64, name, |disk| {
        let mut server = start(disk, "0");
        let mut book = Book::new(&server);
        for number in 0..5 {
            book.push(&format!("before{number}"), MIB).unwrap();
        }
        let session = book.begin_session(2 * MIB);
        disk.fill();

        is_out_of_space(&book.push("large", MIB).unwrap_err());
        // Small ones find a place in the database for a while.
        let (count, refusal) = book.push_until_refused("small", 1000);
        println!("{count} small images after the disk was full");
        is_out_of_space(&refusal);
        is_out_of_space(&book.tag_again("before0", "new").unwrap_err());
        book.verify();
        book.verify_session(&session);
        if let Err(refusal) = book.delete_tag("before4") {
            is_out_of_space(&refusal);
        }
        assert!(server.is_running());

        restart(&mut server);
        book.verify();
        book.verify_session(&session);

        disk.empty();
        // No restart is needed.
        soon("a push after space was freed", || {
            book.push("after", MIB).is_ok()
        });
        book.delete_tag("before0").unwrap();
        book.finish_session(&session).unwrap();
        book.verify();
        assert!(server.is_running());
        fsck(&mut server);
    });
}

#[test]
fn a_failing_disk_turns_the_registry_read_only_until_it_is_mended() {
    let name = "a_failing_disk_turns_the_registry_read_only_until_it_is_mended";
    small_disk::on(Kind::Ext4, 64, name, |disk| {
        let mut server = start(disk, "0");
        let mut book = Book::new(&server);
        for number in 0..5 {
            book.push(&format!("before{number}"), MIB).unwrap();
        }
        disk.fail();
        is_read_only(&book.push("large", MIB).unwrap_err());
        is_read_only(&book.push("small", 1000).unwrap_err());
        is_read_only(&book.tag_again("before0", "new").unwrap_err());
        is_read_only(&book.delete_tag("before0").unwrap_err());
        book.verify();
        assert!(server.is_running());
        assert_eq!(server.anonymous().get("/healthz").status, 200);
        assert_eq!(server.anonymous().get("/readyz").status, 503);

        server.kill();
        disk.unmount_and_check().unwrap();
        disk.mount().unwrap();
        server.restart();
        book.verify();
        book.push("after", MIB).unwrap();
        fsck(&mut server);
    });
}
