//! Registries: names, conditions, lists, what they use.

use lazuli_control::NameCheck;
use lazuli_identity::RegistryId;
use lazuli_wire::arm::{CheckName, Sku, Within};

use crate::support::{PREMIUM, Precondition, code, on_both_engines};

#[test]
fn the_first_start_makes_the_default_registry_a_resource() {
    on_both_engines(|f| async move {
        let path = f.registry("lazuli", "lazuli");
        let registry = f.get(&path).await.unwrap();
        assert_eq!(
            (registry.id, registry.sku),
            (RegistryId::DEFAULT, Sku::Premium)
        );
        assert!(registry.admin_user && registry.is_default());
        // Its first password was chosen by a person and is kept as a hash only; the other one can be shown.
        let actor = f.may("a/listCredentials", &path.scope().unwrap()).await;
        let credentials = f.control.admin_credentials(&actor, &path).await.unwrap();
        let names: Vec<_> = credentials
            .passwords
            .iter()
            .map(|(which, _)| which.as_str())
            .collect();
        assert_eq!(
            (credentials.username.as_str(), names),
            ("lazuli", vec!["password2"])
        );
    });
}

#[test]
fn put_makes_and_replaces_patch_merges() {
    on_both_engines(|f| async move {
        f.make_group("RG").await;
        let path = f.registry("rg", "MyHub01");
        let text = r#"{"location":"East US","sku":{"name":"premium"},"tags":{"a":"b"},"properties":{"adminUserEnabled":true}}"#;
        let (made, is_new) = f.put(&path, text, Precondition::None).await.unwrap();
        assert!(is_new);
        assert_eq!(
            made.path.to_string(),
            f.registry("RG", "MyHub01").to_string()
        );
        assert_eq!(
            (made.login_name().as_str(), made.location.as_str()),
            ("myhub01", "eastus")
        );
        assert!(made.admin_user && !made.anonymous_pull && !made.abac && made.arm_tokens);
        assert!(made.id.get() > 1);

        // The same again changes nothing and writes nothing.
        let operations = f.log().await;
        let (again, is_new) = f.put(&path, text, Precondition::None).await.unwrap();
        assert_eq!((again, is_new), (made.clone(), false));
        assert_eq!(f.log().await, operations);
        assert!(operations.last().unwrap().ends_with("registries/MyHub01"));

        let lower = f.registry("rg", "myhub01");
        let patched = f
            .patch(&lower, r#"{"properties":{"anonymousPullEnabled":true}}"#)
            .await
            .unwrap();
        assert!(patched.anonymous_pull && patched.admin_user && patched.tags.contains_key("a"));
        assert_eq!(
            (&*patched.path.name, patched.version),
            ("MyHub01", made.version + 1)
        );
        assert_eq!(f.get(&lower).await.unwrap(), patched);

        // What a PUT leaves out goes back to its default.
        let (replaced, _) = f.put(&path, PREMIUM, Precondition::None).await.unwrap();
        assert!(!replaced.anonymous_pull && !replaced.admin_user && replaced.tags.is_empty());
        assert_eq!(replaced.path.name, made.path.name);
    });
}

#[test]
fn names_are_checked_and_taken_once_in_the_whole_installation() {
    on_both_engines(|f| async move {
        f.make("taken", "Basic").await;
        f.make_group("other").await;
        for (name, expected) in [
            ("abcd", "InvalidResourceName"),
            ("has-dash", "InvalidResourceName"),
            ("TAKEN", "AlreadyInUse"),
            ("lazuli", "AlreadyInUse"),
        ] {
            let path = f.registry("other", name);
            let error = f.put(&path, PREMIUM, Precondition::None).await.unwrap_err();
            assert_eq!(code(&error), expected, "{name}");
        }
        let scope = f.group("other").scope().unwrap();
        let actor = f.may("a/read", &scope).await;
        let ask = |name: &str, kind: &str| CheckName {
            name: name.to_owned(),
            kind: kind.to_owned(),
            hashed_name: false,
        };
        let kind = "microsoft.containerregistry/Registries";
        let check = async |name: &str| {
            f.control
                .check_name(&actor, &ask(name, kind))
                .await
                .unwrap()
        };
        assert_eq!(check("fresh01").await, NameCheck::Free);
        assert!(matches!(check("Taken").await, NameCheck::Taken(_)));
        assert!(matches!(check("abc").await, NameCheck::Invalid(_)));
        let other = f.control.check_name(&actor, &ask("fresh01", "X/y")).await;
        assert_eq!(code(&other.unwrap_err()), "InvalidParameter");
    });
}

#[test]
fn a_registry_needs_its_group_a_location_and_a_tier() {
    on_both_engines(|f| async move {
        let error = f
            .put(&f.registry("none", "hub01"), PREMIUM, Precondition::None)
            .await
            .unwrap_err();
        assert_eq!(code(&error), "ResourceGroupNotFound");
        f.make_group("rg").await;
        let path = f.registry("rg", "hub01");
        for (text, expected) in [
            (r#"{"sku":{"name":"Basic"}}"#, "LocationRequired"),
            (r#"{"location":"eastus"}"#, "MissingSku"),
        ] {
            let error = f.put(&path, text, Precondition::None).await.unwrap_err();
            assert_eq!(code(&error), expected);
        }
        f.put(&path, PREMIUM, Precondition::None).await.unwrap();
        let error = f
            .patch(&path, r#"{"location":"westus"}"#)
            .await
            .unwrap_err();
        assert_eq!(code(&error), "InvalidResourceLocation");
        let missing = f.get(&f.registry("rg", "other")).await.unwrap_err();
        assert_eq!(code(&missing), "ResourceNotFound");
        // At another group it is not found either.
        f.make_group("rg2").await;
        let elsewhere = f.get(&f.registry("rg2", "hub01")).await.unwrap_err();
        assert_eq!(code(&elsewhere), "ResourceNotFound");
    });
}

#[test]
fn conditions_hold_or_nothing_happens() {
    on_both_engines(|f| async move {
        f.make_group("rg").await;
        let path = f.registry("rg", "hub01");
        for condition in [Precondition::Exists, Precondition::Is(vec!["1".to_owned()])] {
            let error = f.put(&path, PREMIUM, condition).await.unwrap_err();
            assert_eq!(code(&error), "PreconditionFailed");
        }
        let (made, _) = f.put(&path, PREMIUM, Precondition::Absent).await.unwrap();
        let error = f
            .put(&path, PREMIUM, Precondition::Absent)
            .await
            .unwrap_err();
        assert_eq!(code(&error), "PreconditionFailed");
        let tag = Precondition::Is(vec!["other".to_owned(), made.tag()]);
        let text = r#"{"location":"eastus","sku":{"name":"Premium"},"tags":{"x":"y"}}"#;
        let (changed, _) = f.put(&path, text, tag.clone()).await.unwrap();
        assert_ne!(changed.tag(), made.tag());
        let error = f.put(&path, PREMIUM, tag).await.unwrap_err();
        assert_eq!(code(&error), "PreconditionFailed");
        assert_eq!(f.get(&path).await.unwrap(), changed);
    });
}

#[test]
fn registries_are_listed_by_name_in_pages() {
    on_both_engines(|f| async move {
        for name in ["hubb1", "HubA1", "hubc1"] {
            f.make(name, "Basic").await;
        }
        let names = async |within: Within, limit| {
            let (mut names, mut after) = (Vec::new(), String::new());
            loop {
                let page = f.control.registries(&within, &after, limit).await.unwrap();
                let Some(last) = page.last() else { break names };
                after = last.login_name();
                names.extend(page.iter().map(|one| one.path.name.to_string()));
            }
        };
        let subscription = Within::Subscription(f.installed.subscription.id);
        assert_eq!(
            names(subscription, 2).await,
            ["HubA1", "hubb1", "hubc1", "lazuli"]
        );
        assert_eq!(
            names(Within::Group(f.group("RG")), 1).await,
            ["HubA1", "hubb1", "hubc1"]
        );
    });
}

#[test]
fn what_a_registry_uses_is_counted() {
    on_both_engines(|f| async move {
        let path = f.make("hub01", "Standard").await;
        let id = f.get(&path).await.unwrap().id.get();
        f.db.write(move |tx| {
            for (digest, size, condemned) in [(1_u8, 10, None), (2, 32, None), (3, 64, Some(5_i64))] {
                tx.execute(
                    "INSERT INTO blobs (registry_id, digest, size, location, content, created_at, leased_until, condemned_at)
                     VALUES (?1, ?2, ?3, 'x', NULL, 1, 1, ?4)",
                    lazuli_db::params![id, &[digest][..], size, condemned],
                )?;
            }
            Ok::<_, lazuli_db::Error>(())
        })
        .await
        .unwrap();
        let actor = f.may("a/read", &path.scope().unwrap()).await;
        let usage = f.control.usage(&actor, &path).await.unwrap();
        assert_eq!((usage.size, usage.scope_maps, usage.tokens), (42, 0, 0));
        assert_eq!(usage.limits, lazuli_control::limits(Sku::Standard));
        assert_eq!((usage.limits.scope_maps, usage.limits.webhooks), (500, 10));
    });
}
