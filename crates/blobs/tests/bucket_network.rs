//! A network that fails before real object stores, and a store that is killed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lazuli_blobs::suite::{Store, content, list_blobs, list_uploads, new_upload, pull};
use lazuli_blobs::{
    Access, Bucket, BucketOptions, BucketStore, BucketUrl, Error, Hasher, Location, Patience,
};
use lazuli_testkit::object_stores::azurite::{ACCOUNT, Azurite};
use lazuli_testkit::object_stores::rgw::Rgw;
use lazuli_testkit::proxy::{Fault, Proxy};
use lazuli_wire::oci::{Algorithm, Digest};
use tokio::time::Instant;

const PART: usize = 5 << 20;
/// What a call may take that fails: its retries and one silence, with a margin for a machine with other work.
const BOUND: Duration = Duration::from_secs(20);

/// A bucket with a network before it.
struct Away {
    proxy: Proxy,
    url: String,
    access: Access,
}

impl Away {
    fn new(target: SocketAddr, url: String, endpoint: impl Fn(SocketAddr) -> String) -> Self {
        let proxy = Proxy::start(target);
        let access = Access {
            endpoint: Some(endpoint(proxy.address())),
            patience: Patience {
                retries: Duration::from_secs(2),
                silence: Duration::from_secs(3),
            },
            ..Access::default()
        };
        Self { proxy, url, access }
    }

    fn ceph(rgw: &Rgw) -> Self {
        let name = format!("t{}", &new_upload().to_string()[..13]);
        rgw.create_bucket(&name);
        let mut away = Self::new(rgw.address(), format!("s3://{name}/folder"), |address| {
            format!("http://{address}")
        });
        away.access.access_key = Some(rgw.access_key().to_owned());
        away.access.secret_key = Some(rgw.secret_key().to_owned());
        away
    }

    fn azure(azurite: &Azurite) -> Self {
        let name = format!("t{}", &new_upload().to_string()[..13]);
        azurite.create_container(&name);
        let mut away = Self::new(azurite.address(), format!("az://{name}"), |address| {
            format!("http://{address}/{ACCOUNT}")
        });
        away.access.access_key = Some(ACCOUNT.to_owned());
        away.access.secret_key = Some(azurite.key());
        away
    }

    /// A node of its own, with connections of its own.
    fn node(&self) -> Store {
        let url = BucketUrl::parse(&self.url).unwrap();
        let bucket = Bucket::connect(&url, &self.access).unwrap();
        let options = BucketOptions {
            prefix: url.prefix,
            part_size: PART,
            memory: 0,
            patience: Duration::from_secs(5),
            ..BucketOptions::default()
        };
        Arc::new(BucketStore::new(bucket, options))
    }
}

/// Faults that strike once; a call survives most of them.
fn passing() -> Vec<Fault> {
    let answer = |status: &str| {
        format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").into_bytes()
    };
    vec![
        Fault::Answer(answer("500 Internal Server Error")),
        Fault::Answer(answer("503 Slow Down")),
        Fault::CutRequest(0),
        Fault::CutRequest(300),
        Fault::CutRequest(1 << 20),
        Fault::CutAnswer(0),
        Fault::CutAnswer(100),
        Fault::LoseAnswer,
    ]
}

/// Faults that stay.
fn lasting() -> Vec<Fault> {
    let mut faults = passing();
    faults.extend([Fault::Refuse, Fault::BlackHole]);
    faults
}

/// One upload in requests, as the registry makes them.
struct Push {
    bytes: Bytes,
    ends: Vec<usize>,
}

impl Push {
    fn new(size: usize, ends: &[usize], seed: u64) -> Self {
        Self {
            bytes: content(size, seed),
            ends: ends.to_vec(),
        }
    }

    /// Sends every request up to three times, each from another node; `between` is called before each of them.
    async fn run(&self, away: &Away, mut between: impl FnMut(usize)) -> Result<Location, Error> {
        let digest = Digest::of(Algorithm::Sha256, &self.bytes);
        let size = self.bytes.len() as u64;
        let mut last = Error::NotFound;
        'anew: for _ in 0..3 {
            let upload = new_upload();
            let (mut reached, mut hasher) = (0_u64, Hasher::new(Algorithm::Sha256));
            for (number, end) in self.ends.iter().enumerate() {
                between(number);
                let mut tries = 0;
                loop {
                    tries += 1;
                    let node = away.node();
                    let chunk = self.bytes.slice(reached as usize..*end);
                    match append(&node, upload, (reached, hasher.clone()), &chunk).await {
                        Ok((length, next)) => {
                            (reached, hasher) = (length, next);
                            break;
                        }
                        Err(error @ Error::ObjectStore { .. }) if tries < 3 => last = error,
                        Err(error @ (Error::NotFound | Error::Damaged { .. })) => {
                            last = error;
                            continue 'anew;
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
            between(self.ends.len());
            for _ in 0..3 {
                match away.node().finish(upload, "1", &digest, size).await {
                    Ok(location) => return Ok(location),
                    Err(error @ Error::ObjectStore { .. }) => last = error,
                    Err(error) => return Err(error),
                }
            }
        }
        Err(last)
    }
}

async fn append(
    node: &Store,
    upload: lazuli_wire::oci::UploadId,
    (reached, hasher): (u64, Hasher),
    chunk: &Bytes,
) -> Result<(u64, Hasher), Error> {
    let mut writer = node.writer(upload, reached, hasher).await?;
    for piece in chunk.chunks(200_000) {
        writer.write(chunk.slice_ref(piece)).await?;
    }
    writer.finish().await
}

/// Each fault strikes once, before each request of a push: it is whole afterwards.
async fn passing_faults_lose_nothing(away: &Away) {
    for (size, ends) in [
        (40_000, &[10_000, 40_000][..]),
        (12 << 20, &[7 << 20, 12 << 20][..]),
    ] {
        for fault in passing() {
            for struck in 0..=ends.len() {
                let push = Push::new(size, ends, 5);
                let location = push
                    .run(away, |request| {
                        if request == struck {
                            away.proxy.set_times(1, fault.clone());
                        }
                    })
                    .await;
                away.proxy.set(Fault::None);
                let location = location.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
                // The same fault while it is read and removed.
                let node = away.node();
                away.proxy.set_times(1, fault.clone());
                let read = read_stubbornly(&node, &location, size).await;
                assert!(read == push.bytes, "{fault:?}: other bytes");
                away.proxy.set_times(1, fault.clone());
                while node.remove(&location).await.is_err() {}
                away.proxy.set(Fault::None);
            }
        }
    }
    let node = away.node();
    for upload in list_uploads(&node).await {
        node.abort(upload.upload).await.unwrap();
    }
    for blob in list_blobs(&node).await {
        node.remove(&blob.location).await.unwrap();
    }
    assert_eq!(list_uploads(&node).await, []);
    assert_eq!(list_blobs(&node).await, []);
    assert!(away.proxy.struck() > 40, "{}", away.proxy.struck());
}

async fn read_stubbornly(node: &Store, location: &Location, size: usize) -> Vec<u8> {
    for _ in 0..3 {
        match pull(node, location, size).await {
            Ok(bytes) => return bytes,
            Err(Error::ObjectStore { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("it is not read");
}

/// While the store is away, every call fails within its time and says why; afterwards everything goes on, with all its memory.
async fn a_store_that_is_away_is_told_in_time(away: &Away) {
    let node = away.node();
    let push = Push::new(12 << 20, &[11 << 20, 12 << 20], 9);
    let kept = push.run(away, |_| {}).await.unwrap();
    let size = push.bytes.len();
    for fault in lasting() {
        let upload = new_upload();
        let chunk = push.bytes.slice(..11 << 20);
        let fresh = || (0, Hasher::new(Algorithm::Sha256));
        let (reached, hasher) = append(&node, upload, fresh(), &chunk).await.unwrap();
        let rest = push.bytes.slice(reached as usize..);
        away.proxy.set(fault.clone());
        let digest = Digest::of(Algorithm::Sha256, &chunk);
        let nowhere = Location::new("1", &digest, new_upload()).unwrap();
        let started = Instant::now();
        let outcomes = tokio::join!(
            append(&node, new_upload(), fresh(), &chunk),
            append(&node, upload, (reached, hasher.clone()), &rest),
            node.finish(new_upload(), "1", &digest, reached),
            pull(&node, &kept, size),
            node.remove(&nowhere),
            node.abort(new_upload()),
            node.upload_len(upload),
        );
        let took = started.elapsed();
        away.proxy.set(Fault::None);
        let failures = [
            outcomes.0.err(),
            outcomes.1.err(),
            outcomes.2.err(),
            outcomes.3.err(),
            outcomes.4.err(),
            outcomes.5.err(),
            outcomes.6.err(),
        ];
        // These let short requests through, or short answers.
        let is_partial = matches!(fault, Fault::CutRequest(1..) | Fault::CutAnswer(1..));
        for (call, failure) in failures.into_iter().enumerate() {
            let is_told = matches!(failure, Some(Error::ObjectStore { .. }));
            let is_answer = matches!(failure, None | Some(Error::NotFound));
            let is_right = is_told || (is_partial && is_answer);
            assert!(is_right, "{fault:?}, call {call}: {failure:?}");
        }
        assert!(took < BOUND, "{fault:?} took {took:?}");
        // Sixteen parts of memory: none may be missing.
        for _ in 0..3 {
            let again = new_upload();
            append(&node, again, fresh(), &chunk).await.unwrap();
            node.abort(again).await.unwrap();
        }
        let read = pull(&node, &kept, size).await.unwrap();
        assert!(read == push.bytes, "{fault:?}");
        // What was acknowledged before goes on, here or elsewhere.
        let (length, hasher) = append(&away.node(), upload, (reached, hasher), &rest)
            .await
            .unwrap();
        let digest = hasher.finish();
        let finished = node.finish(upload, "1", &digest, length).await.unwrap();
        let read = pull(&node, &finished, size).await.unwrap();
        assert!(read == push.bytes, "{fault:?}");
        node.remove(&finished).await.unwrap();
    }
}

/// Cut in the middle again and again, a pull goes on as long as it gets anywhere, and breaks off otherwise.
async fn a_pull_goes_on_where_it_broke(away: &Away) {
    let node = away.node();
    let push = Push::new(12 << 20, &[12 << 20], 2);
    let location = push.run(away, |_| {}).await.unwrap();
    let size = push.bytes.len();
    let opened = node.open(&location, size as u64).await.unwrap();
    away.proxy.cut();
    let before = away.proxy.struck();
    away.proxy.set_times(5, Fault::CutAnswer(2 << 20));
    let read = lazuli_blobs::suite::read(&opened, size).await.unwrap();
    away.proxy.set(Fault::None);
    assert!(read == push.bytes);
    assert_eq!(away.proxy.struck() - before, 5);
    away.proxy.cut();
    away.proxy.set(Fault::CutAnswer(100));
    let started = Instant::now();
    let broken = lazuli_blobs::suite::read(&opened, size).await;
    assert!(matches!(broken, Err(Error::ObjectStore { .. })));
    assert!(started.elapsed() < BOUND, "{:?}", started.elapsed());
    away.proxy.set(Fault::None);
    let read = pull(&node, &location, size).await.unwrap();
    assert!(read == push.bytes);
}

macro_rules! on_both {
    ($($rule:ident)*) => {
        mod in_ceph { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                let Some(rgw) = super::Rgw::shared() else { return };
                super::$rule(&super::Away::ceph(rgw)).await;
            }
        )* }
        mod in_azurite { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                let Some(azurite) = super::Azurite::shared() else { return };
                super::$rule(&super::Away::azure(azurite)).await;
            }
        )* }
    };
}

on_both! {
    passing_faults_lose_nothing
    a_store_that_is_away_is_told_in_time
    a_pull_goes_on_where_it_broke
}

/// The gateway is killed at random moments of pushes; what was acknowledged is there, what was not can be sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_killed_and_comes_back_loses_nothing() {
    let Some(mut rgw) = Rgw::start() else { return };
    let away = Arc::new(Away::ceph(&rgw));
    let mut acknowledged = Vec::new();
    for round in 0_u64..4 {
        let pushes: Vec<_> = (0..3)
            .map(|number| {
                let away = away.clone();
                tokio::spawn(async move {
                    let size = [100_000, 6 << 20, 11 << 20][number as usize];
                    let push = Push::new(size, &[size / 2, size], round * 10 + number);
                    let mut outcome = push.run(&away, |_| {}).await;
                    for _ in 0..10 {
                        if outcome.is_ok() {
                            break;
                        }
                        tokio::time::sleep(Duration::from_millis(500)).await;
                        outcome = push.run(&away, |_| {}).await;
                    }
                    (push.bytes, outcome)
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(40 + 130 * round)).await;
        let restarting = tokio::task::spawn_blocking(move || {
            rgw.restart();
            rgw
        });
        rgw = restarting.await.unwrap();
        for push in pushes {
            let (bytes, outcome) = push.await.unwrap();
            acknowledged.push((bytes, outcome.unwrap()));
        }
    }
    let node = away.node();
    for (bytes, location) in &acknowledged {
        assert!(pull(&node, location, bytes.len()).await.unwrap() == *bytes);
    }
}
