//! Buckets for servers, each test one of its own.
#![allow(dead_code, reason = "each target uses a part")]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use lazuli_testkit::object_stores::azurite::{ACCOUNT, Azurite};
use lazuli_testkit::object_stores::rgw::Rgw;
use lazuli_testkit::server::Server;

/// A bucket, and the settings that lead there.
pub(crate) struct Bucket {
    pub(crate) name: String,
    pub(crate) environment: Vec<(&'static str, String)>,
}

fn fresh_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("bucket{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Bucket {
    fn new(name: String, url: String, endpoint: String, access: (&str, String)) -> Self {
        Self {
            name,
            environment: vec![
                ("LAZULI_STORAGE_URL", url),
                ("LAZULI_STORAGE_ENDPOINT", endpoint),
                ("LAZULI_STORAGE_ACCESS_KEY", access.0.to_owned()),
                ("LAZULI_STORAGE_SECRET_KEY", access.1),
                ("LAZULI_STORAGE_PART_SIZE", "5MiB".to_owned()),
            ],
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// A server that keeps its blobs there.
    pub(crate) fn serve(&self) -> Server {
        let environment: Vec<_> = self
            .environment
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        Server::start(env!("CARGO_BIN_EXE_lazuli"), &environment)
    }
}

/// A bucket of Ceph's; `None` on a machine without it.
pub(crate) fn s3() -> Option<Bucket> {
    let rgw = Rgw::shared()?;
    Some(bucket_of(rgw, rgw.address()))
}

/// The same by way of another address.
pub(crate) fn bucket_of(rgw: &Rgw, address: SocketAddr) -> Bucket {
    let name = fresh_name();
    rgw.create_bucket(&name);
    let access = (rgw.access_key(), rgw.secret_key().to_owned());
    let (url, endpoint) = (format!("s3://{name}/registry"), format!("http://{address}"));
    Bucket::new(name, url, endpoint, access)
}

/// A container of Azurite; `None` on a machine without it.
pub(crate) fn azure() -> Option<Bucket> {
    let azurite = Azurite::shared()?;
    let name = fresh_name();
    azurite.create_container(&name);
    let url = format!("az://{name}/registry");
    let access = (ACCOUNT, azurite.key());
    Some(Bucket::new(name, url, azurite.endpoint(), access))
}
