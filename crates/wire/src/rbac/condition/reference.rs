//! Conditions as trees of the plainest kind, their text, and what they come to: what the real evaluator is compared with.

use proptest::prelude::*;

use super::{Attributes, Source, Value, Values};

/// A request: at most one repository name, any number of tags, and the action.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) name: Option<String>,
    pub(super) tags: Vec<String>,
    pub(super) size: Option<i32>,
    pub(super) action: &'static str,
}

impl Attributes for World {
    fn get(&self, source: Source, name: &str) -> Option<Values<'_>> {
        let text = |text: &String| Value::Text(text.clone().into());
        match (source, name) {
            (Source::Request, "name") => self.name.as_ref().map(|name| Values::One(text(name))),
            (Source::Resource, "tags") => Some(Values::Many(self.tags.iter().map(text).collect())),
            (Source::Environment, "size") => {
                let size = self.size?;
                Some(Values::One(Value::Number(f64::from(size))))
            }
            _ => None,
        }
    }
}

#[derive(Debug, Clone)]
pub(super) enum Tree {
    All(Vec<Tree>),
    Any(Vec<Tree>),
    Not(Box<Tree>),
    Action(&'static str),
    NameExists,
    Name(&'static str, String),
    Tags(&'static str, &'static str, Vec<String>),
    Size(&'static str, i32),
}

impl Tree {
    pub(super) fn text(&self) -> String {
        let joined = |parts: &[Self], with: &str| {
            let parts: Vec<_> = parts
                .iter()
                .map(|part| format!("({})", part.text()))
                .collect();
            parts.join(with)
        };
        match self {
            Self::All(parts) => joined(parts, " AND "),
            Self::Any(parts) => joined(parts, " || "),
            Self::Not(inner) => format!("!({})", inner.text()),
            Self::Action(pattern) => format!("ActionMatches{{'{pattern}'}}"),
            Self::NameExists => "Exists @Request[Name]".to_owned(),
            Self::Name(operator, value) => format!("@Request[name] {operator} '{value}'"),
            Self::Tags(quantifier, operator, values) => {
                let values: Vec<_> = values.iter().map(|value| format!("'{value}'")).collect();
                format!(
                    "@Resource[tags] {quantifier}:{operator} {{{}}}",
                    values.join(", ")
                )
            }
            Self::Size(operator, value) => format!("@Environment[size] {operator} {value}"),
        }
    }

    /// `None`: unknown.
    pub(super) fn outcome(&self, world: &World) -> Option<bool> {
        match self {
            Self::All(parts) => {
                let outcomes: Vec<_> = parts.iter().map(|part| part.outcome(world)).collect();
                if outcomes.contains(&Some(false)) {
                    return Some(false);
                }
                (!outcomes.contains(&None)).then_some(true)
            }
            Self::Any(parts) => {
                let outcomes: Vec<_> = parts.iter().map(|part| part.outcome(world)).collect();
                if outcomes.contains(&Some(true)) {
                    return Some(true);
                }
                (!outcomes.contains(&None)).then_some(false)
            }
            Self::Not(inner) => inner.outcome(world).map(|outcome| !outcome),
            Self::Action(pattern) => {
                Some(*pattern == "*" || pattern.eq_ignore_ascii_case(world.action))
            }
            Self::NameExists => Some(world.name.is_some()),
            Self::Name(operator, value) => world
                .name
                .as_ref()
                .map(|name| text_fits(operator, name, value)),
            Self::Tags(quantifier, operator, values) => {
                let tags = &world.tags;
                let fits = |tag: &String, value: &String| text_fits(operator, tag, value);
                if tags.is_empty() {
                    return None;
                }
                Some(match *quantifier {
                    "ForAnyOfAnyValues" => tags
                        .iter()
                        .any(|tag| values.iter().any(|value| fits(tag, value))),
                    "ForAllOfAnyValues" => tags
                        .iter()
                        .all(|tag| values.iter().any(|value| fits(tag, value))),
                    "ForAnyOfAllValues" => tags
                        .iter()
                        .any(|tag| values.iter().all(|value| fits(tag, value))),
                    _ => tags
                        .iter()
                        .all(|tag| values.iter().all(|value| fits(tag, value))),
                })
            }
            Self::Size(operator, value) => world.size.map(|size| match *operator {
                "NumericEquals" => size == *value,
                "NumericNotEquals" => size != *value,
                "NumericLessThan" => size < *value,
                "NumericLessThanEquals" => size <= *value,
                "NumericGreaterThan" => size > *value,
                _ => size >= *value,
            }),
        }
    }
}

fn text_fits(operator: &str, text: &str, value: &str) -> bool {
    let (plain, ignore) = match operator.strip_suffix("IgnoreCase") {
        Some(plain) => (plain, true),
        None => (operator, false),
    };
    let fold = |text: &str| {
        if ignore {
            text.to_lowercase()
        } else {
            text.to_owned()
        }
    };
    let (text, value) = (fold(text), fold(value));
    match plain {
        "StringEquals" => text == value,
        "StringNotEquals" => text != value,
        "StringStartsWith" => text.starts_with(&value),
        "StringNotStartsWith" => !text.starts_with(&value),
        "StringLike" => like(value.as_bytes(), text.as_bytes()),
        _ => !like(value.as_bytes(), text.as_bytes()),
    }
}

/// Of texts without backslashes.
pub(super) fn like(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, _) => text.is_empty(),
        (Some((b'*', rest)), None) => like(rest, text),
        (Some((b'*', rest)), Some((_, less))) => like(rest, text) || like(pattern, less),
        (Some((b'?', rest)), Some((_, less))) => like(rest, less),
        (Some((one, rest)), Some((other, less))) => one == other && like(rest, less),
        (Some(_), None) => false,
    }
}

const TEXT_OPERATORS: [&str; 12] = [
    "StringEquals",
    "StringNotEquals",
    "StringStartsWith",
    "StringNotStartsWith",
    "StringLike",
    "StringNotLike",
    "StringEqualsIgnoreCase",
    "StringNotEqualsIgnoreCase",
    "StringStartsWithIgnoreCase",
    "StringNotStartsWithIgnoreCase",
    "StringLikeIgnoreCase",
    "StringNotLikeIgnoreCase",
];
const QUANTIFIERS: [&str; 4] = [
    "ForAnyOfAnyValues",
    "ForAllOfAnyValues",
    "ForAnyOfAllValues",
    "ForAllOfAllValues",
];
const NUMERIC: [&str; 6] = [
    "NumericEquals",
    "NumericNotEquals",
    "NumericLessThan",
    "NumericLessThanEquals",
    "NumericGreaterThan",
    "NumericGreaterThanEquals",
];

pub(super) fn worlds() -> impl Strategy<Value = World> {
    (
        proptest::option::of("[aAb/]{0,3}"),
        proptest::collection::vec("[aAb]{0,2}", 0..3),
        proptest::option::of(-2..3),
        prop::sample::select(vec!["A/read", "A/write"]),
    )
        .prop_map(|(name, tags, size, action)| World {
            name,
            tags,
            size,
            action,
        })
}

pub(super) fn trees() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        prop::sample::select(vec!["*", "A/read", "a/WRITE"]).prop_map(Tree::Action),
        Just(Tree::NameExists),
        (
            prop::sample::select(TEXT_OPERATORS.to_vec()),
            "[aAb/*?]{0,3}"
        )
            .prop_map(|(operator, value)| Tree::Name(operator, value)),
        (
            prop::sample::select(QUANTIFIERS.to_vec()),
            prop::sample::select(TEXT_OPERATORS.to_vec()),
            proptest::collection::vec("[aAb*]{0,2}", 1..3)
        )
            .prop_map(|(quantifier, operator, values)| Tree::Tags(quantifier, operator, values)),
        (prop::sample::select(NUMERIC.to_vec()), -2..3)
            .prop_map(|(operator, value)| Tree::Size(operator, value)),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Tree::All),
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Tree::Any),
            inner.prop_map(|inner| Tree::Not(Box::new(inner))),
        ]
    })
}
