//! Conditions of role assignments: the language of Azure's attribute-based access control, version 2.0.
//!
//! ```text
//! condition := and-or of unary        AND and OR are not mixed without parentheses
//! unary     := ("NOT" | "!") unary | "(" condition ")" | test
//! test      := ActionMatches{'pattern'} | SubOperationMatches{'name'} | Exists attribute
//!            | attribute operator value
//!            | attribute quantifier:operator { value, .. }       or quantifier: attribute operator { .. }
//! attribute := @Request[name] | @Resource[name] | @Principal[name] | @Environment[name]
//! value     := 'text' | number | true | false | date and time | GUID | attribute
//! ```
//!
//! An attribute that is missing or of another type makes a comparison *unknown*, and so its negation; what is unknown in the end
//! counts as false. So a condition never allows anything by what is not there.

mod compare;
mod error;
mod evaluate;
mod lexer;
mod operator;
mod parser;
mod time;

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use super::{ActionPattern, ArmAction};
use compare::Literal;
use operator::{Operator, Quantifier};

pub use error::ConditionError;
pub use evaluate::{Attributes, Truth, Value, Values};
pub use time::parse_time;

/// The longest condition, in bytes.
pub const MAX_CONDITION: usize = 8 * 1024;

/// How deep parentheses and negations nest.
pub(super) const MAX_DEPTH: usize = 32;

/// The most tests in a condition, and the most values in it.
pub(super) const MAX_TERMS: usize = 256;

/// Where an attribute comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// What the request says.
    Request,
    /// What is known of the resource.
    Resource,
    /// What is known of the caller.
    Principal,
    /// Time and network.
    Environment,
}

impl Source {
    const ALL: [Self; 4] = [
        Self::Request,
        Self::Resource,
        Self::Principal,
        Self::Environment,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "Request",
            Self::Resource => "Resource",
            Self::Principal => "Principal",
            Self::Environment => "Environment",
        }
    }
}

/// An attribute by its name, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Attribute {
    source: Source,
    name: Box<str>,
}

/// What an attribute is compared with.
#[derive(Debug, Clone, PartialEq)]
enum Operand {
    Literals(Box<[Literal]>),
    Attribute(Attribute),
}

/// An expression, made ready.
#[derive(Debug, Clone, PartialEq)]
enum Expression {
    Constant(bool),
    All(Box<[Expression]>),
    Any(Box<[Expression]>),
    Not(Box<Expression>),
    Action(ActionPattern),
    SubOperation(Box<str>),
    Exists(Attribute),
    Compare {
        attribute: Attribute,
        quantifier: Quantifier,
        operator: Operator,
        operand: Operand,
    },
}

/// A condition that was read.
#[derive(Clone)]
pub struct Condition {
    text: Arc<str>,
    expression: Arc<Expression>,
}

impl Condition {
    /// Reads a condition.
    pub fn parse(text: &str) -> Result<Self, ConditionError> {
        let expression = parser::parse(text)?;
        Ok(Self {
            text: text.into(),
            expression: Arc::new(expression),
        })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the condition is met.
    pub fn evaluate(
        &self,
        action: &ArmAction,
        sub_operation: Option<&str>,
        attributes: &dyn Attributes,
    ) -> Truth {
        evaluate::evaluate(&self.expression, action, sub_operation, attributes)
    }

    /// What is left of the condition when the action is known, and that it is no sub-operation.
    pub fn of_action(&self, action: &ArmAction) -> ActionCondition {
        ActionCondition(Arc::new(evaluate::resolve(&self.expression, action)))
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Condition({})", self.text)
    }
}

/// What is left of a condition for one action: nothing of it looks at the action any more.
#[derive(Debug, Clone, PartialEq)]
pub struct ActionCondition(Arc<Expression>);

impl ActionCondition {
    /// The outcome, if no attribute can change it.
    pub fn constant(&self) -> Option<bool> {
        match *self.0 {
            Expression::Constant(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// Whether it is met.
    pub fn evaluate(&self, attributes: &dyn Attributes) -> Truth {
        evaluate::remaining(&self.0, attributes)
    }
}
