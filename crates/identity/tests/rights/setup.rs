//! An installation with a directory, and short words for what happens in it.

#![allow(unreachable_pub)]

use lazuli_db::params;
use lazuli_identity::rbac::store::{
    AssignmentError, DenyAssignment, DenyPrincipal, RoleAssignment,
};
use lazuli_identity::rbac::{built_in_roles, policy, store};
use lazuli_identity::{
    Audience, Authority, Caller, Delete, DirectoryOptions, DirectoryWrite, MetadataRead,
    MetadataWrite, Object, ObjectKind, Origin, Principal, Pull, Push, TokenError,
};
use lazuli_wire::Guid;
use lazuli_wire::arm_scope::ArmScope;
use lazuli_wire::entra::{Flavor, Tenant, TokenForm};
use lazuli_wire::query::{Query, QueryLimits};
use lazuli_wire::rbac::Permissions;
use lazuli_wire::token::{GrantType, Secret};

use crate::common::{Place, Process, REGISTRY, SERVICE, bearer, name, request};

pub const GROUP: &str = "/subscriptions/s/resourceGroups/Lab";
pub const NAME: &str = "@Request[Microsoft.ContainerRegistry/registries/repositories:name]";
const AZ: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";

pub struct Setup {
    pub process: Process,
    may: DirectoryWrite,
    pub tenant: Guid,
    made: std::cell::Cell<u8>,
}

/// A user, and the password.
pub struct User {
    pub id: Guid,
    pub name: String,
    pub password: String,
}

pub fn registry_scope() -> ArmScope {
    ArmScope::registry("s", "Lab", "lazuli").unwrap()
}

pub fn role(name: &str) -> Guid {
    built_in_roles()
        .iter()
        .find(|role| role.name == name)
        .unwrap()
        .id
}

impl Setup {
    pub async fn new(place: &Place) -> Self {
        Self::of(Process::start(place).await).await
    }

    pub async fn of(process: Process) -> Self {
        let start = process
            .identity
            .install_directory(DirectoryOptions {
                domain: "lazuli.test".to_owned(),
                admin_password: None,
            })
            .await
            .unwrap();
        let setup = Self {
            process,
            may: DirectoryWrite::of_operator(),
            tenant: start.tenant,
            made: std::cell::Cell::new(0),
        };
        setup.resource(true, false, true).await;
        setup
    }

    /// Makes the registry a resource.
    pub async fn resource(&self, admin_enabled: bool, abac: bool, arm_tokens: bool) {
        let write = move |tx: &mut lazuli_db::Tx<'_>| {
            tx.execute("DELETE FROM registry_resources", params![])?;
            tx.execute(
                "INSERT INTO registry_resources (registry_id, subscription_id, group_key, resource_group, location, sku,
                   admin_enabled, abac, arm_tokens, tags, properties, version, created_at, created_by, updated_at,
                   updated_by)
                 VALUES (1, 's', 'lab', 'Lab', 'local', 'Premium', ?1, ?2, ?3, '{}', '{}', 1, 1, '', 1, '')",
                params![admin_enabled, abac, arm_tokens],
            )?;
            policy::bump(tx)
        };
        self.process.db.write(write).await.unwrap();
        self.changed().await;
    }

    pub async fn changed(&self) {
        self.process.identity.policy_changed().await.unwrap();
    }

    fn next(&self) -> Guid {
        self.made.set(self.made.get() + 1);
        Guid::from_bytes([self.made.get(); 16])
    }

    pub async fn object(&self, kind: ObjectKind, called: &str) -> Object {
        let id = self.next();
        let key = if kind == ObjectKind::Group {
            id.to_string()
        } else {
            called.to_owned()
        };
        let mut object = Object::new(id, kind, &key, called, 1);
        if kind == ObjectKind::User {
            object
                .attributes
                .insert("userPrincipalName".to_owned(), called.into());
        }
        self.process
            .identity
            .add_object(&self.may, object, None)
            .await
            .unwrap()
    }

    pub async fn user(&self, called: &str) -> User {
        let name = format!("{called}@lazuli.test");
        let object = self.object(ObjectKind::User, &name).await;
        let password = self
            .process
            .identity
            .set_user_password(&self.may, object.id, None)
            .await
            .unwrap();
        // Sessions that began with the new password are later than it.
        self.process.advance(1);
        User {
            id: object.id,
            name,
            password: password.unwrap().expose().to_owned(),
        }
    }

    pub async fn member(&self, group: Guid, member: Guid) {
        self.process
            .identity
            .add_group_member(&self.may, group, member)
            .await
            .unwrap();
    }

    pub async fn no_member(&self, group: Guid, member: Guid) {
        self.process
            .identity
            .remove_group_member(&self.may, group, member)
            .await
            .unwrap();
    }

    pub async fn change(&self, id: Guid, change: impl Fn(&mut Object) + Send + 'static) {
        self.process
            .identity
            .change_object(&self.may, id, move |object| {
                change(object);
                Ok(())
            })
            .await
            .unwrap();
    }

    pub async fn try_assign(
        &self,
        role: Guid,
        principal: Guid,
        scope: &ArmScope,
        condition: Option<&str>,
    ) -> Result<Guid, AssignmentError> {
        let assignment = RoleAssignment {
            id: self.next(),
            scope: scope.clone(),
            role,
            principal,
            principal_type: "User".to_owned(),
            description: None,
            condition: condition.map(str::to_owned),
            created_at: 1,
            created_by: String::new(),
            updated_at: 1,
            updated_by: String::new(),
        };
        let id = assignment.id;
        let write = move |tx: &mut lazuli_db::Tx<'_>| store::put_assignment(tx, &assignment);
        self.process.db.write(write).await?;
        self.changed().await;
        Ok(id)
    }

    pub async fn assign(&self, called: &str, principal: Guid, scope: &ArmScope) -> Guid {
        self.try_assign(role(called), principal, scope, None)
            .await
            .unwrap()
    }

    pub async fn assign_if(&self, called: &str, principal: Guid, condition: &str) -> Guid {
        self.try_assign(role(called), principal, &registry_scope(), Some(condition))
            .await
            .unwrap()
    }

    pub async fn unassign(&self, id: Guid) {
        let write = move |tx: &mut lazuli_db::Tx<'_>| store::delete_assignment(tx, id);
        assert!(self.process.db.write(write).await.unwrap().is_some());
        self.changed().await;
    }

    pub async fn deny(
        &self,
        actions: &str,
        scope: &ArmScope,
        principals: &[Guid],
        excluded: &[Guid],
        is_not_inherited: bool,
    ) -> Guid {
        let named = |ids: &[Guid]| ids.iter().map(|id| DenyPrincipal { id: *id }).collect();
        let deny = DenyAssignment {
            id: self.next(),
            name: "no".to_owned(),
            description: None,
            scope: scope.clone(),
            is_not_inherited,
            permissions: vec![serde_json::from_str::<Permissions>(actions).unwrap()],
            principals: named(principals),
            excluded: named(excluded),
            condition: None,
            created_at: 1,
            created_by: String::new(),
        };
        let id = deny.id;
        let write = move |tx: &mut lazuli_db::Tx<'_>| store::put_deny(tx, &deny);
        self.process.db.write(write).await.unwrap();
        self.changed().await;
        id
    }

    /// A token of the directory for a user.
    pub async fn directory_token(&self, user: &User, audience: Audience) -> String {
        let encode = |text: &str| text.replace('@', "%40").replace('+', "%2B");
        let form = format!(
            "grant_type=password&client_id={AZ}&username={}&password={}&scope=x%2F.default",
            encode(&user.name),
            encode(&user.password)
        );
        let form = Query::parse(&form, &QueryLimits::FORM).unwrap();
        let form = TokenForm::read(&form, Flavor::V2, None).unwrap();
        let audience = move |_: &lazuli_wire::entra::Resource| Some(audience);
        let at = Authority {
            base: "https://127.0.0.1",
            tenant: &Tenant::Common,
            flavor: Flavor::V2,
            from: Origin::LOCAL,
            audience: &audience,
        };
        let answer = self.process.identity.directory_token(&at, &form).await;
        let answer = serde_json::to_value(answer.unwrap()).unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }

    pub async fn caller(&self, user: &User) -> Caller {
        let token = self.directory_token(user, Audience::Management).await;
        let identity = &self.process.identity;
        identity
            .verify_directory_token(&token, Audience::Management)
            .await
            .unwrap()
    }

    /// What `/oauth2/exchange` gives for a token.
    pub async fn exchange(&self, token: &str) -> Result<String, TokenError> {
        let mut request = request(GrantType::AccessToken, "");
        request.access_token = Some(Secret::new(token));
        let answer = self
            .process
            .identity
            .exchange(REGISTRY, SERVICE, &request)
            .await?;
        Ok(answer.refresh_token)
    }

    /// The principal of an access token that a refresh token was changed for.
    pub async fn with_refresh(&self, refresh: &str, scopes: &str) -> Principal {
        let access = self.process.refresh(refresh, scopes).await.unwrap();
        self.process.authenticate(&bearer(&access)).await.unwrap()
    }

    pub async fn sign_in(&self, user: &User) -> Principal {
        let header = crate::common::basic(&user.name, &user.password);
        self.process.authenticate(&header).await.unwrap()
    }

    /// The permissions somebody has on a repository: pull, push, delete, metadata read and write as letters.
    pub fn may(&self, principal: &Principal, repository: &str) -> String {
        let (identity, name) = (&self.process.identity, name(repository));
        let mut letters = String::new();
        let mut note = |may: bool, letter| {
            if may {
                letters.push(letter);
            }
        };
        note(
            identity
                .authorize::<Pull>(principal, REGISTRY, &name)
                .is_ok(),
            'r',
        );
        note(
            identity
                .authorize::<Push>(principal, REGISTRY, &name)
                .is_ok(),
            'w',
        );
        note(
            identity
                .authorize::<Delete>(principal, REGISTRY, &name)
                .is_ok(),
            'd',
        );
        note(
            identity
                .authorize::<MetadataRead>(principal, REGISTRY, &name)
                .is_ok(),
            'm',
        );
        note(
            identity
                .authorize::<MetadataWrite>(principal, REGISTRY, &name)
                .is_ok(),
            'l',
        );
        letters
    }

    /// Whether somebody may list repositories, and these among them.
    pub fn lists(&self, principal: &Principal, repositories: &[&str]) -> Option<Vec<bool>> {
        let access = self
            .process
            .identity
            .authorize_catalog(principal, REGISTRY)
            .ok()?;
        Some(
            repositories
                .iter()
                .map(|repository| access.may_list(repository))
                .collect(),
        )
    }
}
