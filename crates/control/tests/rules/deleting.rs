//! What goes with a registry or a group, and what is free afterwards.

use std::time::Duration;

use lazuli_control::{Deletion, Progress};
use lazuli_db::params;
use lazuli_wire::arm::{
    AssignmentBody, GroupBody, IdentityPath, LockBody, LockLevel, Within, read_object,
};
use lazuli_wire::{Guid, arm_scope::ArmScope};

use crate::support::{Fixture, PREMIUM, Precondition, code, on_both_engines};

const READ: &str = r#"{"properties":{"actions":["repositories/hello/content/read"]}}"#;

/// Rows that name a registry.
const OF_REGISTRY: [&str; 7] = [
    "SELECT COUNT(*) FROM registries WHERE id = ?1",
    "SELECT COUNT(*) FROM registry_resources WHERE registry_id = ?1",
    "SELECT COUNT(*) FROM signing_keys WHERE registry_id = ?1",
    "SELECT COUNT(*) FROM credentials WHERE registry_id = ?1",
    "SELECT COUNT(*) FROM registry_hosts WHERE registry_id = ?1",
    "SELECT COUNT(*) FROM scope_maps WHERE registry_id = ?1",
    "SELECT COUNT(*) FROM registry_tokens WHERE registry_id = ?1",
];

impl Fixture {
    async fn rows(&self, id: i64) -> i64 {
        let count = self.db.read(move |tx| {
            let mut all = 0;
            for sql in OF_REGISTRY {
                all += tx
                    .query_one(sql, params![id], |row| row.get_i64(0))?
                    .unwrap_or(0);
            }
            Ok::<_, lazuli_db::Error>(all)
        });
        count.await.unwrap()
    }

    async fn assign(&self, scope: &ArmScope, id: u8) {
        let role = "7f951dda-4ed3-4680-a7ca-43fe172d538d";
        let text = format!(
            r#"{{"properties":{{"roleDefinitionId":"{role}","principalId":"{}"}}}}"#,
            Guid::from_bytes([id; 16])
        );
        let body = AssignmentBody::read(read_object(text.as_bytes()).unwrap()).unwrap();
        let actor = self
            .may("Microsoft.Authorization/roleAssignments/write", scope)
            .await;
        let put = self
            .control
            .put_role_assignment(&actor, Guid::from_bytes([id; 16]), body);
        put.await.unwrap();
    }

    async fn is_assigned(&self, scope: &ArmScope, id: u8) -> bool {
        let actor = self
            .may("Microsoft.Authorization/roleAssignments/read", scope)
            .await;
        let found = self
            .control
            .role_assignment(&actor, Guid::from_bytes([id; 16]));
        found.await.is_ok()
    }
}

#[test]
fn a_deleted_registry_leaves_nothing_and_its_name_is_free_at_once() {
    on_both_engines(|f| async move {
        let path = f.make("hub01", "Premium").await;
        let scope = path.scope().unwrap();
        let first = f.get(&path).await.unwrap().id;
        f.put_map(&path, "map1", READ, false).await.unwrap();
        let token = format!(r#"{{"properties":{{"scopeMapId":"{path}/scopeMaps/map1"}}}}"#);
        f.put_token(&path, "tok1", &token, false).await.unwrap();
        f.assign(&scope, 3).await;
        f.assign(&path.group.scope().unwrap(), 4).await;
        assert!(f.identity.registry_name(first).await.is_ok());

        let actor = f.may("a/delete", &scope).await;
        assert!(
            f.control
                .delete_registry(&actor, &path, Precondition::None)
                .await
                .unwrap()
        );
        assert_eq!(f.rows(first.get()).await, 0);
        assert!(!f.is_assigned(&scope, 3).await);
        assert!(f.is_assigned(&path.group.scope().unwrap(), 4).await);
        // Nobody has rights in it any more, here at once.
        assert!(f.identity.registry_name(first).await.is_err());
        assert!(
            !f.control
                .delete_registry(&actor, &path, Precondition::None)
                .await
                .unwrap()
        );
        let last = f.log().await.pop().unwrap();
        assert_eq!(last, format!("a/delete {path}"));

        // The next one of the name is another registry: no content, no token, no password of the old one.
        let (second, is_new) = f.put(&path, PREMIUM, Precondition::None).await.unwrap();
        assert!(is_new && second.id > first);
        let read = f.may("a/read", &scope).await;
        assert!(f.control.tokens(&read, &path).await.unwrap().is_empty());
        assert!(!f.is_assigned(&scope, 3).await);
    });
}

#[test]
fn the_default_registry_stays() {
    on_both_engines(|f| async move {
        let path = f.registry("lazuli", "lazuli");
        let actor = f.may("a/delete", &path.group.scope().unwrap()).await;
        let error = f
            .control
            .delete_registry(&actor, &path, Precondition::None)
            .await
            .unwrap_err();
        assert_eq!(code(&error), "DefaultRegistry");
        let error = f
            .control
            .delete_group(&actor, &path.group)
            .await
            .unwrap_err();
        assert_eq!(code(&error), "DefaultRegistry");
        f.get(&path).await.unwrap();
    });
}

#[test]
fn a_group_goes_with_everything_in_it() {
    on_both_engines(|f| async move {
        let path = f.make("hub01", "Basic").await;
        f.put(&f.registry("rg", "hub02"), PREMIUM, Precondition::None)
            .await
            .unwrap();
        let identity = IdentityPath {
            group: f.group("rg"),
            name: "worker".into(),
        };
        let scope = path.group.scope().unwrap();
        let actor = f.may("a/delete", &scope).await;
        let (made, is_new) = f
            .control
            .put_managed_identity(&actor, &identity, GroupBody::default(), false)
            .await
            .unwrap();
        assert!(is_new);
        assert_eq!(made.location, "eastus");
        let object = f.identity.object(made.principal).await.unwrap().unwrap();
        assert_eq!(
            (object.display_name.as_str(), object.app_id()),
            ("worker", Some(made.client))
        );
        let (again, is_new) = f
            .control
            .put_managed_identity(&actor, &identity, GroupBody::default(), false)
            .await
            .unwrap();
        assert_eq!((again, is_new), (made.clone(), false));
        f.assign(&scope, 5).await;

        assert!(f.control.delete_group(&actor, &path.group).await.unwrap());
        assert!(!f.is_assigned(&scope, 5).await);
        assert!(f.identity.object(made.principal).await.unwrap().is_none());
        assert!(!f.control.delete_group(&actor, &path.group).await.unwrap());
        let error = f
            .control
            .registries(&Within::Group(path.group.clone()), "", 10)
            .await;
        assert_eq!(code(&error.unwrap_err()), "ResourceGroupNotFound");
        let subscription = Within::Subscription(f.installed.subscription.id);
        let left = f.control.registries(&subscription, "", 10).await.unwrap();
        assert_eq!(left.len(), 1);
    });
}

#[test]
fn a_deletion_that_takes_long_can_be_asked_about() {
    on_both_engines(|f| async move {
        let subscription = f.installed.subscription.id;
        for (lock, patience) in [
            (false, Duration::from_mins(1)),
            (false, Duration::ZERO),
            (true, Duration::ZERO),
        ] {
            let path = f.make("hub01", "Basic").await;
            let scope = path.group.scope().unwrap();
            let actor = f.may("a/delete", &scope).await;
            if lock {
                let body = LockBody {
                    level: LockLevel::CanNotDelete,
                    notes: None,
                };
                f.control.put_lock(&actor, "keep", body).await.unwrap();
            }
            let begun = f
                .control
                .begin_group_deletion(&actor, &path.group, patience)
                .await
                .unwrap();
            let Deletion::Running(id) = begun else {
                assert_eq!(begun, Deletion::Done(true));
                continue;
            };
            let mut seen = f.control.progress(subscription, id).await.unwrap().unwrap();
            while seen == Progress::Running {
                tokio::time::sleep(Duration::from_millis(5)).await;
                seen = f.control.progress(subscription, id).await.unwrap().unwrap();
            }
            if lock {
                assert!(matches!(seen, Progress::Failed(code, _) if code == "ScopeLocked"));
            } else {
                assert_eq!(seen, Progress::Done);
            }
            // Of others' identifiers nothing is known.
            assert_eq!(f.control.progress(Guid::ZERO, id).await.unwrap(), None);
            assert_eq!(
                f.control.progress(subscription, Guid::ZERO).await.unwrap(),
                None
            );
        }
    });
}

#[test]
fn a_proof_for_one_resource_is_none_for_another() {
    on_both_engines(|f| async move {
        let one = f.make("hub01", "Basic").await;
        let two = f.make("hub02", "Basic").await;
        let actor = f.may("a/delete", &one.scope().unwrap()).await;
        assert!(
            f.control
                .delete_registry(&actor, &two, Precondition::None)
                .await
                .is_err()
        );
        assert!(f.control.admin_credentials(&actor, &two).await.is_err());
        assert!(f.control.registry(&actor, &two).await.is_err());
        assert!(f.control.delete_group(&actor, &two.group).await.is_err());
        f.get(&two).await.unwrap();
    });
}
