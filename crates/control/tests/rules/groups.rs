//! Resource groups.

use lazuli_wire::arm::GroupBody;

use crate::support::{code, on_both_engines};

fn at(location: Option<&str>, tag: Option<&str>) -> GroupBody {
    GroupBody {
        location: location.map(str::to_owned),
        tags: tag.map(|tag| [("t".to_owned(), tag.to_owned())].into()),
        managed_by: None,
    }
}

#[test]
fn a_group_is_made_changed_and_found_in_any_case() {
    on_both_engines(|f| async move {
        let path = f.group("Prod.RG");
        let actor = f.may("a/write", &path.scope().unwrap()).await;
        let missing = f.control.group(&actor, &path).await.unwrap_err();
        assert_eq!(code(&missing), "ResourceGroupNotFound");
        let no_location = f.control.put_group(&actor, &path, at(None, None)).await;
        assert_eq!(code(&no_location.unwrap_err()), "LocationRequired");
        let (made, is_new) = f
            .control
            .put_group(&actor, &path, at(Some("West Europe"), None))
            .await
            .unwrap();
        assert!(is_new);
        assert_eq!(
            (&*made.path.name, made.location.as_str()),
            ("Prod.RG", "westeurope")
        );

        // The same again is no change; another location is none either.
        let operations = f.log().await.len();
        let again = f
            .control
            .put_group(&actor, &path, at(Some("westeurope"), None))
            .await;
        assert_eq!(again.unwrap(), (made.clone(), false));
        assert_eq!(f.log().await.len(), operations);
        let moved = f
            .control
            .put_group(&actor, &path, at(Some("eastus"), None))
            .await;
        assert_eq!(code(&moved.unwrap_err()), "InvalidResourceGroupLocation");

        let lower = f.group("prod.rg");
        let (tagged, is_new) = f
            .control
            .put_group(&actor, &lower, at(None, Some("x")))
            .await
            .unwrap();
        assert!(!is_new);
        assert_eq!((&*tagged.path.name, &*tagged.tags["t"]), ("Prod.RG", "x"));
        let kept = f
            .control
            .patch_group(&actor, &lower, at(None, None))
            .await
            .unwrap();
        assert_eq!(kept, tagged);
        let replaced = f
            .control
            .put_group(&actor, &path, at(None, None))
            .await
            .unwrap();
        assert!(replaced.0.tags.is_empty());
    });
}

#[test]
fn names_locations_and_tags_are_checked() {
    on_both_engines(|f| async move {
        for (name, body, expected) in [
            ("dot.", at(Some("eastus"), None), "InvalidResourceGroup"),
            (
                "ok",
                at(Some("no/where"), None),
                "LocationNotAvailableForResourceGroup",
            ),
            (
                "ok",
                at(Some("eastus"), Some(&"x".repeat(300))),
                "InvalidTags",
            ),
        ] {
            let path = f.group(name);
            let actor = f.may("a/write", &f.group("ok").scope().unwrap()).await;
            let error = f.control.put_group(&actor, &path, body).await.unwrap_err();
            assert_eq!(code(&error), expected, "{name}");
        }
    });
}

#[test]
fn groups_are_listed_in_pages() {
    on_both_engines(|f| async move {
        for name in ["b", "A", "c"] {
            f.make_group(name).await;
        }
        let subscription = f.installed.subscription.id;
        let mut names = Vec::new();
        let mut after = String::new();
        loop {
            let page = f.control.groups(subscription, &after, 2).await.unwrap();
            let Some(last) = page.last() else { break };
            after = last.path.key();
            names.extend(page.iter().map(|group| group.path.name.to_string()));
        }
        assert_eq!(names, ["A", "b", "c", "lazuli"]);
        let unknown = lazuli_wire::Guid::ZERO;
        let error = f.control.groups(unknown, "", 2).await.unwrap_err();
        assert_eq!(code(&error), "SubscriptionNotFound");
    });
}
