//! Futures dropped at every point: as when a client goes away.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use lazuli_blobs::Error;
use lazuli_blobs::suite::{Store, content, new_upload, pull, writer};
use lazuli_wire::oci::Algorithm;

use crate::client::{Session, Way, collect, node_with_parts};
use crate::objects::Objects;

/// Polls it so often, then drops it. Whether it came to its end.
async fn polled<F: Future>(times: u32, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = times;
    std::future::poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

/// So large that memory is asked for.
const PART: usize = 320 << 10;

const WAYS: [Way; 4] = {
    const fn way(chunks: &'static [usize], last: usize, algorithm: Algorithm) -> Way {
        Way {
            chunks,
            last,
            algorithm,
        }
    }
    [
        way(&[], 1_200_000, Algorithm::Sha256),
        way(&[300_000, 900_000], 10, Algorithm::Sha256),
        way(&[700_000, 10], 700_000, Algorithm::Sha256),
        way(&[700_000], 10_000, Algorithm::Sha512),
    ]
};

#[tokio::test]
async fn a_request_dropped_anywhere_gives_back_its_memory_and_its_upload() {
    let objects = Arc::new(Objects::default());
    let store = node_with_parts(&objects, PART);
    for way in WAYS {
        for times in 0.. {
            let mut session = Session::new(way, 5);
            let outcome = polled(times, session.push(&store, way)).await;
            if let Some(pushed) = outcome {
                pushed.unwrap();
                break;
            }
            // Whoever comes next is not told that it is in use, and what was acknowledged is there.
            let mut rest = session.clone();
            let continued = rest.finish_from_here(&store, way).await;
            if let Ok(location) = continued {
                let read = pull(&store, &location, rest.bytes.len()).await.unwrap();
                assert!(read == rest.bytes, "{way:?} dropped after {times} polls");
            }
        }
    }
    has_all_its_memory(&store).await;
    collect(&store, &[]).await;
    let left = objects.inventory().await;
    let is_multipart = |name: &String| name.starts_with("multipart");
    assert!(left.iter().all(is_multipart), "{left:?}");
}

/// Sixteen uploads take a part of memory each, and no seventeenth.
async fn has_all_its_memory(store: &Store) {
    let bytes = content(PART - 1, 1);
    let mut writers = Vec::new();
    for number in 0..17 {
        let mut writer = writer(store, new_upload(), &[]).await;
        let outcome = writer.write(bytes.clone()).await;
        if number == 16 {
            assert!(matches!(outcome, Err(Error::Overloaded)), "{outcome:?}");
        } else {
            outcome.unwrap();
        }
        writers.push(writer);
    }
}
