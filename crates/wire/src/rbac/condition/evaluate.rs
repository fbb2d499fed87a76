//! Whether a condition is met.

use std::borrow::Cow;

use super::compare::{Literal, fits, prepared};
use super::operator::{Operator, Quantifier};
use super::{Attribute, Expression, Operand, Source};
use crate::Guid;
use crate::rbac::ArmAction;

/// An outcome. What rests on a missing attribute is unknown, and so is its negation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// It is not.
    False,
    /// Nobody can tell. For what grants this counts as false, for what denies as true.
    Unknown,
    /// It is.
    True,
}

impl Truth {
    /// Whether something granted under the condition is granted.
    pub fn is_true(self) -> bool {
        self == Self::True
    }

    const fn of(truth: bool) -> Self {
        if truth { Self::True } else { Self::False }
    }

    const fn not(self) -> Self {
        match self {
            Self::False => Self::True,
            Self::Unknown => Self::Unknown,
            Self::True => Self::False,
        }
    }
}

/// A value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'v> {
    /// A text. Compared with times and GUIDs, too.
    Text(Cow<'v, str>),
    /// A number.
    Number(f64),
    /// Microseconds since the Unix epoch.
    Time(i64),
    /// A truth value.
    Bool(bool),
    /// An identifier.
    Guid(Guid),
}

/// The values of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Values<'v> {
    /// Exactly one.
    One(Value<'v>),
    /// Any number of them.
    Many(Vec<Value<'v>>),
}

impl<'v> Values<'v> {
    /// One text.
    pub const fn text(text: &'v str) -> Self {
        Self::One(Value::Text(Cow::Borrowed(text)))
    }

    fn as_slice(&self) -> &[Value<'v>] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }
}

/// Where a condition finds attributes.
pub trait Attributes {
    /// The values of an attribute, whose name is in lower case; `None` when there is no such attribute here.
    fn get(&self, source: Source, name: &str) -> Option<Values<'_>>;
}

/// Looks at everything.
pub(super) fn evaluate(
    expression: &Expression,
    action: &ArmAction,
    sub_operation: Option<&str>,
    attributes: &dyn Attributes,
) -> Truth {
    walk(expression, attributes, &|test| match test {
        Expression::Action(pattern) => Truth::of(pattern.matches(action)),
        Expression::SubOperation(name) => {
            Truth::of(sub_operation.is_some_and(|operation| operation.to_lowercase() == **name))
        }
        _ => Truth::Unknown,
    })
}

/// Looks at an expression of which [`resolve`] took away the tests of the action.
pub(super) fn remaining(expression: &Expression, attributes: &dyn Attributes) -> Truth {
    walk(expression, attributes, &|_| Truth::Unknown)
}

fn walk(
    expression: &Expression,
    attributes: &dyn Attributes,
    action: &dyn Fn(&Expression) -> Truth,
) -> Truth {
    match expression {
        Expression::Constant(truth) => Truth::of(*truth),
        Expression::All(parts) => {
            let mut sum = Truth::True;
            for part in parts {
                match walk(part, attributes, action) {
                    Truth::False => return Truth::False,
                    Truth::Unknown => sum = Truth::Unknown,
                    Truth::True => {}
                }
            }
            sum
        }
        Expression::Any(parts) => {
            let mut sum = Truth::False;
            for part in parts {
                match walk(part, attributes, action) {
                    Truth::True => return Truth::True,
                    Truth::Unknown => sum = Truth::Unknown,
                    Truth::False => {}
                }
            }
            sum
        }
        Expression::Not(inner) => walk(inner, attributes, action).not(),
        Expression::Action(_) | Expression::SubOperation(_) => action(expression),
        Expression::Exists(attribute) => Truth::of(find(attributes, attribute).is_some()),
        Expression::Compare {
            attribute,
            quantifier,
            operator,
            operand,
        } => compare(attributes, attribute, *quantifier, *operator, operand),
    }
}

/// The values of an attribute. One that is there without a value counts as missing.
fn find<'a>(attributes: &'a dyn Attributes, attribute: &Attribute) -> Option<Values<'a>> {
    attributes
        .get(attribute.source, &attribute.name)
        .filter(|values| !values.as_slice().is_empty())
}

fn compare(
    attributes: &dyn Attributes,
    attribute: &Attribute,
    quantifier: Quantifier,
    operator: Operator,
    operand: &Operand,
) -> Truth {
    let outcome = (|| {
        let left = find(attributes, attribute)?;
        match operand {
            Operand::Literals(right) => quantify(quantifier, operator, &left, right),
            Operand::Attribute(other) => {
                let right = find(attributes, other)?;
                let right: Option<Vec<Literal>> = right
                    .as_slice()
                    .iter()
                    .map(|value| Literal::of_value(operator, value))
                    .collect();
                quantify(quantifier, operator, &left, &right?)
            }
        }
    })();
    outcome.map_or(Truth::Unknown, Truth::of)
}

/// `None` when a value is of another type, or there are many without a quantifier.
fn quantify(
    quantifier: Quantifier,
    operator: Operator,
    left: &Values<'_>,
    right: &[Literal],
) -> Option<bool> {
    let left = left.as_slice();
    let pair = |value: &Value<'_>, literal: &Literal| {
        Some(fits(operator.test, value, literal)? != operator.negated)
    };
    if quantifier == Quantifier::One {
        let ([value], [literal]) = (left, right) else {
            return None;
        };
        return pair(&prepared(operator, value)?, literal);
    }
    let (mut any, mut all) = (false, true);
    for value in left {
        let value = prepared(operator, value)?;
        let (mut fits_any, mut fits_all) = (false, true);
        for literal in right {
            let fits = pair(&value, literal)?;
            fits_any |= fits;
            fits_all &= fits;
        }
        let fits = match quantifier {
            Quantifier::AnyOfAny | Quantifier::AllOfAny => fits_any,
            Quantifier::One | Quantifier::AnyOfAll | Quantifier::AllOfAll => fits_all,
        };
        any |= fits;
        all &= fits;
    }
    Some(match quantifier {
        Quantifier::AnyOfAny | Quantifier::AnyOfAll => any,
        Quantifier::One | Quantifier::AllOfAny | Quantifier::AllOfAll => all,
    })
}

/// Takes away the tests of the action. There is no sub-operation.
pub(super) fn resolve(expression: &Expression, action: &ArmAction) -> Expression {
    match expression {
        Expression::Action(pattern) => Expression::Constant(pattern.matches(action)),
        Expression::SubOperation(_) => Expression::Constant(false),
        Expression::Not(inner) => match resolve(inner, action) {
            Expression::Constant(truth) => Expression::Constant(!truth),
            inner => Expression::Not(Box::new(inner)),
        },
        Expression::All(parts) => joined(parts, action, true),
        Expression::Any(parts) => joined(parts, action, false),
        other => other.clone(),
    }
}

/// `neutral` changes nothing; its opposite decides.
fn joined(parts: &[Expression], action: &ArmAction, neutral: bool) -> Expression {
    let mut left = Vec::new();
    for part in parts {
        match resolve(part, action) {
            Expression::Constant(truth) if truth == neutral => {}
            Expression::Constant(truth) => return Expression::Constant(truth),
            part => left.push(part),
        }
    }
    match left.len() {
        0 => Expression::Constant(neutral),
        1 => left.swap_remove(0),
        _ if neutral => Expression::All(left.into()),
        _ => Expression::Any(left.into()),
    }
}
