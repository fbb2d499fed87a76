//! Conditions of role assignments: read or refused, and the same outcome whether or not the action is known beforehand.
#![no_main]

use lazuli_wire::rbac::{ArmAction, Attributes, Condition, Source, Truth, Value, Values};
use libfuzzer_sys::fuzz_target;

struct World<'a>(&'a str);

impl Attributes for World<'_> {
    fn get(&self, source: Source, name: &str) -> Option<Values<'_>> {
        match (source, name.len() % 4) {
            (Source::Request, _) => Some(Values::text(self.0)),
            (Source::Resource, 0) => Some(Values::Many(vec![Value::Number(1.0), Value::Bool(true)])),
            (Source::Environment, 1) => Some(Values::One(Value::Time(0))),
            _ => None,
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(condition) = Condition::parse(text) else {
        return;
    };
    assert_eq!(condition.as_str(), text);
    let action = ArmAction::parse("Microsoft.ContainerRegistry/registries/repositories/content/read")
        .expect("an action");
    for name in ["", "team/app", &text[..text.floor_char_boundary(64)]] {
        let outcome = condition.evaluate(&action, None, &World(name));
        let remaining = condition.of_action(&action);
        assert_eq!(remaining.evaluate(&World(name)), outcome);
        if let Some(constant) = remaining.constant() {
            assert_eq!(outcome, if constant { Truth::True } else { Truth::False });
        }
    }
});
