//! The permissions an access value can prove, as types.

use lazuli_wire::token::Action;

mod sealed {
    pub trait Sealed {}
}

/// A permission on a repository. The types that implement it are the marks on
/// [`RepositoryAccess`](crate::RepositoryAccess).
pub trait Permission: sealed::Sealed + Send + Sync + 'static {
    /// The action of scopes and tokens that this permission stands for.
    const ACTION: Action;
}

macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {}

        impl sealed::Sealed for $name {}

        impl Permission for $name {
            const ACTION: Action = Action::$name;
        }
    )*};
}

permissions! {
    /// Read manifests, blobs, tags and referrers.
    Pull;
    /// Write manifests, blobs and tags.
    Push;
    /// Delete manifests, tags and blobs.
    Delete;
    /// Read attributes and listings.
    MetadataRead;
    /// Change attributes.
    MetadataWrite;
    /// List what was deleted and is still kept.
    DeletedRead;
    /// Restore what was deleted and is still kept.
    DeletedRestore;
}
