//! The operators and quantifiers.

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Test {
    Equals,
    StartsWith,
    Like,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What kind of values is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Text,
    TextIgnoreCase,
    Number,
    Time,
    Bool,
    Guid,
}

/// An operator. The negated ones are true where the plain one is false, and unknown where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Operator {
    pub(super) kind: Kind,
    pub(super) test: Test,
    pub(super) negated: bool,
}

impl Operator {
    /// The operator of a name, in any case.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let numeric = |rest: &str| {
            Some(match rest {
                "equals" => (Test::Equals, false),
                "notequals" => (Test::Equals, true),
                "lessthan" => (Test::Less, false),
                "lessthanequals" => (Test::LessOrEqual, false),
                "greaterthan" => (Test::Greater, false),
                "greaterthanequals" => (Test::GreaterOrEqual, false),
                _ => return None,
            })
        };
        let (kind, (test, negated)) = if let Some(rest) = name.strip_prefix("string") {
            let (rest, kind) = match rest.strip_suffix("ignorecase") {
                Some(rest) => (rest, Kind::TextIgnoreCase),
                None => (rest, Kind::Text),
            };
            let (rest, negated) = match rest.strip_prefix("not") {
                Some(rest) => (rest, true),
                None => (rest, false),
            };
            let test = match rest {
                "equals" => Test::Equals,
                "startswith" => Test::StartsWith,
                "like" => Test::Like,
                _ => return None,
            };
            (kind, (test, negated))
        } else if let Some(rest) = name.strip_prefix("numeric") {
            (Kind::Number, numeric(rest)?)
        } else if let Some(rest) = name.strip_prefix("datetime") {
            (Kind::Time, numeric(rest)?)
        } else if let Some(rest) = name.strip_prefix("bool") {
            (Kind::Bool, equality(rest)?)
        } else {
            (Kind::Guid, equality(name.strip_prefix("guid")?)?)
        };
        Some(Self {
            kind,
            test,
            negated,
        })
    }

    /// What the operator compares with, for messages.
    pub(super) const fn expects(self) -> &'static str {
        match self.kind {
            Kind::Text | Kind::TextIgnoreCase => "a text such as 'name' or an attribute",
            Kind::Number => "a number or an attribute",
            Kind::Time => "a time such as 2025-01-31T12:00:00Z or an attribute",
            Kind::Bool => "true, false or an attribute",
            Kind::Guid => "a GUID or an attribute",
        }
    }
}

fn equality(rest: &str) -> Option<(Test, bool)> {
    match rest {
        "equals" => Some((Test::Equals, false)),
        "notequals" => Some((Test::Equals, true)),
        _ => None,
    }
}

/// How many of the attribute's values have to fit how many of the others. Without one, an attribute has one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Quantifier {
    One,
    AnyOfAny,
    AllOfAny,
    AnyOfAll,
    AllOfAll,
}

impl Quantifier {
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match &*name.to_ascii_lowercase() {
            "foranyofanyvalues" => Self::AnyOfAny,
            "forallofanyvalues" => Self::AllOfAny,
            "foranyofallvalues" => Self::AnyOfAll,
            "forallofallvalues" => Self::AllOfAll,
            _ => return None,
        })
    }
}
