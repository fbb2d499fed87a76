//! The directory of an installation, opened for a command.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use lazuli_db::Db;
use lazuli_identity::rbac::built_in_roles;
use lazuli_identity::rbac::store::{RoleAssignment, put_assignment};
use lazuli_identity::{DirectoryWrite, Identity, Object, ObjectKind, OldTokens};
use lazuli_wire::Guid;
use lazuli_wire::arm_scope::ArmScope;

use crate::commands::opened::folder_of;
use crate::config::{Configuration, Given};
use crate::{identities, master_key, wire_up};

/// Objects that a list shows at most.
const MOST: u32 = 10_000;

/// The directory, and the right to change it.
pub(crate) struct Directory {
    pub(crate) identity: Identity,
    pub(crate) may: DirectoryWrite,
    pub(crate) domain: String,
    db: Db,
    tenant: Guid,
}

impl Directory {
    pub(crate) async fn open(given: &Given) -> anyhow::Result<Self> {
        let settings = Configuration::load(given)?.settings;
        let folder = folder_of(&settings)?;
        let db = wire_up::open_database_beside(&settings, &folder)?;
        let clock = wire_up::clock_of(&db).await?;
        crate::commands::migrate::refuse_if_moving(&db).await?;
        let key = master_key::for_command(&settings, &folder)?;
        let identity = identities::open_identity_beside(&db, &clock, &key).await?;
        let tenant = identity.tenant().await?;
        Ok(Self {
            identity,
            may: DirectoryWrite::of_operator(),
            domain: tenant.domain,
            tenant: tenant.id,
            db,
        })
    }

    pub(crate) async fn close(self) -> anyhow::Result<()> {
        drop(self.identity);
        Ok(self.db.close(Duration::from_secs(10)).await?)
    }

    /// `lazuli identity show`
    pub(crate) async fn show(&self) -> anyhow::Result<String> {
        let mut told = format!("Tenant   {}\nDomain   {}\n", self.tenant, self.domain);
        for kind in ObjectKind::ALL {
            let count = self.identity.objects(kind, "", MOST).await?.len();
            let kind = match (count, kind.to_string()) {
                (1, kind) => kind,
                (_, kind) => match kind.strip_suffix('y') {
                    Some(stem) => format!("{stem}ies"),
                    None => format!("{kind}s"),
                },
            };
            writeln!(told, "{count:>8} {kind}")?;
        }
        Ok(told)
    }

    /// `lazuli identity rotate-keys`
    pub(crate) async fn rotate(&self, revoke: bool) -> anyhow::Result<String> {
        let (old, told) = if revoke {
            (
                OldTokens::Revoke,
                "All tokens and sessions of the directory have ended.\n",
            )
        } else {
            (
                OldTokens::Expire,
                "Tokens are signed with a new key now. Those given out so far live until they expire.\n",
            )
        };
        self.identity.rotate_directory_key(old).await?;
        Ok(told.to_owned())
    }

    /// All objects of a kind.
    pub(crate) async fn list(&self, kind: ObjectKind) -> anyhow::Result<String> {
        let mut told = String::new();
        for object in self.identity.objects(kind, "", MOST).await? {
            told += &line(&object);
        }
        Ok(told)
    }

    /// The object of a kind that somebody means.
    pub(crate) async fn find(&self, kind: ObjectKind, name: &str) -> anyhow::Result<Object> {
        let is_kind = |object: &Object| object.kind == kind;
        if let Ok(id) = Guid::parse(name)
            && let Some(object) = self.identity.object(id).await?.filter(is_kind)
        {
            return Ok(object);
        }
        let full = if kind == ObjectKind::User && !name.contains('@') {
            format!("{name}@{}", self.domain)
        } else {
            name.to_owned()
        };
        if let Some(object) = self.identity.object_named(kind, &full).await? {
            return Ok(object);
        }
        let mut called = self.identity.objects_called(kind, name).await?;
        match called.len() {
            0 => anyhow::bail!("there is no {kind} {name}: see `lazuli identity … list`"),
            1 => Ok(called.remove(0)),
            _ => anyhow::bail!(
                "several are called {name}; say which by its ID: {}",
                called
                    .iter()
                    .map(|object| object.id.to_string())
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        }
    }

    /// Whoever may be a member of a group or have a role.
    pub(crate) async fn anybody(&self, name: &str) -> anyhow::Result<Object> {
        for kind in [
            ObjectKind::User,
            ObjectKind::ServicePrincipal,
            ObjectKind::ManagedIdentity,
            ObjectKind::Group,
        ] {
            if let Ok(found) = self.find(kind, name).await {
                return Ok(found);
            }
        }
        anyhow::bail!("there is no user, service principal, managed identity or group {name}")
    }

    /// Gives a role at a scope.
    pub(crate) async fn assign(&self, to: &Object, role: &str, scope: &str) -> anyhow::Result<()> {
        let id = Guid::parse(role).ok();
        let role = built_in_roles()
            .iter()
            .find(|known| Some(known.id) == id || known.name.eq_ignore_ascii_case(role))
            .with_context(|| format!("there is no built-in role {role}: Owner, Contributor, Reader, AcrPull, AcrPush, …"))?;
        let now = self.identity.now_us();
        let assignment = RoleAssignment {
            id: lazuli_identity::random_guid()?,
            scope: ArmScope::parse(scope).with_context(|| format!("{scope} is no scope"))?,
            role: role.id,
            principal: to.id,
            principal_type: match to.kind {
                ObjectKind::User => "User",
                ObjectKind::Group => "Group",
                _ => "ServicePrincipal",
            }
            .to_owned(),
            description: None,
            condition: None,
            created_at: now,
            created_by: String::new(),
            updated_at: now,
            updated_by: String::new(),
        };
        self.db
            .write(move |tx| put_assignment(tx, &assignment))
            .await?;
        Ok(self.identity.policy_changed().await?)
    }
}

/// One line about an object.
pub(crate) fn line(object: &Object) -> String {
    let state = if object.enabled { "" } else { "  (disabled)" };
    let name = match object.kind {
        ObjectKind::User => object.principal_name(),
        ObjectKind::Group => "",
        _ => &object.name_key,
    };
    format!(
        "{}  {name:<36}  {}{state}\n",
        object.id, object.display_name
    )
}

/// Everything that may be told of an object.
pub(crate) async fn details(directory: &Directory, object: &Object) -> anyhow::Result<String> {
    let mut told = format!(
        "ID              {}\nKind            {}\nDisplay name    {}\nEnabled         {}\n",
        object.id, object.kind, object.display_name, object.enabled
    );
    if object.kind == ObjectKind::User {
        writeln!(told, "Signs in as     {}", object.principal_name())?;
    }
    if let Some(app) = object.app_id() {
        writeln!(told, "Application ID  {app}")?;
    }
    for group in directory
        .identity
        .groups_of_object(object.id, false)
        .await?
    {
        writeln!(
            told,
            "Member of       {} ({})",
            group.display_name, group.id
        )?;
    }
    for known in directory.identity.object_credentials(object.id).await? {
        let ends = known.expires_at.map_or_else(
            || "does not expire".to_owned(),
            |at| {
                format!(
                    "until {}",
                    lazuli_wire::acr::Time(at)
                        .to_string()
                        .get(..19)
                        .unwrap_or_default()
                )
            },
        );
        let what = known.federation().map_or_else(
            || format!("{}…", known.hint),
            |data| format!("{} {}", data["issuer"], data["subject"]),
        );
        writeln!(
            told,
            "Credential      {}  {}  {}  {what}  {ends}",
            known.id,
            known.kind.as_str(),
            known.name
        )?;
    }
    Ok(told)
}
