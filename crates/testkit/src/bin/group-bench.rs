//! How fast a group of nodes takes pushes of small images, and what that costs: see `USAGE`.

#![allow(
    clippy::disallowed_methods,
    reason = "it measures real processes in real time"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use lazuli_testkit::http::{Connection, Response};
use lazuli_testkit::object_stores::rgw::{REGION, Rgw};
use lazuli_testkit::postgres::Node;
use lazuli_testkit::server::{PASSWORD, Server, basic};
use lazuli_wire::oci::{Algorithm, Digest};

const USAGE: &str = "\
usage: group-bench --binary PATH [--database sqlite|postgres] [--storage disk|s3] [--nodes N,...] [--clients N,...]
                   [--seconds N] [--blob BYTES] [--one-repository] [--setting NAME=VALUE]... [--serve]

Clients push small images (two blobs and a manifest with a tag, five requests) to nodes at random, over
connections that stay. For each number of nodes and clients a line: pushes per second as seen, and the CPU time that a
thousand pushes cost the nodes, the database and the object store. What a machine with more cores can do follows from the
CPU time as long as pushes per second do not fall with more clients: then nothing but CPU bounds them.

  --blob             the size of a blob in bytes (4096)
  --one-repository   all clients push to the same repository; otherwise each has its own
  --setting          of the nodes' environment, such as LAZULI_STORAGE_REDIRECT=true
  --serve            starts the first number of nodes, prints their addresses and process ids and that of the
                     database, and waits until its input ends

PostgreSQL flushes its disk. A sqlite or disk group has one node.";

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

struct Options {
    binary: PathBuf,
    postgres: bool,
    s3: bool,
    nodes: Vec<usize>,
    clients: Vec<usize>,
    seconds: u64,
    blob: usize,
    one_repository: bool,
    settings: Vec<(String, String)>,
    serve: bool,
}

/// What is shared by the nodes.
struct Engines {
    database: Option<Node>,
    bucket: Option<Rgw>,
    settings: Vec<(String, String)>,
}

fn main() -> ExitCode {
    match options().and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn options() -> Result<Options> {
    let mut options = Options {
        binary: PathBuf::new(),
        postgres: false,
        s3: false,
        nodes: vec![1],
        clients: vec![1, 8, 32],
        seconds: 5,
        blob: 4096,
        one_repository: false,
        settings: Vec::new(),
        serve: false,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        match name.as_str() {
            "--one-repository" => options.one_repository = true,
            "--serve" => options.serve = true,
            "--help" | "-h" => bail!("{USAGE}"),
            _ => {
                let value = arguments
                    .next()
                    .with_context(|| format!("{name} needs a value\n\n{USAGE}"))?;
                take(&mut options, &name, &value)?;
            }
        }
    }
    ensure!(options.binary.is_file(), "--binary is missing\n\n{USAGE}");
    Ok(options)
}

fn take(options: &mut Options, name: &str, value: &str) -> Result<()> {
    match (name, value) {
        ("--binary", path) => options.binary = path.into(),
        ("--database", "sqlite") => options.postgres = false,
        ("--database", "postgres") => options.postgres = true,
        ("--storage", "disk") => options.s3 = false,
        ("--storage", "s3") => options.s3 = true,
        ("--nodes", list) => options.nodes = numbers(list)?,
        ("--clients", list) => options.clients = numbers(list)?,
        ("--seconds", number) => options.seconds = number.parse()?,
        ("--blob", bytes) => options.blob = bytes.parse()?,
        ("--setting", setting) => {
            let (key, value) = setting.split_once('=').context("--setting NAME=VALUE")?;
            options.settings.push((key.into(), value.into()));
        }
        _ => bail!("{name} {value}?\n\n{USAGE}"),
    }
    Ok(())
}

fn numbers(list: &str) -> Result<Vec<usize>> {
    list.split(',')
        .map(|number| {
            number
                .parse()
                .with_context(|| format!("not a number: {number}"))
        })
        .collect()
}

fn run(options: &Options) -> Result<()> {
    let engines = engines(options)?;
    println!(
        "{} + {}, {} s each, blobs of {} bytes, {}",
        if options.postgres {
            "PostgreSQL"
        } else {
            "SQLite"
        },
        if options.s3 { "Ceph RGW" } else { "disk" },
        options.seconds,
        options.blob,
        if options.one_repository {
            "one repository"
        } else {
            "a repository per client"
        },
    );
    println!(
        "nodes clients pushes/s  cpu-ms/push: nodes database store  pushes per cpu-s of nodes  cores busy"
    );
    for &count in &options.nodes {
        ensure!(
            count == 1 || (options.postgres && options.s3),
            "many nodes need --database postgres --storage s3"
        );
        let pairs: Vec<(&str, &str)> = engines
            .settings
            .iter()
            .chain(&options.settings)
            .map(|(name, value)| (&**name, &**value))
            .collect();
        let mut servers: Vec<Server> = Vec::new();
        for _ in 0..count {
            servers.push(Server::start(&options.binary, &pairs));
        }
        if options.serve {
            for server in &servers {
                println!("http://{} {}", server.http(), server.pid().unwrap_or(0));
            }
            if let Some(database) = &engines.database {
                println!("{}", database.url("lazuli"));
            }
            std::io::stdin().read_to_end(&mut Vec::new())?;
            return Ok(());
        }
        let addresses: Vec<SocketAddr> = servers.iter().map(Server::http).collect();
        for &clients in &options.clients {
            measure(options, &addresses, clients)?;
        }
    }
    drop((engines.database, engines.bucket));
    Ok(())
}

fn engines(options: &Options) -> Result<Engines> {
    let missing = "an engine is missing, as was said above";
    let mut settings = vec![
        ("LAZULI_MASTER_KEY".to_owned(), KEY.to_owned()),
        ("LAZULI_LOG_ACCESS".to_owned(), "false".to_owned()),
    ];
    let mut set = |name: &str, value: String| settings.push((format!("LAZULI_{name}"), value));
    let mut database = None;
    if options.postgres {
        let node = Node::start_that_flushes().context(missing)?;
        node.create_database("lazuli");
        let address = node.address();
        set(
            "DATABASE_URL",
            format!("postgres://postgres@{address}/lazuli"),
        );
        database = Some(node);
    }
    let mut bucket = None;
    if options.s3 {
        let rgw = Rgw::start().context(missing)?;
        rgw.create_bucket("bench");
        set("STORAGE_URL", "s3://bench/blobs".into());
        set("STORAGE_ENDPOINT", rgw.endpoint());
        set("STORAGE_REGION", REGION.into());
        set("STORAGE_ACCESS_KEY", rgw.access_key().into());
        set("STORAGE_SECRET_KEY", rgw.secret_key().into());
        bucket = Some(rgw);
    }
    Ok(Engines {
        database,
        bucket,
        settings,
    })
}

fn measure(options: &Options, nodes: &[SocketAddr], clients: usize) -> Result<()> {
    static RUN: AtomicU64 = AtomicU64::new(0);
    let run = RUN.fetch_add(1, Ordering::Relaxed);
    let (is_over, pushes) = (AtomicBool::new(false), AtomicU64::new(0));
    let one = options.one_repository;
    let spent = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..clients)
            .map(|client| {
                let repository = if one {
                    format!("run-{run}/all")
                } else {
                    format!("run-{run}/of-{client}")
                };
                let (is_over, pushes) = (&is_over, &pushes);
                scope.spawn(move || {
                    push_images(
                        nodes,
                        &repository,
                        options.blob,
                        client as u64,
                        is_over,
                        pushes,
                    )
                })
            })
            .collect();
        // Connections and caches first.
        std::thread::sleep(Duration::from_millis(500));
        let (before, begun, first) = (cpu(), Instant::now(), pushes.load(Ordering::Relaxed));
        std::thread::sleep(Duration::from_secs(options.seconds));
        let (after, took, last) = (cpu(), begun.elapsed(), pushes.load(Ordering::Relaxed));
        is_over.store(true, Ordering::Relaxed);
        for worker in workers {
            worker
                .join()
                .map_err(|_| anyhow::anyhow!("a client panicked"))??;
        }
        anyhow::Ok((before, after, took, last - first))
    });
    let (before, after, took, pushed) = spent?;
    let of = |kind: &str| {
        let sum = |times: &BTreeMap<String, f64>| times.get(kind).copied().unwrap_or(0.0);
        sum(&after) - sum(&before)
    };
    let (nodes_cpu, database, store) = (of("nodes"), of("database"), of("store"));
    let each = |seconds: f64| seconds * 1000.0 / pushed.max(1) as f64;
    println!(
        "{:5} {clients:7} {:8.0}               {:5.2} {:8.2} {:5.2}  {:25.0}  {:10.2}",
        nodes.len(),
        pushed as f64 / took.as_secs_f64(),
        each(nodes_cpu),
        each(database),
        each(store),
        pushed as f64 / nodes_cpu.max(0.001),
        (nodes_cpu + database + store) / took.as_secs_f64(),
    );
    Ok(())
}

fn push_images(
    nodes: &[SocketAddr],
    repository: &str,
    blob: usize,
    client: u64,
    is_over: &AtomicBool,
    pushes: &AtomicU64,
) -> Result<()> {
    let authorization = basic("lazuli", PASSWORD);
    let mut connections = Vec::new();
    for node in nodes {
        connections.push(Connection::open(*node)?);
    }
    let mut random = client.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut number = 0_u64;
    let mut send = |method: &str, target: &str, kind: &str, body: &[u8]| -> Result<Response> {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let node = (random >> 20) as usize % connections.len();
        let headers = [("Authorization", &*authorization), ("Content-Type", kind)];
        let response = connections[node].send(method, target, &headers, body)?;
        ensure!(response.status < 300, "{method} {target}: {response:?}");
        Ok(response)
    };
    while !is_over.load(Ordering::Relaxed) {
        number += 1;
        let mut digests = Vec::new();
        for place in 0..2 {
            let content = format!("{repository} {client} {number} {place} ").repeat(1 + blob / 8);
            let content = &content.as_bytes()[..blob];
            let digest = Digest::of(Algorithm::Sha256, content).to_string();
            let target = format!("/v2/{repository}/blobs/uploads/");
            let begun = send("POST", &target, "application/octet-stream", &[])?;
            let place = begun.header("location").context("no Location")?;
            let joint = if place.contains('?') { '&' } else { '?' };
            let target = format!("{place}{joint}digest={digest}");
            send("PUT", &target, "application/octet-stream", content)?;
            digests.push(digest);
        }
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digests[0], "size": blob},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digests[1], "size": blob}],
        });
        let target = format!("/v2/{repository}/manifests/of-{client}-{number}");
        send("PUT", &target, MANIFEST, manifest.to_string().as_bytes())?;
        pushes.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Seconds of CPU that the processes below this one have had, by what they are.
fn cpu() -> BTreeMap<String, f64> {
    let mut parents: BTreeMap<u32, (u32, String, f64)> = BTreeMap::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let text = fs::read_to_string(process.path().join("stat")).unwrap_or_default();
        let Some((head, tail)) = text.rsplit_once(") ") else {
            continue;
        };
        let Some((id, name)) = head.split_once(" (") else {
            continue;
        };
        let fields: Vec<&str> = tail.split(' ').collect();
        let number = |place: usize| {
            fields
                .get(place)
                .and_then(|field| field.parse().ok())
                .unwrap_or(0_u32)
        };
        // utime, stime, and those of children that ended (proc(5)), in hundredths of a second.
        let ticks: u32 = (11..15).map(number).sum();
        if let Ok(id) = id.parse() {
            parents.insert(id, (number(1), name.into(), f64::from(ticks) / 100.0));
        }
    }
    let own = std::process::id();
    let mut sums = BTreeMap::new();
    for (&id, (_, name, seconds)) in &parents {
        let (mut above, mut is_ours) = (id, false);
        while let Some((parent, ..)) = parents.get(&above) {
            above = *parent;
            is_ours |= above == own;
        }
        let kind = match &**name {
            "postgres" => "database",
            "radosgw" | "ceph-osd" | "ceph-mon" => "store",
            name if name.starts_with("lz") || name.starts_with("lazuli") => "nodes",
            _ => continue,
        };
        if is_ours {
            *sums.entry(kind.to_owned()).or_insert(0.0) += seconds;
        }
    }
    sums
}
