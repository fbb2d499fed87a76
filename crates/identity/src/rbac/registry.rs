//! What assignments of the directory allow in one registry: actions of the management plane or of data, in the words of tokens.

use std::sync::LazyLock;

use lazuli_wire::arm_scope::ArmScope;
use lazuli_wire::rbac::{ArmAction, Attributes, Plane, Source, Value, Values};
use lazuli_wire::token::{Action, Actions};

use super::rights::{Applicable, Loaded, Rights};

/// How rights in a registry are made of roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// `LegacyRegistryPermissions`: actions of the management plane, for the whole registry.
    Legacy,
    /// `AbacRepositoryPermissions`: data actions, whose conditions may name repositories. Roles of old count for nothing.
    Abac,
}

impl Mode {
    /// The mark of tokens that were made in this mode.
    pub(crate) const fn mark(self) -> Option<&'static str> {
        match self {
            Self::Legacy => None,
            Self::Abac => Some("abac"),
        }
    }

    const fn plane(self) -> Plane {
        match self {
            Self::Legacy => Plane::Control,
            Self::Abac => Plane::Data,
        }
    }
}

/// What each word of tokens is called in roles, after `Microsoft.ContainerRegistry/registries/`.
const LEGACY: &[(Action, &str)] = &[
    (Action::Pull, "pull/read"),
    (Action::Push, "push/write"),
    (Action::Delete, "artifacts/delete"),
    // Who may pull may see what there is.
    (Action::MetadataRead, "pull/read"),
    (Action::MetadataRead, "metadata/read"),
    (Action::MetadataWrite, "metadata/write"),
    (Action::DeletedRead, "deleted/read"),
    (Action::DeletedRestore, "deleted/restore/action"),
];

const ABAC: &[(Action, &str)] = &[
    (Action::Pull, "repositories/content/read"),
    (Action::Push, "repositories/content/write"),
    (Action::Delete, "repositories/content/delete"),
    (Action::MetadataRead, "repositories/metadata/read"),
    (Action::MetadataWrite, "repositories/metadata/write"),
];

struct Names {
    words: Vec<(Action, ArmAction)>,
    catalog: Option<ArmAction>,
    deleted_catalog: Option<ArmAction>,
}

impl Names {
    fn of(mode: Mode) -> &'static Self {
        static LEGACY_NAMES: LazyLock<Names> =
            LazyLock::new(|| Names::new(LEGACY, "pull/read", "deleted/read"));
        static ABAC_NAMES: LazyLock<Names> =
            LazyLock::new(|| Names::new(ABAC, "catalog/read", "deletedCatalog/read"));
        match mode {
            Mode::Legacy => &LEGACY_NAMES,
            Mode::Abac => &ABAC_NAMES,
        }
    }

    fn new(words: &[(Action, &str)], catalog: &str, deleted_catalog: &str) -> Self {
        let name = |rest: &str| {
            ArmAction::parse(&format!("Microsoft.ContainerRegistry/registries/{rest}"))
        };
        let words = words
            .iter()
            .filter_map(|(word, rest)| Some((*word, name(rest).ok()?)));
        Self {
            words: words.collect(),
            catalog: name(catalog).ok(),
            deleted_catalog: name(deleted_catalog).ok(),
        }
    }
}

/// What one principal may do in one registry.
#[derive(Default)]
pub(crate) struct RegistryRights {
    /// Of the policy.
    pub(crate) generation: i64,
    /// On every repository, whatever its name.
    always: Actions,
    /// Depending on the repository. A word may occur several times.
    sometimes: Vec<(Action, Applicable)>,
    catalog: Listable,
    deleted_catalog: bool,
}

/// Which repositories a principal may list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Listable {
    /// The list itself is refused.
    #[default]
    Nothing,
    /// Those that may be read.
    Readable,
    /// All.
    All,
}

impl RegistryRights {
    /// Makes the rights in a registry of everything that was loaded of a principal.
    pub(crate) fn new(loaded: &Loaded, scope: &ArmScope, mode: Mode) -> Self {
        Self {
            generation: loaded.generation,
            ..Self::of(&loaded.rights, scope, mode)
        }
    }

    pub(crate) fn of(rights: &Rights, scope: &ArmScope, mode: Mode) -> Self {
        let names = Names::of(mode);
        let applicable = |name: &ArmAction| rights.applicable(mode.plane(), name, scope);
        let mut found = Self::default();
        for (word, name) in &names.words {
            let applicable = applicable(name);
            if applicable.always() {
                found.always.insert(*word);
            } else if applicable.ever() {
                found.sometimes.push((*word, applicable));
            }
        }
        if let Some(catalog) = names.catalog.as_ref().map(applicable) {
            found.catalog = match (catalog.always(), catalog.ever()) {
                (true, _) => Listable::All,
                (false, true) => Listable::Readable,
                (false, false) => Listable::Nothing,
            };
        }
        let deleted = names.deleted_catalog.as_ref().map(applicable);
        found.deleted_catalog = deleted.is_some_and(|deleted| deleted.always());
        found
    }

    /// What of `wanted` is allowed on a repository at a time (microseconds).
    pub(crate) fn on_repository(&self, repository: &str, wanted: Actions, now: i64) -> Actions {
        let attributes = RepositoryAttributes { repository, now };
        let mut allowed = self.always;
        for (word, applicable) in &self.sometimes {
            if wanted.allows(*word) && !allowed.contains(*word) && applicable.now(&attributes) {
                allowed.insert(*word);
            }
        }
        let all = Action::ALL
            .into_iter()
            .filter(|action| *action != Action::All)
            .all(|action| allowed.contains(action));
        if all { Actions::ALL } else { allowed }
    }

    pub(crate) fn catalog(&self) -> Listable {
        self.catalog
    }

    pub(crate) fn deleted_catalog(&self) -> bool {
        self.deleted_catalog
    }

    /// What is allowed on all repositories, for the claims of a token that clients only look at.
    pub(crate) fn always(&self) -> Actions {
        self.always
    }
}

impl Applicable {
    fn always(&self) -> bool {
        self.granted && !self.denied && self.denied_if.is_empty()
    }

    fn ever(&self) -> bool {
        !self.denied && (self.granted || !self.granted_if.is_empty())
    }

    fn now(&self, attributes: &dyn Attributes) -> bool {
        use lazuli_wire::rbac::Truth;
        let denied = || {
            self.denied_if
                .iter()
                .any(|condition| condition.evaluate(attributes) != Truth::False)
        };
        let granted = || {
            self.granted_if
                .iter()
                .any(|condition| condition.evaluate(attributes).is_true())
        };
        !self.denied && (self.granted || granted()) && !denied()
    }
}

/// What conditions can ask about a request for a repository.
struct RepositoryAttributes<'a> {
    repository: &'a str,
    now: i64,
}

impl Attributes for RepositoryAttributes<'_> {
    fn get(&self, source: Source, name: &str) -> Option<Values<'_>> {
        match (source, name) {
            (Source::Request, "microsoft.containerregistry/registries/repositories:name") => {
                Some(Values::text(self.repository))
            }
            (Source::Environment, "utcnow") => Some(Values::One(Value::Time(self.now))),
            (Source::Environment, "isprivatelink") => Some(Values::One(Value::Bool(false))),
            _ => None,
        }
    }
}
