//! Patterns of actions, and actions of scope maps.
#![no_main]

use lazuli_wire::rbac::{ActionPattern, ArmAction, Permissions, Plane, ScopeMapAction};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(action) = ScopeMapAction::parse(text) {
        assert_eq!(action.to_string(), text);
    }
    if let Ok(permissions) = serde_json::from_str::<Permissions>(text) {
        let action = ArmAction::parse("A/b/read").expect("an action");
        assert!(!permissions.covers(Plane::Data, &action) || permissions.has_data_actions());
    }
    let (pattern, action) = text.split_once(' ').unwrap_or((text, "A/b/read"));
    let (Ok(pattern), Ok(action)) = (ActionPattern::parse(pattern), ArmAction::parse(action)) else {
        return;
    };
    let matches = pattern.matches(&action);
    if !pattern.as_str().contains('*') {
        assert_eq!(matches, pattern.as_str().eq_ignore_ascii_case(action.as_str()));
    }
    if pattern.as_str() == "*" {
        assert!(matches);
    }
});
