//! Scopes of the management plane.
#![no_main]

use lazuli_wire::arm_scope::{ArmScope, MAX_SCOPE};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(scope) = ArmScope::parse(text) else {
        return;
    };
    assert!(text.len() <= MAX_SCOPE);
    assert_eq!(ArmScope::parse(scope.as_str()), Ok(scope.clone()));
    assert!(scope.contains(&scope) && ArmScope::root().contains(&scope));
    let mut above = 0;
    for key in scope.ancestor_keys() {
        let ancestor = ArmScope::parse(key).expect("what is above a scope is one");
        assert!(ancestor.contains(&scope));
        above += 1;
    }
    assert!(above >= 1);
    let _ = (
        scope.subscription_id(),
        scope.resource_group_name(),
        scope.management_group(),
        scope.resource(),
        scope.name(),
    );
});
