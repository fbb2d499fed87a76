//! What other programs leave on a disk: the list of an OCI image layout, and the links of a CNCF distribution registry.

use lazuli_wire::oci::Digest;
use serde_json::Value;

/// The annotation that holds a tag, or a whole reference that ends with one.
const NAME: &str = "org.opencontainers.image.ref.name";

/// What is wrong with a list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoredError {
    /// It cannot be read.
    #[error("index.json is no JSON")]
    NoJson,
    /// An entry without a digest.
    #[error("index.json lists {0:?}, which is no digest")]
    NoDigest(String),
}

/// Reads the `index.json` of an OCI image layout (image-spec, "Image Layout"): each manifest that it lists, with its tag.
pub fn layout_index(bytes: &[u8]) -> Result<Vec<(Option<String>, Digest)>, StoredError> {
    let index: Value = serde_json::from_slice(bytes).map_err(|_| StoredError::NoJson)?;
    let mut listed = Vec::new();
    for entry in index["manifests"].as_array().into_iter().flatten() {
        let digest = entry["digest"].as_str().unwrap_or_default();
        let digest = Digest::parse(digest)
            .map_err(|_| StoredError::NoDigest(digest.chars().take(200).collect()))?;
        let tag = entry["annotations"][NAME].as_str().map(tag_of);
        listed.push((tag.map(str::to_owned), digest));
    }
    Ok(listed)
}

/// The tag of `v1`, `a/b:v1` and `registry.example.com:5000/a/b:v1@sha256:…`.
fn tag_of(name: &str) -> &str {
    let name = name.split('@').next().unwrap_or_default();
    let last = name.rsplit('/').next().unwrap_or_default();
    last.rsplit(':').next().unwrap_or_default()
}

/// Reads a `link` file of a distribution registry.
pub fn link(bytes: &[u8]) -> Option<Digest> {
    Digest::parse(std::str::from_utf8(bytes).ok()?.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::tag_of;

    #[test]
    fn tags_of_names() {
        for name in [
            "v1",
            "a/b:v1",
            "registry.example.com:5000/a/b:v1",
            "b:v1@sha256:00",
        ] {
            assert_eq!(tag_of(name), "v1");
        }
    }
}
