//! Media types of manifests and of what they point at (image-spec, "Media types"; Docker image manifest v2).

/// `application/vnd.oci.image.manifest.v1+json`
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// `application/vnd.oci.image.index.v1+json`
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// `application/vnd.docker.distribution.manifest.v2+json`
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// `application/vnd.docker.distribution.manifest.list.v2+json`
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// `application/vnd.oci.artifact.manifest.v1+json`, withdrawn before image-spec 1.1.
pub const OCI_ARTIFACT: &str = "application/vnd.oci.artifact.manifest.v1+json";
/// `application/vnd.cncf.oras.artifact.manifest.v1+json`, the draft before it.
pub const ORAS_ARTIFACT: &str = "application/vnd.cncf.oras.artifact.manifest.v1+json";
/// `application/vnd.docker.distribution.manifest.v1+json`, refused.
pub const DOCKER_SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1+json";
/// `application/vnd.docker.distribution.manifest.v1+prettyjws`, refused.
pub const DOCKER_SCHEMA1_SIGNED: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";
/// `application/vnd.oci.empty.v1+json`: the two byte blob `{}`.
pub const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// `application/vnd.oci.image.config.v1+json`
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// `application/vnd.docker.container.image.v1+json`
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// `application/octet-stream`: the type of every blob, whose own type only its manifest knows.
pub const OCTET_STREAM: &str = "application/octet-stream";

/// A manifest format this registry stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ManifestKind {
    /// Docker image manifest v2, schema 2.
    DockerManifest,
    /// Docker manifest list.
    DockerList,
    /// OCI image manifest.
    OciManifest,
    /// OCI image index.
    OciIndex,
    /// The withdrawn OCI artifact manifest.
    OciArtifact,
    /// The ORAS artifact manifest that preceded it.
    OrasArtifact,
}

impl ManifestKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::DockerManifest,
        Self::DockerList,
        Self::OciManifest,
        Self::OciIndex,
        Self::OciArtifact,
        Self::OrasArtifact,
    ];

    /// The kind of a media type; parameters and case do not matter.
    pub fn from_media_type(media_type: &str) -> Option<Self> {
        let essence = essence(media_type);
        Self::ALL
            .into_iter()
            .find(|kind| kind.media_type().eq_ignore_ascii_case(essence))
    }

    /// The media type, as it is stored and sent.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::DockerManifest => DOCKER_MANIFEST,
            Self::DockerList => DOCKER_LIST,
            Self::OciManifest => OCI_MANIFEST,
            Self::OciIndex => OCI_INDEX,
            Self::OciArtifact => OCI_ARTIFACT,
            Self::OrasArtifact => ORAS_ARTIFACT,
        }
    }

    /// Whether it has a configuration and layers.
    pub const fn is_image(self) -> bool {
        matches!(self, Self::DockerManifest | Self::OciManifest)
    }

    /// Whether it lists other manifests.
    pub const fn is_index(self) -> bool {
        matches!(self, Self::DockerList | Self::OciIndex)
    }

    /// Whether it is one of the withdrawn artifact manifests, which clients get only when they ask for them by name.
    pub const fn is_withdrawn_artifact(self) -> bool {
        matches!(self, Self::OciArtifact | Self::OrasArtifact)
    }
}

/// The media type without its parameters and surrounding white space.
pub fn essence(media_type: &str) -> &str {
    media_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim_matches([' ', '\t'])
}

/// Whether this is a Docker schema 1 manifest, signed or not.
pub fn is_docker_schema1(media_type: &str) -> bool {
    let essence = essence(media_type);
    [DOCKER_SCHEMA1, DOCKER_SCHEMA1_SIGNED]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(essence))
}

/// Whether blobs of this type are usually not pushed: Docker's foreign layers and OCI's non-distributable ones.
pub fn is_non_distributable(media_type: &str) -> bool {
    let essence = essence(media_type);
    essence.starts_with("application/vnd.oci.image.layer.nondistributable.v1.")
        || essence.starts_with("application/vnd.docker.image.rootfs.foreign.diff.")
}
