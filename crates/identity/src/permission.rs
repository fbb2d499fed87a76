//! The permissions an access value can prove, as types.

use lazuli_wire::token::{Action, Actions};

mod sealed {
    pub trait Sealed {}
}

/// A permission on a repository. The types that implement it are the marks on
/// [`RepositoryAccess`](crate::RepositoryAccess).
pub trait Permission: sealed::Sealed + Send + Sync + 'static {
    /// The action of scopes and tokens that this permission stands for.
    const ACTION: Action;

    /// The actions any one of which is enough.
    const MET_BY: Actions = Actions::of(&[Self::ACTION]);
}

/// Whether granted actions are enough for a permission.
pub(crate) fn is_met<P: Permission>(granted: Actions) -> bool {
    P::MET_BY.iter().any(|action| granted.allows(action))
}

macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident $(or $also:ident)*;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {}

        impl sealed::Sealed for $name {}

        impl Permission for $name {
            const ACTION: Action = Action::$name;
            const MET_BY: Actions = Actions::of(&[Action::$name $(, Action::$also)*]);
        }
    )*};
}

permissions! {
    /// Read manifests, blobs, tags and referrers.
    Pull;
    /// Write manifests, blobs and tags. Reading is a permission of its own.
    Push;
    /// Delete manifests, tags and blobs.
    Delete;
    /// Read attributes and listings. Docker-era clients ask for `pull` before they list tags, so that is enough.
    MetadataRead or Pull;
    /// Change attributes.
    MetadataWrite;
    /// List what was deleted and is still kept.
    DeletedRead;
    /// Restore what was deleted and is still kept.
    DeletedRestore;
}
