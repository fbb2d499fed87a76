//! Measures the upload path: receive, hash, write, sync, rename.
//!
//! ```text
//! taskset -c 0 cargo run --release -p lazuli-blobs --example upload_rate -- [--tcp CORE] [--dir DIR] [--chunk KIB] …
//! ```
//!
//! Without `--tcp` the bytes come from memory, one copy each, as a socket would make it. With it they come over
//! loopback from a second process on the given core. The other options are those of `DiskOptions`. It takes 10 GiB of
//! disk until it ends.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a measuring tool: it reads the clock, and ends when anything fails"
)]

use std::io::Write;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use lazuli_blobs::{BlobStore, DiskOptions, DiskStore, Hasher};
use lazuli_wire::oci::{Algorithm, UploadId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// The most a socket is asked for at once; hyper reads up to about 400 KiB.
const RECEIVE: usize = 256 << 10;

struct Settings {
    directory: PathBuf,
    options: DiskOptions,
    sender_core: Option<String>,
    only: Option<String>,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut settings = Settings {
        directory: PathBuf::from("target/upload_rate"),
        options: DiskOptions::default(),
        sender_core: None,
        only: None,
    };
    while let Some(name) = arguments.next() {
        let value = arguments.next().unwrap();
        let number = || value.parse::<u64>().unwrap();
        let options = &mut settings.options;
        match name.as_str() {
            "--send" => return send(value.parse().unwrap()),
            "--tcp" => settings.sender_core = Some(value),
            "--dir" => settings.directory = value.into(),
            "--only" => settings.only = Some(value),
            "--chunk" => options.chunk_size = (number() * KIB) as usize,
            "--writeback" => options.writeback_interval = number() * MIB,
            "--cached" => options.cached_prefix = number() * KIB,
            "--sync" => options.sync_interval = number() * MIB,
            "--hashing" => options.concurrent_chunks = number() as usize,
            _ => panic!("unknown option {name}"),
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(measure(settings));
}

async fn measure(settings: Settings) {
    std::fs::create_dir_all(&settings.directory).unwrap();
    let _removed = Removed(settings.directory.clone());
    println!("{:?}", settings.options);
    let sender = settings.sender_core.as_deref().map(Sender::start);
    let address = sender.as_ref().map(|sender| sender.port);
    let store = DiskStore::open(&settings.directory, settings.options.clone()).unwrap();
    let steps = [
        ("1 KiB x1", KIB, 1, 2000),
        ("1 KiB x8", KIB, 8, 8000),
        ("1 MiB x1", MIB, 1, 300),
        ("1 MiB x8", MIB, 8, 1200),
        ("100 MiB x1", 100 * MIB, 1, 20),
        ("100 MiB x8", 100 * MIB, 8, 24),
        ("1 GiB x1", 1024 * MIB, 1, 3),
    ];
    let is_wanted = |name: &str| {
        settings
            .only
            .as_deref()
            .is_none_or(|only| name.starts_with(only))
    };
    for (name, size, parallel, count) in steps.into_iter().filter(|step| is_wanted(step.0)) {
        step(name, &store, address, size, parallel, count).await;
    }
    drop(sender);
}

/// A directory that goes when this does, also in a panic.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn step(
    name: &str,
    store: &DiskStore,
    address: Option<u16>,
    size: u64,
    parallel: u64,
    count: u64,
) {
    // Blobs stay to the end: some file systems are slow to reuse what was just removed.
    rustix::fs::sync();
    let next = Arc::new(AtomicU64::new(0));
    let (cpu, start) = (cpu_time(), Instant::now());
    let workers: Vec<_> = (0..parallel)
        .map(|_| {
            let (store, next) = (store.clone(), next.clone());
            tokio::spawn(async move {
                let mut source = Source::open(address).await;
                let mut done = Vec::new();
                while next.fetch_add(1, Ordering::Relaxed) < count {
                    let start = Instant::now();
                    let finishing = upload(&store, &mut source, size).await;
                    done.push((start.elapsed(), finishing));
                }
                done
            })
        })
        .collect();
    let mut done = Vec::new();
    for worker in workers {
        done.extend(worker.await.unwrap());
    }
    let (elapsed, cpu) = (start.elapsed().as_secs_f64(), cpu_time() - cpu);
    let mut times: Vec<_> = done.iter().map(|upload| upload.0).collect();
    times.sort_unstable();
    let finishing: Duration = done.iter().map(|upload| upload.1).sum();
    let gib = (size * count) as f64 / (1024 * MIB) as f64;
    println!(
        "{name:11} {:8.0} MiB/s {:8.1}/s  CPU {:6.3} s/GiB {:7.0} us each  p50 {:8.3} ms p99 {:8.3} ms  finish {:8.3} ms  peak {} MiB",
        gib * 1024.0 / elapsed,
        count as f64 / elapsed,
        cpu / gib,
        cpu * 1e6 / count as f64,
        times[times.len() / 2].as_secs_f64() * 1e3,
        times[times.len() * 99 / 100].as_secs_f64() * 1e3,
        finishing.as_secs_f64() * 1e3 / count as f64,
        peak_memory_mib(),
    );
}

/// One upload; returns how long it took to make it durable.
async fn upload(store: &DiskStore, source: &mut Source, size: u64) -> Duration {
    let start = Instant::now();
    let mut random = [0; 16];
    getrandom::fill(&mut random).unwrap();
    let id = UploadId::from_random(random);
    // Another content each time, so that no two uploads meet in one directory by accident.
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut writer = store.writer(id, 0, hasher).await.unwrap();
    writer.write(Bytes::copy_from_slice(&random)).await.unwrap();
    source.begin(size - 16).await;
    let mut rest = size - 16;
    while rest > 0 {
        let bytes = source.next(rest).await;
        rest -= bytes.len() as u64;
        writer.write(bytes).await.unwrap();
    }
    let length;
    (length, hasher) = writer.finish().await.unwrap();
    assert_eq!(length, size);
    let received = start.elapsed();
    let digest = hasher.finish();
    store.finish(id, "1", &digest, size).await.unwrap();
    start.elapsed().saturating_sub(received)
}

/// Where the bytes come from.
enum Source {
    Memory(Vec<u8>),
    Socket(TcpStream, BytesMut),
}

impl Source {
    async fn open(address: Option<u16>) -> Self {
        match address {
            None => Self::Memory((0..RECEIVE).map(|index| (index * 31 % 251) as u8).collect()),
            Some(port) => {
                let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                Self::Socket(stream, BytesMut::new())
            }
        }
    }

    async fn begin(&mut self, size: u64) {
        if let Self::Socket(stream, _) = self {
            stream.write_all(&size.to_be_bytes()).await.unwrap();
        }
    }

    async fn next(&mut self, rest: u64) -> Bytes {
        match self {
            Self::Memory(content) => {
                tokio::task::yield_now().await;
                Bytes::copy_from_slice(&content[..(RECEIVE as u64).min(rest) as usize])
            }
            Self::Socket(stream, buffer) => {
                buffer.reserve(RECEIVE);
                assert!(stream.read_buf(buffer).await.unwrap() > 0);
                buffer.split().freeze()
            }
        }
    }
}

/// A second process that sends as many bytes as it is asked for.
struct Sender {
    child: Child,
    port: u16,
}

impl Sender {
    fn start(core: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let child = Command::new("taskset")
            .args(["-c", core])
            .arg(std::env::current_exe().unwrap())
            .args(["--send", &port.to_string()])
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(500));
        Self { child, port }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn send(port: u16) {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    for stream in listener.incoming() {
        std::thread::spawn(move || {
            let mut stream = stream.unwrap();
            let content = vec![0x5a; 1 << 20];
            let mut wanted = [0; 8];
            while std::io::Read::read_exact(&mut stream, &mut wanted).is_ok() {
                let mut rest = u64::from_be_bytes(wanted);
                while rest > 0 {
                    let count = rest.min(content.len() as u64);
                    if stream.write_all(&content[..count as usize]).is_err() {
                        return;
                    }
                    rest -= count;
                }
            }
        });
    }
}

/// Processor seconds of this process, all threads.
fn cpu_time() -> f64 {
    let mut nanoseconds = 0_u64;
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let path = task.unwrap().path().join("schedstat");
        // A thread may end meanwhile.
        if let Ok(text) = std::fs::read_to_string(path) {
            nanoseconds += text.split(' ').next().unwrap().parse::<u64>().unwrap();
        }
    }
    nanoseconds as f64 / 1e9
}

fn peak_memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    let kib = line.split_whitespace().nth(1).unwrap();
    kib.parse::<u64>().unwrap() / 1024
}
