//! Real clients against a real server: each client is a [`Suite`] of named cases.
//!
//! One server runs for all of them, on loopback, with a data folder and a password of its own. Each suite has a
//! scratch folder that is also its `HOME`, so that no client touches the trust stores or logins of the machine.

mod buildah;
mod compose;
mod containerd;
mod context;
mod cosign;
mod crane;
mod docker;
mod dockerd;
mod helm;
mod http;
mod https;
mod image;
mod modern;
mod nodes;
mod notation;
mod oras;
mod podman;
mod product;
mod repeats;
mod server;
mod skopeo;
mod tutorial;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::report::Results;
use crate::{scratch, workspace};

use context::Context;
pub(crate) use nodes::Deaths;
use server::Server;

/// A named case of a suite. Cases run in order and share the suite's state.
type Case<S> = (&'static str, fn(&mut S) -> Result<()>);

/// What one client has to show. `variant` tells apart the versions of one client, by the Debian suite they come from.
trait Suite: Sized + 'static {
    const CASES: &'static [Case<Self>];

    /// Fetches and installs the client. An error means that this machine cannot run it.
    fn install(variant: &str) -> Result<()>;

    /// Starts engines and makes what the cases need. An error is a failure.
    fn start(cx: Context, variant: &str) -> Result<Self>;

    /// The version of the client's package.
    fn version(variant: &str) -> Result<String>;
}

/// A suite without its type.
pub(crate) struct Client {
    pub(crate) name: &'static str,
    /// Where it comes from.
    pub(crate) origin: &'static str,
    variant: &'static str,
    install: fn(&str) -> Result<()>,
    cases: fn() -> Vec<&'static str>,
    run: fn(&Client, &Server, &mut Results) -> Option<String>,
}

impl Client {
    const fn of<S: Suite>(name: &'static str, origin: &'static str, variant: &'static str) -> Self {
        Self {
            name,
            origin,
            variant,
            install: S::install,
            cases: case_names::<S>,
            run: run::<S>,
        }
    }

    /// The names of its cases, in order.
    pub(crate) fn cases(&self) -> Vec<&'static str> {
        (self.cases)()
    }
}

/// Every client, in the order in which they run.
pub(crate) const CLIENTS: &[Client] = &[
    Client::of::<skopeo::Skopeo>("skopeo", "Debian 12: skopeo", ""),
    Client::of::<crane::Crane>("crane", "Debian forky: crane", ""),
    Client::of::<oras::Oras>("oras", "Debian trixie: oras", ""),
    Client::of::<helm::Helm>(
        "helm-media-types",
        "chart pushed with Debian trixie's oras",
        "",
    ),
    Client::of::<cosign::Cosign>("cosign-2", "Debian trixie: cosign", "trixie"),
    Client::of::<cosign::Cosign>("cosign-3", "Debian forky: cosign", "forky"),
    Client::of::<notation::Notation>("notation", "Debian forky: notation", ""),
    Client::of::<https::Https>("https", "skopeo, crane and oras over TLS", ""),
    Client::of::<podman::Podman>("podman", "Debian 12: podman", ""),
    Client::of::<buildah::Buildah>("buildah", "Debian 12: buildah with qemu-user-static", ""),
    Client::of::<docker::Docker>("docker", "Debian 12: docker.io", ""),
    Client::of::<modern::Modern>(
        "docker-trixie",
        "Debian trixie: docker.io, docker-buildx, containerd image store",
        "trixie",
    ),
    Client::of::<modern::Modern>(
        "docker-forky",
        "Debian forky: docker.io, docker-buildx, containerd image store",
        "forky",
    ),
    Client::of::<product::Product>(
        "own-image-podman",
        "Lazuli's own image, by Debian 12's buildah and podman",
        "podman",
    ),
    Client::of::<product::Product>(
        "own-image-docker",
        "Lazuli's own image, by Debian 12's docker.io",
        "docker",
    ),
    Client::of::<tutorial::Tutorial>(
        "az-tutorial",
        "azure-cli from PyPI, with Debian 12's docker.io",
        "",
    ),
    Client::of::<containerd::Containerd>("containerd", "Debian 12: containerd, by ctr", ""),
    Client::of::<containerd::Containerd>(
        "containerd-forky",
        "Debian forky: containerd, by ctr",
        "forky",
    ),
];

/// Installs what all clients need, ahead of time. What fails here is tried again, and reported, by [`run_all`].
pub(crate) fn install_all() {
    for client in CLIENTS {
        if let Err(error) = (client.install)(client.variant) {
            eprintln!("  {}: {error:#}", client.name);
        }
    }
}

/// Runs the named clients, or all of them, and writes `target/xtask/clients.json`.
pub(crate) fn run_all(
    binary: &Path,
    names: &[String],
    results: &mut Results,
) -> Result<Option<&'static str>> {
    let chosen = choose(names)?;
    let server = Server::start(binary)?;
    run_on(server, &chosen, "clients.json", results).map(|()| None)
}

/// Runs them on three nodes behind nginx, of which one after the other is killed, and writes
/// `target/xtask/clients-nodes.json`. If it could not be run, why.
pub(crate) fn run_on_nodes(
    binary: &Path,
    names: &[String],
    deaths: Deaths,
    results: &mut Results,
) -> Result<Option<&'static str>> {
    let mut chosen = choose(names)?;
    for (name, why) in nodes::LEFT_OUT {
        if chosen.iter().any(|client| client.name == *name) {
            println!("  LEFT OUT: {name}: {why}");
            chosen.retain(|client| client.name != *name);
        }
    }
    println!(
        "  seed {}, a node is killed about every {} s",
        deaths.seed, deaths.every
    );
    let file = if deaths.in_containers {
        "clients-compose.json"
    } else {
        "clients-nodes.json"
    };
    match Server::nodes(binary, deaths)? {
        Some(server) => run_on(server, &chosen, file, results).map(|()| None),
        None => Ok(Some("an engine is missing, as was said above")),
    }
}

fn choose(names: &[String]) -> Result<Vec<&'static Client>> {
    if let Some(unknown) = names
        .iter()
        .find(|name| !CLIENTS.iter().any(|client| client.name == **name))
    {
        let known: Vec<&str> = CLIENTS.iter().map(|client| client.name).collect();
        bail!("no client `{unknown}`; there are: {}", known.join(" "));
    }
    let is_chosen = |client: &&Client| names.is_empty() || names.iter().any(|n| n == client.name);
    Ok(CLIENTS.iter().filter(is_chosen).collect())
}

fn run_on(server: Server, clients: &[&Client], file: &str, results: &mut Results) -> Result<()> {
    println!("  server on {}", server.access().host);
    let mut own = Results::new();
    let mut versions = serde_json::Map::new();
    for client in clients {
        if let Err(error) = (client.install)(client.variant) {
            own.not_run(
                client.name,
                &format!("all {} cases", client.cases().len()),
                &format!("{error:#}"),
            );
            continue;
        }
        if let Some(version) = (client.run)(client, &server, &mut own) {
            versions.insert(client.name.to_owned(), Value::String(version));
        }
    }
    let nodes = server.finish(&mut own);
    let mut report = json!({"versions": versions, "cases": own.to_json()});
    if !nodes.is_null() {
        report["nodes"] = nodes;
    }
    let file = workspace::output_dir()?.join(file);
    fs::write(&file, serde_json::to_string_pretty(&report)? + "\n")
        .with_context(|| file.display().to_string())?;
    results.append(own);
    Ok(())
}

fn case_names<S: Suite>() -> Vec<&'static str> {
    S::CASES.iter().map(|(name, _)| *name).collect()
}

/// Runs one suite; returns the client's version if it got that far.
fn run<S: Suite>(client: &Client, server: &Server, results: &mut Results) -> Option<String> {
    let mut started = None;
    let fine = results.case(client.name, "starts", || {
        let version = S::version(client.variant)?;
        println!("  {} {version}", client.name);
        started = Some((
            S::start(Context::new(client.name, server)?, client.variant)?,
            version,
        ));
        Ok(())
    });
    let (mut suite, version) = started.filter(|_| fine)?;
    for (name, case) in S::CASES {
        results.case(client.name, name, || case(&mut suite));
    }
    drop(suite);
    if let Ok(dir) = scratch::dir(client.name) {
        scratch::remove(&dir);
    }
    Some(version)
}
