//! Prints how many tags and small blobs a registry takes per second, without HTTP: `cargo run --release -p lazuli-registry
//! --example write_rate -- [FOLDER]`. The folder should be on the disk to be measured.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::time::{Duration, Instant};

use common::*;
use lazuli_registry::Registry;

const CALLERS: usize = 8;
const EACH: usize = 1000;

fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

async fn measure<F: Future<Output = ()> + Send + 'static>(what: &str, work: impl Fn(usize) -> F) {
    let (started, used) = (Instant::now(), cpu());
    let callers: Vec<_> = (0..CALLERS).map(|i| tokio::spawn(work(i))).collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let (elapsed, used) = (started.elapsed(), cpu() - used);
    let n = (CALLERS * EACH) as f64;
    println!(
        "{what}: {:.0}/s, {:.1} µs CPU each",
        n / elapsed.as_secs_f64(),
        used.as_micros() as f64 / n
    );
}

#[tokio::main]
async fn main() {
    let f = Fixture::new().await;
    let r: Registry = f.registry.clone();
    let config = push_blob(&r, "a", b"{}").await;
    let body = image(&config, 2, &[], "");
    put(&r, "a", "v", OCI, &body).await.unwrap();
    measure("tag puts", |i| {
        let (r, body) = (r.clone(), body.clone());
        async move {
            for j in 0..EACH {
                put(&r, "a", &format!("t{}", j * CALLERS + i), OCI, &body)
                    .await
                    .unwrap();
            }
        }
    })
    .await;
    measure("blobs of 50 bytes in two requests", |i| {
        let r = r.clone();
        async move {
            for j in 0..EACH {
                let bytes = format!("{:050}", j * CALLERS + i);
                let digest = lazuli_wire::oci::Digest::of(
                    lazuli_wire::oci::Algorithm::Sha256,
                    bytes.as_bytes(),
                );
                let session = r
                    .start_upload(&push("a"), lazuli_wire::oci::Algorithm::Sha256)
                    .unwrap();
                let session = r
                    .append_upload(
                        &push("a"),
                        request(&session),
                        &mut Body::of(bytes.as_bytes()),
                    )
                    .await
                    .unwrap();
                r.finish_upload(&push("a"), request(&session), &digest, &mut Body::empty())
                    .await
                    .unwrap();
            }
        }
    })
    .await;
    println!("{:?}", f.db.stats());
}
