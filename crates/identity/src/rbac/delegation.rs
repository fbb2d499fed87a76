//! What conditions may ask about giving and taking roles: so somebody may give some roles only, or only to some.

use lazuli_wire::Guid;
use lazuli_wire::rbac::{Attributes, Source, Value, Values};

/// What conditions see of a role assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssignmentFacts {
    /// The role definition.
    pub role: Guid,
    /// Who has it, or is to have it.
    pub principal: Guid,
    /// `User`, `Group`, `ServicePrincipal`; `None` when the request does not say.
    pub principal_type: Option<String>,
}

/// The attributes of a request about a role assignment, for [`Identity::authorize_arm_with`](crate::Identity::authorize_arm_with):
/// `@Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId]` and its kin of what is to be written,
/// `@Resource[..]` of what is to be removed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AssignmentAttributes {
    /// What the request would write.
    pub request: Option<AssignmentFacts>,
    /// What is there.
    pub resource: Option<AssignmentFacts>,
}

impl Attributes for AssignmentAttributes {
    fn get(&self, source: Source, name: &str) -> Option<Values<'_>> {
        let facts = match source {
            Source::Request => self.request.as_ref()?,
            Source::Resource => self.resource.as_ref()?,
            Source::Principal | Source::Environment => return None,
        };
        match name.strip_prefix("microsoft.authorization/roleassignments:")? {
            "roledefinitionid" => Some(Values::One(Value::Guid(facts.role))),
            "principalid" => Some(Values::One(Value::Guid(facts.principal))),
            "principaltype" => facts.principal_type.as_deref().map(Values::text),
            _ => None,
        }
    }
}
