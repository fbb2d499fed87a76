use proptest::prelude::*;

use super::compare::Like;
use super::reference::{like, trees, worlds};
use super::*;

struct Named(&'static str);

const NAME: &str = "@Request[Microsoft.ContainerRegistry/registries/repositories:name]";

impl Attributes for Named {
    fn get(&self, source: Source, name: &str) -> Option<Values<'_>> {
        (source == Source::Request
            && name == "microsoft.containerregistry/registries/repositories:name")
            .then_some(Values::text(self.0))
    }
}

fn condition(text: &str) -> Condition {
    Condition::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn read() -> ArmAction {
    ArmAction::parse("Microsoft.ContainerRegistry/registries/repositories/content/read").unwrap()
}

fn met(text: &str, name: &'static str) -> Truth {
    condition(text).evaluate(&read(), None, &Named(name))
}

#[test]
fn the_shape_that_azure_makes() {
    let text = format!(
        "((!(ActionMatches{{'Microsoft.ContainerRegistry/registries/repositories/content/read'}}) AND \
          !(ActionMatches{{'Microsoft.ContainerRegistry/registries/repositories/metadata/read'}})) OR \
          ({NAME} StringStartsWithIgnoreCase 'Team-A/'))"
    );
    assert_eq!(met(&text, "team-a/app"), Truth::True);
    assert_eq!(met(&text, "team-ab/app"), Truth::False);
    let condition = condition(&text);
    assert_eq!(condition.as_str(), text);
    let write =
        ArmAction::parse("Microsoft.ContainerRegistry/registries/repositories/content/write")
            .unwrap();
    assert_eq!(
        condition.evaluate(&write, None, &Named("other")),
        Truth::True
    );
    assert_eq!(condition.of_action(&write).constant(), Some(true));
    assert_eq!(condition.of_action(&read()).constant(), None);
    assert_eq!(
        condition.of_action(&read()).evaluate(&Named("team-a/app")),
        Truth::True
    );
}

#[test]
fn what_is_not_there_allows_nothing() {
    for test in [
        "@Request[other] StringEquals 'a'",
        "@Request[other] StringNotEquals 'a'",
        "!(@Request[other] StringEquals 'a')",
        "NOT @Request[other] StringNotEquals 'a'",
        "@Request[other] ForAllOfAnyValues:StringEquals {'a'}",
        "@Request[other] StringEquals @Request[other]",
    ] {
        assert_eq!(met(test, "a"), Truth::Unknown, "{test}");
        assert!(!met(test, "a").is_true());
    }
    assert_eq!(met("Exists @Request[other]", "a"), Truth::False);
    assert_eq!(met("!Exists @Request[other]", "a"), Truth::True);
    assert_eq!(met(&format!("Exists {NAME}"), "a"), Truth::True);
    // Of another type.
    assert_eq!(met(&format!("{NAME} NumericEquals 1"), "1"), Truth::Unknown);
    assert_eq!(
        met(&format!("!({NAME} NumericEquals 1)"), "1"),
        Truth::Unknown
    );
}

#[test]
fn every_operator_is_read_and_compares() {
    for (test, name, outcome) in [
        ("StringEquals 'it''s'", "it's", true),
        ("StringEquals 'A'", "a", false),
        ("StringEqualsIgnoreCase 'A'", "a", true),
        ("StringNotEqualsIgnoreCase 'A'", "a", false),
        ("StringLike 'a*/?'", "a/b/c", true),
        ("StringLike 'a\\*'", "ab", false),
        ("StringLike 'a\\*'", "a*", true),
        ("StringNotLike 'a*'", "b", true),
        ("StringStartsWith 'a/'", "a/b", true),
        ("StringNotStartsWithIgnoreCase 'A/'", "a/b", false),
        (
            "GuidEquals 8E3AF657-a8ff-443c-a75c-2fe8c4bcb635",
            "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
            true,
        ),
        (
            "GuidNotEquals '8e3af657-a8ff-443c-a75c-2fe8c4bcb635'",
            "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
            false,
        ),
        (
            "DateTimeLessThan 2025-01-31T12:00:00Z",
            "2025-01-31T11:59:59Z",
            true,
        ),
        (
            "DateTimeGreaterThanEquals '2025-01-31'",
            "2025-01-30",
            false,
        ),
        ("ForAnyOfAnyValues:StringEquals {'x', 'y'}", "y", true),
        ("ForAnyOfAnyValues:StringNotEquals {'x', 'y'}", "y", true),
        ("ForAllOfAllValues:StringNotEquals {'x', 'y'}", "y", false),
    ] {
        let expected = if outcome { Truth::True } else { Truth::False };
        assert_eq!(met(&format!("{NAME} {test}"), name), expected, "{test}");
    }
    assert_eq!(
        met(
            &format!("ForAnyOfAnyValues:{NAME} StringEquals {{'x','y'}}"),
            "x"
        ),
        Truth::True
    );
    assert_eq!(
        met(&format!("{NAME} StringEquals {NAME}"), "x"),
        Truth::True
    );
}

#[test]
fn sub_operations_are_named() {
    let condition = condition("SubOperationMatches{'Blob.List'} && ActionMatches{'*/read'}");
    let with = |name| condition.evaluate(&read(), name, &Named("a"));
    assert_eq!(with(Some("blob.list")), Truth::True);
    assert_eq!(with(Some("Blob.Read")), Truth::False);
    assert_eq!(with(None), Truth::False);
}

#[test]
fn errors_say_where() {
    use ConditionError as E;
    let expected = |position, expected| E::Expected { position, expected };
    for (text, error) in [
        ("", expected(1, "a test")),
        ("(", expected(2, "a test")),
        ("@Request[a] StringEquals 'x", E::Unterminated(26)),
        ("@Request[a", E::Unterminated(1)),
        ("@Requests[a] StringEquals 'x'", E::Source(1)),
        (
            "@Request[ ] StringEquals 'x'",
            expected(10, "the name of an attribute"),
        ),
        ("@Request[a] Equals 'x'", E::Operator(13)),
        (
            "@Request[a] StringEquals 5",
            E::Type {
                position: 26,
                expected: "a text such as 'name' or an attribute",
            },
        ),
        (
            "@Request[a] NumericEquals '5'",
            E::Type {
                position: 27,
                expected: "a number or an attribute",
            },
        ),
        (
            "@Request[a] NumericEquals inf",
            E::Type {
                position: 27,
                expected: "a number or an attribute",
            },
        ),
        ("@Request[a] StringEquals {'x'}", E::Quantifier(26)),
        (
            "Exists @Request[a] OR Exists @Request[b] AND Exists @Request[c]",
            E::Mixed(42),
        ),
        (
            "Exists @Request[a] Exists",
            expected(20, "AND, OR or the end"),
        ),
        ("ActionMatches{'a b'}", E::Pattern(15)),
        ("ActionMatches('a')", expected(14, "{")),
        ("#", E::Character(1)),
        ("(Exists @Request[a]", expected(20, "a closing parenthesis")),
    ] {
        assert_eq!(Condition::parse(text).map(|_| ()), Err(error), "{text}");
    }
    let message = Condition::parse("@Request[a] Equals 'x'")
        .unwrap_err()
        .to_string();
    assert_eq!(message, "position 13: unknown operator");
}

#[test]
fn the_limits_hold() {
    let nested = |depth| {
        format!(
            "{}Exists @Request[a]{}",
            "(".repeat(depth),
            ")".repeat(depth)
        )
    };
    assert!(Condition::parse(&nested(MAX_DEPTH)).is_ok());
    assert!(matches!(
        Condition::parse(&nested(MAX_DEPTH + 1)),
        Err(ConditionError::TooDeep(_))
    ));
    assert!(matches!(
        Condition::parse(&"!".repeat(5000)),
        Err(ConditionError::TooDeep(_))
    ));
    let many = |count| vec!["Exists @Request[a]"; count].join(" OR ");
    assert!(Condition::parse(&many(MAX_TERMS)).is_ok());
    assert!(matches!(
        Condition::parse(&many(MAX_TERMS + 1)),
        Err(ConditionError::TooManyTerms(_))
    ));
    let values = vec!["'a'"; MAX_TERMS + 1].join(",");
    assert!(matches!(
        Condition::parse(&format!(
            "@Request[a] ForAnyOfAnyValues:StringEquals {{{values}}}"
        )),
        Err(ConditionError::TooManyTerms(_))
    ));
    assert_eq!(
        Condition::parse(&" ".repeat(MAX_CONDITION + 1)).map(|_| ()),
        Err(ConditionError::TooLong)
    );
}

#[test]
fn a_pattern_of_many_stars_is_no_trap() {
    let pattern = Like::new(&"a*".repeat(2000));
    assert!(!pattern.matches(&"a".repeat(1999)));
    assert!(!Like::new(&format!("{}b", "a*".repeat(500))).matches(&"a".repeat(5000)));
}

proptest! {
    #[test]
    fn the_evaluator_agrees_with_the_plain_one(tree in trees(), world in worlds()) {
        let condition = condition(&tree.text());
        let action = ArmAction::parse(world.action).unwrap();
        let expected = match tree.outcome(&world) {
            Some(true) => Truth::True,
            Some(false) => Truth::False,
            None => Truth::Unknown,
        };
        prop_assert_eq!(condition.evaluate(&action, None, &world), expected);
        prop_assert_eq!(condition.of_action(&action).evaluate(&world), expected);
        if let Some(constant) = condition.of_action(&action).constant() {
            prop_assert_eq!(expected, if constant { Truth::True } else { Truth::False });
        }
    }

    #[test]
    fn like_agrees_with_the_plain_one(pattern in "[ab*?]{0,10}", text in "[ab]{0,10}") {
        prop_assert_eq!(Like::new(&pattern).matches(&text), like(pattern.as_bytes(), text.as_bytes()));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        let _ = Condition::parse(&text);
    }

    #[test]
    fn any_row_of_words_is_read_or_refused(words in proptest::collection::vec(
        prop::sample::select(vec!["(", ")", "!", "AND", "||", "Exists", "@Request[a]", "StringEquals", "'x'", "{", "}",
            "ForAnyOfAnyValues", ":", ",", "5", "ActionMatches"]), 0..40)) {
        let _ = Condition::parse(&words.join(" "));
    }
}
