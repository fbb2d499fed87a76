//! What is wrong with a condition, and where.

/// Why a text is no condition. Positions count characters, from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    /// Longer than 8 KiB.
    #[error("a condition has at most 8192 bytes")]
    TooLong,
    /// Nested too deep.
    #[error("position {0}: parentheses and negations are nested more than 32 deep")]
    TooDeep(usize),
    /// Too many tests or values.
    #[error("position {0}: a condition has at most 256 tests and 256 values")]
    TooManyTerms(usize),
    /// A string, or the name of an attribute, has no end.
    #[error("position {0}: what begins here has no end")]
    Unterminated(usize),
    /// A character that begins nothing.
    #[error("position {0}: unexpected character")]
    Character(usize),
    /// Something else was due.
    #[error("position {position}: expected {expected}")]
    Expected {
        /// Where.
        position: usize,
        /// What was due.
        expected: &'static str,
    },
    /// AND and OR side by side.
    #[error("position {0}: put parentheses where AND and OR meet")]
    Mixed(usize),
    /// No operator has this name.
    #[error("position {0}: unknown operator")]
    Operator(usize),
    /// The value is not of the operator's type.
    #[error("position {position}: the operator compares with {expected}")]
    Type {
        /// Where.
        position: usize,
        /// What it compares with.
        expected: &'static str,
    },
    /// A set without a quantifier, or a quantifier without a set.
    #[error("position {0}: a set of values goes with a quantifier such as ForAnyOfAnyValues:")]
    Quantifier(usize),
    /// No source has this name.
    #[error("position {0}: attributes are of @Request, @Resource, @Principal or @Environment")]
    Source(usize),
    /// The pattern in ActionMatches is none.
    #[error("position {0}: not a pattern of actions")]
    Pattern(usize),
}
