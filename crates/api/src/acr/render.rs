//! What the registry knows, in the words of the data plane.

use lazuli_registry::details::{ManifestDetails, RepositoryDetails, TagDetails};
use lazuli_wire::acr::{Changeable, Manifest, Reference, Repository, Tag, Time};
use lazuli_wire::oci::{Descriptor, RepositoryName};

use crate::oci::Task;

pub(super) fn repository<'a>(
    task: &'a Task<'_>,
    name: &'a RepositoryName,
    details: &RepositoryDetails,
) -> Repository<'a> {
    Repository {
        registry: &task.site.login_server,
        image_name: name.as_str(),
        created_time: Time(details.created_at),
        last_update_time: Time(details.updated_at),
        manifest_count: details.manifests,
        tag_count: details.tags,
        changeable_attributes: Changeable::of_repository(details.flags),
    }
}

pub(super) fn tag(details: &TagDetails) -> Tag<'_> {
    Tag {
        name: &details.name,
        digest: details.digest.to_string(),
        created_time: Time(details.created_at),
        last_update_time: Time(details.updated_at),
        // Content trust is no more.
        signed: false,
        changeable_attributes: changeable(&details.attributes),
    }
}

pub(super) fn manifest(details: &ManifestDetails) -> Manifest<'_> {
    let children = details.children.as_ref();
    Manifest {
        digest: details.digest.to_string(),
        image_size: details.image_size,
        created_time: Time(details.created_at),
        last_update_time: Time(details.updated_at),
        architecture: details.architecture.as_deref(),
        os: details.os.as_deref(),
        media_type: &details.media_type,
        config_media_type: details.config_media_type.as_deref(),
        tags: details.tags.iter().map(AsRef::as_ref).collect(),
        changeable_attributes: changeable(&details.attributes),
        references: children.map(|children| children.iter().map(reference).collect()),
    }
}

fn reference(child: &Descriptor) -> Reference<'_> {
    let platform = child.platform.as_ref();
    let word = |word: &'_ String| !word.is_empty();
    Reference {
        digest: child.digest.to_string(),
        architecture: platform
            .map(|platform| &platform.architecture)
            .filter(|text| word(text))
            .map(String::as_str),
        os: platform
            .map(|platform| &platform.os)
            .filter(|text| word(text))
            .map(String::as_str),
    }
}

fn changeable(attributes: &lazuli_registry::attributes::Attributes) -> Changeable<'_> {
    Changeable::new(
        attributes.flags,
        attributes.quarantine_state.as_deref(),
        attributes.quarantine_details.as_deref(),
    )
}
