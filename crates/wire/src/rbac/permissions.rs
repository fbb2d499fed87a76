//! What a role definition or a deny assignment is about.

use serde::{Deserialize, Serialize};

use super::{ActionPattern, ArmAction};

/// The two kinds of actions. A right on the one never implies the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Plane {
    /// Operations on resources: `actions` and `notActions`.
    Control,
    /// Operations on what resources hold: `dataActions` and `notDataActions`.
    Data,
}

/// An entry of `permissions`. What the `not` lists name is subtracted from this entry only: another one may grant it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Permissions {
    /// Operations on resources.
    #[serde(default)]
    pub actions: Vec<ActionPattern>,
    /// Subtracted from `actions`.
    #[serde(default)]
    pub not_actions: Vec<ActionPattern>,
    /// Operations on what resources hold.
    #[serde(default)]
    pub data_actions: Vec<ActionPattern>,
    /// Subtracted from `data_actions`.
    #[serde(default)]
    pub not_data_actions: Vec<ActionPattern>,
}

impl Permissions {
    /// Whether an action is covered.
    pub fn covers(&self, plane: Plane, action: &ArmAction) -> bool {
        let (some, but) = match plane {
            Plane::Control => (&self.actions, &self.not_actions),
            Plane::Data => (&self.data_actions, &self.not_data_actions),
        };
        some.iter().any(|pattern| pattern.matches(action))
            && !but.iter().any(|pattern| pattern.matches(action))
    }

    /// Whether the entry is about data at all.
    pub fn has_data_actions(&self) -> bool {
        !self.data_actions.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subtraction_and_planes() {
        let json = r#"{"actions":["*"],"notActions":["Microsoft.Authorization/*/Write"],"dataActions":["A/read"]}"#;
        let permissions: Permissions = serde_json::from_str(json).unwrap();
        let action = |text| ArmAction::parse(text).unwrap();
        assert!(permissions.covers(Plane::Control, &action("A/read")));
        assert!(!permissions.covers(
            Plane::Control,
            &action("microsoft.authorization/roleAssignments/write")
        ));
        assert!(permissions.covers(Plane::Data, &action("a/READ")));
        assert!(!permissions.covers(Plane::Data, &action("a/write")));
        assert!(serde_json::from_str::<Permissions>(r#"{"actions":["a b"]}"#).is_err());
    }
}
