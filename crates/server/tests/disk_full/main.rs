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
    // The log is no part of the test: it is written to another disk.
    let log = disk.folder.with_file_name("log");
    std::os::unix::fs::symlink(log, disk.folder.join("log")).unwrap();
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

/// Nothing is damaged, and refused pushes left nothing behind.
fn fsck(server: &mut Server) {
    server.stop();
    let output = server.command(&["fsck", "--verify"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    assert!(text.contains("0 errors, 0 warnings, 0 notes"), "{text}");
    let uploads: Vec<_> = std::fs::read_dir(server.data().join("uploads"))
        .unwrap()
        .flatten()
        .collect();
    assert!(uploads.is_empty(), "{uploads:?}");
    println!("{text}");
}

/// Tries until it works.
fn soon(what: &str, mut attempt: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
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
        let mut book = Book::new(&server, "full/disk");
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
        soon("the rest of the session", || {
            book.finish_session(&session).is_ok()
        });
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
        let mut book = Book::new(&server, "full/disk");
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
        // A small change may still fit into the log, which has its length from the start; the book knows which.
        for outcome in [book.tag_again("before0", "new"), book.delete_tag("before4")] {
            if let Err(refusal) = outcome {
                is_out_of_space(&refusal);
            }
        }
        book.verify();
        book.verify_session(&session);
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

/// As `docker push` sends a layer: without saying how long it is.
#[test]
fn a_stream_that_meets_the_end_of_the_disk_leaves_the_space_to_others() {
    let name = "a_stream_that_meets_the_end_of_the_disk_leaves_the_space_to_others";
    small_disk::on(Kind::Any, 64, name, |disk| {
        let mut server = start(disk, "4MiB");
        let mut book = Book::new(&server, "full/disk");
        book.push("before", MIB).unwrap();
        let free = disk.free();
        for _ in 0..3 {
            let refusal = book.stream(100 * MIB);
            is_out_of_space(&refusal);
            // At once, not when somebody tidies up.
            book.push("meanwhile", MIB).unwrap();
        }
        soon("the space of the streams is back", || {
            disk.free() + 16 * MIB as u64 > free
        });
        book.verify();
        fsck(&mut server);
    });
}

#[test]
fn pushes_that_meet_the_end_of_the_disk_are_whole_or_refused() {
    let name = "pushes_that_meet_the_end_of_the_disk_are_whole_or_refused";
    small_disk::on(Kind::Any, 48, name, |disk| {
        let mut server = start(disk, "0");
        let mut books: Vec<Book> = (0..4)
            .map(|number| Book::new(&server, &format!("full/disk{number}")))
            .collect();
        // They go on after refusals: what is too large for one may be small enough for the next.
        std::thread::scope(|scope| {
            for book in &mut books {
                scope.spawn(|| {
                    for size in [MIB, 300_000, 100_000, 10_000, 1000] {
                        let (count, refusal) = book.push_until_refused(&format!("s{size}-"), size);
                        println!("{count} images of {size} bytes; {} are free", disk.free());
                        is_out_of_space(&refusal);
                    }
                });
            }
        });
        for book in &books {
            book.verify();
        }
        restart(&mut server);
        for book in &mut books {
            book.verify();
            is_out_of_space(&book.push("more", MIB).unwrap_err());
        }
        fsck(&mut server);
    });
}

#[test]
fn a_failing_disk_turns_the_registry_read_only_until_it_is_mended() {
    let name = "a_failing_disk_turns_the_registry_read_only_until_it_is_mended";
    small_disk::on(Kind::Ext4, 64, name, |disk| {
        let mut server = start(disk, "0");
        let mut book = Book::new(&server, "full/disk");
        for number in 0..5 {
            book.push(&format!("before{number}"), MIB).unwrap();
        }
        disk.fail();
        is_read_only(&book.push("large", MIB).unwrap_err());
        is_read_only(&book.push("small", 1000).unwrap_err());
        // The database tries a few times before it believes that its disk is broken.
        let mut attempts = 0;
        loop {
            let refusal = book.tag_again("before0", "new").unwrap_err();
            attempts += 1;
            if refusal.status != 500 {
                break is_read_only(&refusal);
            }
            assert!(attempts < 5, "{refusal:?}");
        }
        is_read_only(&book.delete_tag("before0").unwrap_err());
        book.verify();
        assert!(server.is_running());
        assert_eq!(server.anonymous().get("/healthz").status, 200);
        soon("not ready", || {
            server.anonymous().get("/readyz").status == 503
        });

        server.kill();
        disk.unmount_and_check().unwrap();
        disk.mount().unwrap();
        server.restart();
        book.verify();
        book.push("after", MIB).unwrap();
        fsck(&mut server);
    });
}
