//! Callers of the management plane.

use std::sync::Arc;

use lazuli_identity::rbac::store::{self, AssignmentFilter, DefinitionError};
use lazuli_identity::rbac::{AssignmentAttributes, AssignmentFacts, RoleDefinition, RoleKind};
use lazuli_identity::{ArmDenied, Caller};
use lazuli_wire::Guid;
use lazuli_wire::arm_scope::ArmScope;
use lazuli_wire::rbac::ArmAction;

use crate::common::on_both_engines;
use crate::setup::{GROUP, Setup, registry_scope, role};

fn action(text: &str) -> ArmAction {
    ArmAction::parse(text).unwrap()
}

impl Setup {
    async fn can(&self, caller: &Caller, text: &str, scope: &ArmScope) -> bool {
        let identity = &self.process.identity;
        match identity.authorize_arm(caller, &action(text), scope).await {
            Ok(access) => {
                assert_eq!(access.scope(), scope);
                true
            }
            Err(ArmDenied::Forbidden { .. }) => false,
            Err(error) => panic!("{error}"),
        }
    }
}

const READ: &str = "Microsoft.ContainerRegistry/registries/read";
const WRITE: &str = "Microsoft.ContainerRegistry/registries/write";
const ASSIGN: &str = "Microsoft.Authorization/roleAssignments/write";

#[test]
fn roles_are_inherited_downwards_only() {
    on_both_engines(async |place| {
        let setup = Setup::new(&place).await;
        let ann = setup.user("ann").await;
        let caller = setup.caller(&ann).await;
        let (group, registry) = (ArmScope::parse(GROUP).unwrap(), registry_scope());
        let other = ArmScope::parse("/subscriptions/s/resourceGroups/Laboratory").unwrap();
        assert!(!setup.can(&caller, READ, &registry).await);
        assert!(
            !setup
                .process
                .identity
                .reaches(&caller, &other)
                .await
                .unwrap()
        );
        setup.assign("Contributor", ann.id, &group).await;
        assert!(setup.can(&caller, READ, &registry).await);
        assert!(setup.can(&caller, WRITE, &registry).await);
        assert!(setup.can(&caller, READ, &group).await);
        assert!(!setup.can(&caller, ASSIGN, &registry).await);
        assert!(!setup.can(&caller, READ, &other).await);
        assert!(
            !setup
                .can(&caller, READ, &ArmScope::subscription("s").unwrap())
                .await
        );
        let identity = &setup.process.identity;
        assert!(
            identity
                .reaches(&caller, &ArmScope::subscription("s").unwrap())
                .await
                .unwrap()
        );
        assert!(!identity.reaches(&caller, &other).await.unwrap());
        let many = identity
            .authorize_arm_many(&caller, &action(READ), &[other.clone(), registry.clone()])
            .await
            .unwrap();
        assert_eq!(many.len(), 1);
        assert_eq!(many[0].scope(), &registry);
        // The group of the tenant holds every subscription.
        let root = format!(
            "/providers/Microsoft.Management/managementGroups/{}",
            setup.tenant
        );
        let root = ArmScope::parse(&root).unwrap();
        setup
            .assign("User Access Administrator", ann.id, &root)
            .await;
        assert!(setup.can(&caller, ASSIGN, &registry).await);
        assert!(setup.can(&caller, READ, &other).await);
        assert!(!setup.can(&caller, READ, &ArmScope::root()).await);
        assert!(
            setup
                .can(&Caller::operator(), ASSIGN, &ArmScope::root())
                .await
        );
    });
}

#[test]
fn denied_here_only_or_below_too() {
    on_both_engines(async |place| {
        let setup = Setup::new(&place).await;
        let ann = setup.user("ann").await;
        let caller = setup.caller(&ann).await;
        let (group, registry) = (ArmScope::parse(GROUP).unwrap(), registry_scope());
        setup.assign("Owner", ann.id, &ArmScope::root()).await;
        let what = r#"{"actions": ["Microsoft.ContainerRegistry/*/write"]}"#;
        setup.deny(what, &group, &[ann.id], &[], true).await;
        assert!(!setup.can(&caller, WRITE, &group).await);
        assert!(setup.can(&caller, WRITE, &registry).await);
        setup.deny(what, &group, &[ann.id], &[], false).await;
        assert!(!setup.can(&caller, WRITE, &registry).await);
        assert!(setup.can(&caller, READ, &registry).await);
        let listed = setup
            .process
            .db
            .read(move |tx| store::list_denials(tx, &registry, false))
            .await
            .unwrap();
        assert_eq!(listed.len(), 2);
    });
}

fn custom(id: u8, name: &str, actions: &str, scopes: &[&str]) -> RoleDefinition {
    RoleDefinition {
        id: Guid::from_bytes([id; 16]),
        name: name.to_owned(),
        description: String::new(),
        kind: RoleKind::Custom,
        permissions: Arc::from([serde_json::from_str(actions).unwrap()]),
        assignable_scopes: scopes.iter().map(|scope| scope.parse().unwrap()).collect(),
        created_at: 1,
        created_by: "x".to_owned(),
        updated_at: 1,
        updated_by: "x".to_owned(),
    }
}

#[test]
fn custom_roles_are_kept_assigned_and_changed() {
    on_both_engines(async |place| {
        let setup = Setup::new(&place).await;
        let (ann, tenant) = (setup.user("ann").await, setup.tenant);
        let caller = setup.caller(&ann).await;
        let put = async |role: RoleDefinition| {
            let write = move |tx: &mut lazuli_db::Tx<'_>| store::put_definition(tx, tenant, &role);
            let outcome = setup.process.db.write(write).await;
            setup.changed().await;
            outcome
        };
        let read = r#"{"actions": ["Microsoft.ContainerRegistry/registries/*"], "notActions": ["*/write"]}"#;
        put(custom(200, "Looker", read, &[GROUP])).await.unwrap();
        assert!(matches!(
            put(custom(201, "looker", read, &[GROUP])).await,
            Err(DefinitionError::NameTaken(_))
        ));
        assert!(matches!(
            put(custom(202, "Other", read, &[])).await,
            Err(DefinitionError::NoAssignableScope)
        ));
        let mut owner = custom(203, "Mine", read, &["/"]);
        owner.id = role("Owner");
        assert!(matches!(put(owner).await, Err(DefinitionError::BuiltIn)));
        let id = Guid::from_bytes([200; 16]);
        let elsewhere = setup.try_assign(id, ann.id, &ArmScope::root(), None).await;
        assert!(elsewhere.is_err());
        let assignment = setup
            .try_assign(id, ann.id, &registry_scope(), None)
            .await
            .unwrap();
        assert!(setup.can(&caller, READ, &registry_scope()).await);
        assert!(!setup.can(&caller, WRITE, &registry_scope()).await);
        // What the role comes to changes with it.
        put(custom(200, "Looker", r#"{"actions": []}"#, &[GROUP]))
            .await
            .unwrap();
        assert!(!setup.can(&caller, READ, &registry_scope()).await);
        let delete = async || {
            let write = move |tx: &mut lazuli_db::Tx<'_>| store::delete_definition(tx, id);
            setup.process.db.write(write).await
        };
        assert!(matches!(delete().await, Err(DefinitionError::InUse)));
        let scope = ArmScope::parse(GROUP).unwrap();
        let filter = AssignmentFilter {
            scope: scope.clone(),
            below: true,
            principals: None,
        };
        let below = setup
            .process
            .db
            .read(move |tx| store::list_assignments(tx, &filter))
            .await
            .unwrap();
        assert!(below.iter().any(|one| one.id == assignment));
        // The administrator has a role above it.
        assert_eq!(below.len(), 2);
        let filter = AssignmentFilter {
            scope: scope.clone(),
            below: false,
            principals: Some(vec![ann.id]),
        };
        assert!(
            setup
                .process
                .db
                .read(move |tx| store::list_assignments(tx, &filter))
                .await
                .unwrap()
                .is_empty()
        );
        let removed = setup
            .process
            .db
            .write(move |tx| store::delete_assignments_below(tx, &scope))
            .await;
        assert_eq!(removed.unwrap(), 1);
        assert!(delete().await.unwrap().is_some());
    });
}

#[test]
fn who_may_give_some_roles_only() {
    on_both_engines(async |place| {
        let setup = Setup::new(&place).await;
        let ann = setup.user("ann").await;
        let caller = setup.caller(&ann).await;
        let pull = role("AcrPull");
        let condition = format!(
            "((!(ActionMatches{{'{ASSIGN}'}})) OR \
              (@Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {{{pull}}}))"
        );
        let administrator = "Role Based Access Control Administrator";
        setup.assign_if(administrator, ann.id, &condition).await;
        let identity = &setup.process.identity;
        let gives = async |wanted: Guid| {
            let attributes = AssignmentAttributes {
                request: Some(AssignmentFacts {
                    role: wanted,
                    principal: ann.id,
                    principal_type: None,
                }),
                resource: None,
            };
            identity
                .authorize_arm_with(&caller, &action(ASSIGN), &registry_scope(), &attributes)
                .await
                .is_ok()
        };
        assert!(gives(pull).await);
        assert!(!gives(role("Owner")).await);
        assert!(!setup.can(&caller, ASSIGN, &registry_scope()).await);
        assert!(setup.can(&caller, READ, &registry_scope()).await);
    });
}
