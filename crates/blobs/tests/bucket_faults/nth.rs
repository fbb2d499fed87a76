//! The n-th call fails, for every n.

use std::sync::Arc;

use lazuli_blobs::suite::{list_blobs, list_uploads, pull};
use lazuli_blobs::{Error, Location};

use crate::client::{Session, WAYS, Way, collect, node, objects_of};
use crate::objects::{Objects, When};

/// Requests that fail are sent again, to another node. How often the client had to begin anew.
async fn push_stubbornly(
    objects: &Arc<Objects>,
    session: &mut Session,
    way: Way,
) -> (Location, u32) {
    let mut restarts = 0;
    'anew: loop {
        assert!(restarts < 3, "{way:?}");
        let mut attempt = session.clone();
        let mut tries = 0;
        let mut chunks = way.chunks.iter();
        let mut chunk = chunks.next();
        loop {
            tries += 1;
            assert!(tries < 20, "{way:?}");
            let outcome = match chunk {
                Some(length) => attempt.append(&node(objects), *length).await.map(|()| None),
                None => attempt.finish(&node(objects), way).await.map(Some),
            };
            match outcome {
                Ok(Some(location)) => {
                    *session = attempt;
                    return (location, restarts);
                }
                Ok(None) => chunk = chunks.next(),
                Err(Error::ObjectStore { .. }) => {}
                // The session is gone.
                Err(Error::NotFound | Error::Damaged { .. }) => {
                    restarts += 1;
                    *session = Session::new(way, 7);
                    continue 'anew;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[tokio::test]
async fn a_push_that_goes_on_after_any_failure_is_whole_and_leaves_nothing_else() {
    for way in WAYS {
        for when in [When::Before, When::After] {
            for n in 0.. {
                let objects = Arc::new(Objects::default());
                let mut session = Session::new(way, 7);
                objects.fail(n, when);
                let (location, restarts) = push_stubbornly(&objects, &mut session, way).await;
                let failed = objects.failed();
                let what = format!("{way:?}, call {n} ({failed:?}) failed {when:?}");
                let store = node(&objects);
                let read = pull(&store, &location, session.bytes.len()).await.unwrap();
                assert!(read == session.bytes, "{what}: other bytes");
                // Only a last request with a body finds its parts completed already.
                assert!(restarts == 0 || (restarts == 1 && way.last > 0), "{what}");
                collect(&store, std::slice::from_ref(&location)).await;
                let mut expected = objects_of(&location, session.upload, way);
                expected.sort();
                assert_eq!(objects.inventory().await, expected, "{what}");
                store.remove(&location).await.unwrap();
                assert_eq!(objects.inventory().await, [""; 0], "{what}");
                if failed.is_none() {
                    assert!(n > 0, "{what}");
                    break;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_push_that_is_given_up_after_any_failure_leaves_nothing() {
    for way in WAYS {
        for (when, is_cancelled) in [
            (When::Before, true),
            (When::After, true),
            (When::Before, false),
            (When::After, false),
        ] {
            for n in 0.. {
                let objects = Arc::new(Objects::default());
                let mut session = Session::new(way, 7);
                objects.fail(n, when);
                let outcome = session.push(&node(&objects), way).await;
                let failed = objects.failed();
                let what = format!("{way:?}, call {n} ({failed:?}) failed {when:?}");
                if failed.is_none() {
                    outcome.unwrap();
                    break;
                }
                let store = node(&objects);
                if is_cancelled {
                    store.abort(session.upload).await.unwrap();
                    assert_eq!(list_uploads(&store).await, [], "{what}");
                }
                // Nothing that a client was told of; what is listed may be collected.
                let known: Vec<_> = outcome.into_iter().collect();
                collect(&store, &known).await;
                for location in &known {
                    let read = pull(&store, location, session.bytes.len()).await.unwrap();
                    assert!(read == session.bytes, "{what}: other bytes");
                    store.remove(location).await.unwrap();
                }
                assert_eq!(objects.inventory().await, [""; 0], "{what}");
            }
        }
    }
}

/// Also of deletes, reads, aborts and walks: what failed can be repeated.
#[tokio::test]
async fn whatever_fails_beside_pushes_can_be_repeated() {
    for way in WAYS {
        for when in [When::Before, When::After] {
            for n in 0.. {
                let objects = Arc::new(Objects::default());
                let store = node(&objects);
                let mut session = Session::new(way, 3);
                let location = session.push(&store, way).await.unwrap();
                let mut left = Session::new(WAYS[5], 4);
                left.append(&store, 150_000).await.unwrap();
                objects.fail(n, when);
                let mut failures = 0;
                while let Err(error) = pull(&store, &location, session.bytes.len()).await {
                    assert!(matches!(error, Error::ObjectStore { .. }), "{error}");
                    failures += 1;
                }
                while store.abort(left.upload).await.is_err() {
                    failures += 1;
                }
                while store.remove(&location).await.is_err() {
                    failures += 1;
                    // Half removed: still listed, so that it is removed in the end, or gone.
                    let listed = list_blobs(&node(&objects)).await;
                    assert!(listed.iter().all(|blob| blob.location == location));
                }
                let failed = objects.failed();
                assert!(failures <= 1, "{way:?} {n} {failed:?}");
                assert_eq!(objects.inventory().await, [""; 0], "{way:?} {n} {failed:?}");
                if failed.is_none() {
                    break;
                }
            }
        }
    }
}
