//! Locks hold what is below them.

use lazuli_control::Error;
use lazuli_wire::arm::{GroupBody, LockBody, LockLevel};
use lazuli_wire::arm_scope::ArmScope;

use crate::support::{Fixture, PREMIUM, Precondition, code, on_both_engines};

const READ: &str = r#"{"properties":{"actions":["repositories/hello/content/read"]}}"#;

impl Fixture {
    async fn lock(&self, scope: &ArmScope, name: &str, level: LockLevel) {
        let actor = self.may("Microsoft.Authorization/locks/write", scope).await;
        let body = LockBody {
            level,
            notes: Some("why".to_owned()),
        };
        let (lock, is_new) = self.control.put_lock(&actor, name, body).await.unwrap();
        assert!(is_new);
        assert_eq!((lock.level, lock.scope), (level, scope.clone()));
    }

    async fn unlock(&self, scope: &ArmScope, name: &str) {
        let actor = self
            .may("Microsoft.Authorization/locks/delete", scope)
            .await;
        assert!(self.control.delete_lock(&actor, name).await.unwrap());
        assert!(!self.control.delete_lock(&actor, name).await.unwrap());
    }
}

fn is_locked<T: std::fmt::Debug>(outcome: Result<T, Error>) -> bool {
    match outcome {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(code(&error), "ScopeLocked");
            true
        }
    }
}

#[test]
fn a_lock_holds_itself_and_what_is_below() {
    on_both_engines(|f| async move {
        let path = f.make("hub01", "Premium").await;
        let registry = path.scope().unwrap();
        let group = path.group.scope().unwrap();
        let subscription =
            ArmScope::subscription(&f.installed.subscription.id.to_string()).unwrap();
        let delete = f.may("a/delete", &subscription).await;
        for scope in [&registry, &group, &subscription] {
            f.lock(scope, "Keep", LockLevel::CanNotDelete).await;
            // Changes are allowed, deletes are not: of the registry, of the group that holds it, of what is in it.
            f.patch(&path, &format!(r#"{{"tags":{{"{}":"x"}}}}"#, scope.name()))
                .await
                .unwrap();
            f.put_map(&path, "map1", READ, false).await.unwrap();
            assert!(is_locked(
                f.control
                    .delete_registry(&delete, &path, Precondition::None)
                    .await
            ));
            assert!(is_locked(
                f.control.delete_group(&delete, &path.group).await
            ));
            assert!(is_locked(
                f.control.delete_scope_map(&delete, &path, "map1").await
            ));
            f.unlock(scope, "keep").await;

            f.lock(scope, "Freeze", LockLevel::ReadOnly).await;
            assert!(is_locked(f.patch(&path, r#"{"tags":{"other":"y"}}"#).await));
            assert!(is_locked(f.put_map(&path, "map2", READ, false).await));
            assert!(is_locked(
                f.control
                    .delete_registry(&delete, &path, Precondition::None)
                    .await
            ));
            let body = GroupBody {
                tags: Some([("a".to_owned(), scope.name().to_owned())].into()),
                ..GroupBody::default()
            };
            let held = f.control.patch_group(&delete, &path.group, body).await;
            assert_eq!(held.is_err(), *scope != registry);
            f.get(&path).await.unwrap();
            f.unlock(scope, "Freeze").await;
        }
        // A lock elsewhere holds nothing here.
        f.make_group("other").await;
        f.lock(
            &f.group("other").scope().unwrap(),
            "Keep",
            LockLevel::ReadOnly,
        )
        .await;
        assert!(is_locked(
            f.put(&f.registry("other", "hub02"), PREMIUM, Precondition::None)
                .await
        ));
        assert!(
            f.control
                .delete_registry(&delete, &path, Precondition::None)
                .await
                .unwrap()
        );
    });
}

#[test]
fn locks_are_listed_from_above_and_below() {
    on_both_engines(|f| async move {
        let path = f.make("hub01", "Premium").await;
        let (registry, group) = (path.scope().unwrap(), path.group.scope().unwrap());
        f.lock(&registry, "one", LockLevel::CanNotDelete).await;
        f.lock(&group, "two", LockLevel::CanNotDelete).await;
        for scope in [&registry, &group] {
            let actor = f.may("Microsoft.Authorization/locks/read", scope).await;
            let mut names: Vec<_> = f
                .control
                .locks(&actor)
                .await
                .unwrap()
                .into_iter()
                .map(|lock| lock.name)
                .collect();
            names.sort();
            assert_eq!(names, ["one", "two"]);
        }
        let actor = f.may("Microsoft.Authorization/locks/read", &registry).await;
        assert_eq!(f.control.lock(&actor, "ONE").await.unwrap().name, "one");
        let error = f.control.lock(&actor, "two").await.unwrap_err();
        assert_eq!(code(&error), "LockNotFound");
        let body = LockBody {
            level: LockLevel::ReadOnly,
            notes: None,
        };
        let (changed, is_new) = f.control.put_lock(&actor, "One", body).await.unwrap();
        assert!(!is_new && changed.level == LockLevel::ReadOnly && changed.notes.is_none());
    });
}
