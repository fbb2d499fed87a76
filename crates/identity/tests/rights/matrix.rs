//! Every role, at every place, in both modes.

use lazuli_wire::arm_scope::ArmScope;

use crate::common::on_both_engines;
use crate::setup::{GROUP, Setup, registry_scope};

/// The permissions on repositories as letters, and whether they may be listed.
type May = (&'static str, bool);

/// A role, what it allows on repositories in the old mode and in the other, and whether it lists in each.
const ROLES: &[(&str, May, May)] = &[
    ("Owner", ("rwdml", true), ("", false)),
    ("Contributor", ("rwdml", true), ("", false)),
    ("Reader", ("rm", true), ("", false)),
    ("User Access Administrator", ("rm", true), ("", false)),
    (
        "Role Based Access Control Administrator",
        ("rm", true),
        ("", false),
    ),
    ("AcrPull", ("rm", true), ("", false)),
    ("AcrPush", ("rwm", true), ("", false)),
    ("AcrDelete", ("d", false), ("", false)),
    ("AcrImageSigner", ("", false), ("", false)),
    ("AcrQuarantineReader", ("", false), ("", false)),
    ("AcrQuarantineWriter", ("", false), ("", false)),
    (
        "Container Registry Repository Reader",
        ("", false),
        ("rm", false),
    ),
    (
        "Container Registry Repository Writer",
        ("", false),
        ("rwml", false),
    ),
    (
        "Container Registry Repository Contributor",
        ("", false),
        ("rwdml", false),
    ),
    (
        "Container Registry Repository Catalog Lister",
        ("", false),
        ("", true),
    ),
    (
        "Container Registry Data Importer and Data Reader",
        ("rm", true),
        ("", false),
    ),
    (
        "Container Registry Tasks Contributor",
        ("", false),
        ("", false),
    ),
    (
        "Container Registry Contributor and Data Access Configuration Administrator",
        ("", false),
        ("", false),
    ),
];

#[test]
fn every_role_means_the_same_at_every_place_that_holds_the_registry() {
    on_both_engines(async |place| {
        let setup = Setup::new(&place).await;
        let ann = setup.user("ann").await;
        let subscription = ArmScope::subscription("S").unwrap();
        let places = [
            (ArmScope::root(), true),
            (subscription, true),
            (
                ArmScope::parse(
                    &GROUP
                        .to_uppercase()
                        .replace("SUBSCRIPTIONS", "subscriptions"),
                )
                .unwrap(),
                true,
            ),
            (registry_scope(), true),
            (ArmScope::subscription("other").unwrap(), false),
            (ArmScope::registry("s", "Lab", "lazul").unwrap(), false),
            (
                ArmScope::parse(&format!("{}/tokens/x", registry_scope())).unwrap(),
                false,
            ),
        ];
        for abac in [false, true] {
            setup.resource(true, abac, true).await;
            for (role, legacy, data) in ROLES {
                let (letters, lists) = if abac { data } else { legacy };
                for (scope, holds) in &places {
                    let assignment = setup.assign(role, ann.id, scope).await;
                    let principal = setup.sign_in(&ann).await;
                    let expected = if *holds { letters } else { "" };
                    assert_eq!(
                        setup.may(&principal, "a/b"),
                        *expected,
                        "{role} at {scope} abac {abac}"
                    );
                    assert_eq!(
                        setup.lists(&principal, &[]).is_some(),
                        *lists && *holds,
                        "{role} at {scope} abac {abac}"
                    );
                    setup.unassign(assignment).await;
                }
            }
        }
    });
}
