//! Many writers to one upload session.

use std::sync::Barrier;

use crate::support::{Target, bytes, send, sha256, start_upload, with_query};

const WRITERS: u64 = 8;
const CHUNK: usize = 50_000;

#[test]
fn of_many_writers_of_one_chunk_exactly_one_wins_and_the_content_is_theirs() {
    let target = Target::start();
    let admin = target.admin();
    let upload = start_upload(&admin, "sessions/app");
    let mut content = Vec::new();
    for round in 0..12 {
        let range = format!("{}-{}", content.len(), content.len() + CHUNK - 1);
        let barrier = Barrier::new(WRITERS as usize);
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    let (range, barrier, upload, admin) = (&range, &barrier, &upload, &admin);
                    scope.spawn(move || {
                        let chunk = bytes(1000 * round + writer, CHUNK);
                        barrier.wait();
                        let response =
                            send(admin, "PATCH", upload, &[("Content-Range", range)], &chunk);
                        (response.status, chunk)
                    })
                })
                .collect();
            writers
                .into_iter()
                .map(|writer| writer.join().unwrap())
                .collect()
        });
        let mut winners = outcomes.iter().filter(|(status, _)| *status == 202);
        content.extend_from_slice(&winners.next().expect("somebody wins").1);
        assert_eq!(
            winners.next().map(|_| ()),
            None,
            "round {round}: two writers of one chunk"
        );
        let losers: Vec<_> = outcomes
            .iter()
            .map(|(status, _)| *status)
            .filter(|status| *status != 202)
            .collect();
        assert!(
            losers
                .iter()
                .all(|status| matches!(status, 409 | 416 | 429)),
            "{losers:?}"
        );
        let status = send(&admin, "GET", &upload, &[], &[]);
        assert_eq!(
            status.header("range").unwrap(),
            format!("0-{}", content.len() - 1)
        );
    }
    let digest = sha256(&content);
    let finish = with_query(&upload, &format!("digest={digest}"));
    assert_eq!(send(&admin, "PUT", &finish, &[], &[]).status, 201);
    let blob = send(
        &admin,
        "GET",
        &format!("/v2/sessions/app/blobs/{digest}"),
        &[],
        &[],
    );
    assert!(
        blob.body == content,
        "the blob is not what the winners wrote"
    );
}

#[test]
fn streams_to_one_session_are_never_interleaved() {
    const LENGTH: usize = 200_000;
    let target = Target::start();
    let admin = target.admin();
    let upload = start_upload(&admin, "sessions/streams");
    let parts: Vec<Vec<u8>> = (0..WRITERS)
        .map(|writer| bytes(writer + 40, LENGTH))
        .collect();
    // Without a range, each is one more piece at the end; the answer tells where that was.
    let write = |part: &[u8]| {
        let chunked = [("Transfer-Encoding", "chunked")];
        let response = send(&admin, "PATCH", &upload, &chunked, part);
        assert!(matches!(response.status, 202 | 409 | 429), "{response:?}");
        (response.status == 202).then(|| response.header("range").unwrap().to_owned())
    };
    let mut taken: Vec<(String, &[u8])> = std::thread::scope(|scope| {
        let write = &write;
        let writers: Vec<_> = parts
            .iter()
            .map(|part| (scope.spawn(move || write(part)), part))
            .collect();
        let outcomes = writers
            .into_iter()
            .map(|(writer, part)| (writer.join().unwrap(), part));
        outcomes
            .filter_map(|(range, part)| Some((range?, part.as_slice())))
            .collect()
    });
    taken.sort_by_key(|(range, _)| range["0-".len()..].parse::<usize>().unwrap());
    for (index, (range, _)) in taken.iter().enumerate() {
        assert_eq!(*range, format!("0-{}", (index + 1) * LENGTH - 1));
    }
    let content: Vec<u8> = taken
        .iter()
        .flat_map(|(_, part)| part.iter().copied())
        .collect();
    assert!(!content.is_empty(), "nobody wins");
    let finish = with_query(&upload, &format!("digest={}", sha256(&content)));
    assert_eq!(send(&admin, "PUT", &finish, &[], &[]).status, 201);
}

#[test]
fn of_many_that_finish_one_session_none_makes_a_wrong_blob() {
    let target = Target::start();
    let admin = target.admin();
    for round in 0..6 {
        let upload = start_upload(&admin, "sessions/finish");
        let barrier = Barrier::new(WRITERS as usize);
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    let (barrier, upload, admin) = (&barrier, &upload, &admin);
                    scope.spawn(move || {
                        let content = bytes(100 * round + writer, 30_000);
                        let path = with_query(upload, &format!("digest={}", sha256(&content)));
                        barrier.wait();
                        (send(admin, "PUT", &path, &[], &content).status, content)
                    })
                })
                .collect();
            writers
                .into_iter()
                .map(|writer| writer.join().unwrap())
                .collect()
        });
        assert_eq!(
            outcomes.iter().filter(|(status, _)| *status == 201).count(),
            1,
            "round {round}"
        );
        for (status, content) in &outcomes {
            let path = format!("/v2/sessions/finish/blobs/{}", sha256(content));
            let blob = send(&admin, "GET", &path, &[], &[]);
            if *status == 201 {
                assert!(
                    blob.body == *content,
                    "round {round}: another writer's bytes"
                );
            } else {
                assert!(matches!(status, 400 | 404 | 409 | 416 | 429), "{status}");
                assert_eq!(blob.status, 404);
            }
        }
    }
}

#[test]
fn writers_and_a_cancel_of_one_session_leave_nothing_behind() {
    let target = Target::start();
    let admin = target.admin();
    let content = bytes(6, 100_000);
    for _ in 0..6 {
        let upload = start_upload(&admin, "sessions/cancel");
        let statuses: Vec<_> = std::thread::scope(|scope| {
            let patch = scope.spawn(|| send(&admin, "PATCH", &upload, &[], &content).status);
            let cancel = scope.spawn(|| send(&admin, "DELETE", &upload, &[], &[]).status);
            [patch.join().unwrap(), cancel.join().unwrap()].into()
        });
        assert!(matches!(statuses[0], 202 | 404 | 409), "{statuses:?}");
        assert!(matches!(statuses[1], 204 | 404 | 409), "{statuses:?}");
        if statuses[1] != 204 {
            let again = send(&admin, "DELETE", &upload, &[], &[]).status;
            assert!(matches!(again, 204 | 404), "{again}");
        }
    }
}
