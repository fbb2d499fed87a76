//! Role definitions and assignments.

use lazuli_identity::Caller;
use lazuli_wire::Guid;
use lazuli_wire::arm::{AssignmentBody, DefinitionBody, Filter, read_object};
use lazuli_wire::arm_scope::ArmScope;
use lazuli_wire::rbac::ArmAction;

use crate::support::{Fixture, code, on_both_engines};

const PULL: &str = "7f951dda-4ed3-4680-a7ca-43fe172d538d";

fn guid(last: u8) -> Guid {
    let mut bytes = [7; 16];
    bytes[15] = last;
    Guid::from_bytes(bytes)
}

fn assign(role: &str, principal: Guid) -> AssignmentBody {
    let text = format!(
        r#"{{"properties":{{"roleDefinitionId":"/subscriptions/x/providers/Microsoft.Authorization/roleDefinitions/{role}",
        "principalId":"{principal}","principalType":"user"}}}}"#
    );
    AssignmentBody::read(read_object(text.as_bytes()).unwrap()).unwrap()
}

fn define(name: &str, scope: &str) -> DefinitionBody {
    let text = format!(
        r#"{{"properties":{{"roleName":"{name}","description":"d","permissions":[{{"actions":["Microsoft.ContainerRegistry/*/read"],
        "notActions":[]}}],"assignableScopes":["{scope}"]}}}}"#
    );
    DefinitionBody::read(read_object(text.as_bytes()).unwrap()).unwrap()
}

impl Fixture {
    async fn proofs(&self, scope: &str) -> Vec<lazuli_identity::ArmAccess> {
        let action = ArmAction::parse("Microsoft.Authorization/roleDefinitions/write").unwrap();
        let scopes = [ArmScope::parse(scope).unwrap()];
        let operator = Caller::operator();
        let proofs = self
            .identity
            .authorize_arm_many(&operator, &action, &scopes);
        proofs.await.unwrap()
    }
}

#[test]
fn a_role_is_given_once_found_above_and_below_and_taken_away() {
    on_both_engines(|f| async move {
        let path = f.make("hub01", "Basic").await;
        let (registry, group) = (path.scope().unwrap(), path.group.scope().unwrap());
        let here = f
            .may("Microsoft.Authorization/roleAssignments/write", &registry)
            .await;
        let (made, is_new) = f
            .control
            .put_role_assignment(&here, guid(1), assign(PULL, guid(9)))
            .await
            .unwrap();
        assert!(is_new);
        assert_eq!(
            (made.principal_type.as_str(), made.scope.clone()),
            ("User", registry.clone())
        );
        let (_, is_new) = f
            .control
            .put_role_assignment(&here, guid(1), assign(PULL, guid(9)))
            .await
            .unwrap();
        assert!(!is_new);
        for (id, body, expected) in [
            (2, assign(PULL, guid(9)), "RoleAssignmentExists"),
            (1, assign(PULL, guid(8)), "RoleAssignmentUpdateNotPermitted"),
            (
                3,
                assign(&guid(7).to_string(), guid(8)),
                "RoleDefinitionDoesNotExist",
            ),
            (3, assign("x", guid(8)), "InvalidRoleDefinitionId"),
            (
                3,
                AssignmentBody {
                    principal_type: Some("Robot".into()),
                    ..assign(PULL, guid(8))
                },
                "InvalidParameter",
            ),
            (
                3,
                AssignmentBody {
                    condition: Some("((".into()),
                    ..assign(PULL, guid(8))
                },
                "InvalidCondition",
            ),
            (
                3,
                AssignmentBody {
                    condition: Some("@Request[x:y] StringEquals 'a'".into()),
                    condition_version: Some("1.0".into()),
                    ..assign(PULL, guid(8))
                },
                "InvalidCondition",
            ),
        ] {
            let error = f
                .control
                .put_role_assignment(&here, guid(id), body)
                .await
                .unwrap_err();
            assert_eq!(code(&error), expected);
        }
        let above = f
            .may("Microsoft.Authorization/roleAssignments/write", &group)
            .await;
        f.control
            .put_role_assignment(&above, guid(4), assign(PULL, guid(9)))
            .await
            .unwrap();
        let ids = async |actor, filter: &str| -> Vec<u8> {
            let filter = Filter::parse(filter).unwrap();
            let found = f.control.role_assignments(actor, &filter).await.unwrap();
            let mut ids: Vec<_> = found
                .iter()
                .map(|one| one.id.as_bytes()[15])
                .filter(|id| [1, 4].contains(id))
                .collect();
            ids.sort_unstable();
            ids
        };
        assert_eq!(ids(&here, "atScope()").await, [1, 4]);
        assert_eq!(ids(&here, "atExactScope()").await, [1]);
        assert_eq!(ids(&above, "").await, [1, 4]);
        assert_eq!(ids(&above, "atScope()").await, [4]);
        let of_nine = format!("principalId eq '{}'", guid(9));
        assert_eq!(ids(&above, &of_nine).await, [1, 4]);
        assert_eq!(
            ids(&above, &format!("assignedTo('{}')", guid(8))).await,
            [0_u8; 0]
        );

        // An assignment is found at its own scope only.
        assert!(
            f.control
                .delete_role_assignment(&above, guid(1))
                .await
                .unwrap()
                .is_none()
        );
        let error = f
            .control
            .role_assignment(&above, guid(1))
            .await
            .unwrap_err();
        assert_eq!(code(&error), "RoleAssignmentNotFound");
        assert!(
            f.control
                .delete_role_assignment(&here, guid(1))
                .await
                .unwrap()
                .is_some()
        );
        assert!(
            f.control
                .delete_role_assignment(&here, guid(1))
                .await
                .unwrap()
                .is_none()
        );
    });
}

#[test]
fn custom_roles_are_made_where_one_may_and_never_replace_built_in_ones() {
    on_both_engines(|f| async move {
        let scope = format!("/subscriptions/{}", f.installed.subscription.id);
        let at = ArmScope::parse(&scope).unwrap();
        let actor = f
            .may("Microsoft.Authorization/roleDefinitions/write", &at)
            .await;
        let proofs = f.proofs(&scope).await;
        let put = async |id, body, proofs: &[_]| {
            f.control
                .put_role_definition(&actor, id, body, proofs)
                .await
        };
        let (made, is_new) = put(guid(1), define("Readers", &scope), &proofs)
            .await
            .unwrap();
        assert!(is_new && made.permissions.len() == 1);
        assert!(
            !put(guid(1), define("Readers", &scope), &proofs)
                .await
                .unwrap()
                .1
        );
        let built_in = DefinitionBody {
            role_type: Some("BuiltInRole".into()),
            ..define("Other", &scope)
        };
        for (id, body, may, expected) in [
            (
                guid(2),
                define("readers", &scope),
                true,
                "RoleDefinitionWithSameNameExists",
            ),
            (
                guid(2),
                define("AcrPull", &scope),
                true,
                "RoleDefinitionWithSameNameExists",
            ),
            (
                Guid::parse(PULL).unwrap(),
                define("Mine", &scope),
                true,
                "BuiltInRoleDefinition",
            ),
            (
                guid(2),
                define("Other", &scope),
                false,
                "LinkedAuthorizationFailed",
            ),
            (guid(2), built_in, true, "InvalidParameter"),
            (guid(2), define(" ", &scope), true, "InvalidParameter"),
        ] {
            let proofs: &[_] = if may { &proofs } else { &[] };
            let error = put(id, body, proofs).await.unwrap_err();
            assert_eq!(code(&error), expected);
        }
        let by_name = Filter::parse("roleName eq 'readers'").unwrap();
        assert_eq!(
            f.control
                .role_definitions(&actor, &by_name)
                .await
                .unwrap()
                .len(),
            1
        );
        let custom = Filter::parse("type eq 'CustomRole'").unwrap();
        assert_eq!(
            f.control
                .role_definitions(&actor, &custom)
                .await
                .unwrap()
                .len(),
            1
        );

        let given = f
            .may("Microsoft.Authorization/roleAssignments/write", &at)
            .await;
        f.control
            .put_role_assignment(&given, guid(5), assign(&guid(1).to_string(), guid(9)))
            .await
            .unwrap();
        // Whoever may not write roles where this one is assignable changes and removes nothing of it, whatever the new scopes are.
        let inside = format!("{scope}/resourceGroups/other");
        let elsewhere = f.proofs(&inside).await;
        let error = put(guid(1), define("Readers", &inside), &elsewhere).await;
        assert_eq!(code(&error.unwrap_err()), "LinkedAuthorizationFailed");
        let removed = f
            .control
            .delete_role_definition(&actor, guid(1), &elsewhere);
        assert_eq!(
            code(&removed.await.unwrap_err()),
            "LinkedAuthorizationFailed"
        );
        // Nor do its scopes leave out a place where somebody has it.
        let both = [proofs.clone(), elsewhere].concat();
        let error = put(guid(1), define("Readers", &inside), &both).await;
        assert_eq!(code(&error.unwrap_err()), "RoleDefinitionHasAssignments");
        let error = f
            .control
            .delete_role_definition(&actor, guid(1), &proofs)
            .await
            .unwrap_err();
        assert_eq!(code(&error), "RoleDefinitionHasAssignments");
        f.control
            .delete_role_assignment(&given, guid(5))
            .await
            .unwrap();
        assert!(
            f.control
                .delete_role_definition(&actor, guid(1), &proofs)
                .await
                .unwrap()
                .is_some()
        );
        assert!(
            f.control
                .delete_role_definition(&actor, guid(1), &proofs)
                .await
                .unwrap()
                .is_none()
        );
    });
}
