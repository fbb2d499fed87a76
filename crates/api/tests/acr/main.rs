//! The data plane of Azure Container Registry.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../common/mod.rs"]
mod common;

mod access;
mod attributes;
mod descriptions;

use common::*;
use lazuli_testkit::http::Response;
use serde_json::Value;

pub(crate) const DIGEST: &str =
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

pub(crate) fn patch(server: &Server, target: &str, body: &str) -> Response {
    let headers = [("Content-Type", "application/json")];
    server
        .admin()
        .send("PATCH", target, &headers, body.as_bytes())
}

/// The names in a list of objects.
pub(crate) fn names(list: &Value, key: &str) -> Vec<String> {
    let items = list.as_array().unwrap().iter();
    let name = |item: &Value| item[key].as_str().unwrap().to_owned();
    items.map(name).collect()
}

/// The target of a `Link` header.
pub(crate) fn next(response: &Response) -> Option<String> {
    let link = response.header("link")?;
    let target = link.strip_prefix('<').unwrap();
    Some(target.strip_suffix(">; rel=\"next\"").unwrap().to_owned())
}
