//! Futures dropped at every point: as when a client goes away.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use lazuli_blobs::suite::pull;

use crate::client::{Session, WAYS, collect, node};
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

#[tokio::test]
async fn a_request_dropped_anywhere_gives_back_its_memory_and_its_upload() {
    for way in WAYS {
        let objects = Arc::new(Objects::default());
        let store = node(&objects);
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
        // Sixteen parts of memory would be gone long since.
        let mut last = Session::new(WAYS[1], 6);
        let location = last.push(&store, WAYS[1]).await.unwrap();
        let read = pull(&store, &location, last.bytes.len()).await.unwrap();
        assert!(read == last.bytes);
        collect(&store, &[]).await;
        let left = objects.inventory().await;
        let is_multipart = |name: &String| name.starts_with("multipart");
        assert!(left.iter().all(is_multipart), "{way:?}: {left:?}");
    }
}
