//! Queries and forms, paging and its links, the referrers listing.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::BTreeMap;

use lazuli_wire::oci::{
    Algorithm, Digest, OrderBy, PageError, PageQuery, Referrer, Tag, artifact_type_filter,
    fallback_tag, next_link, next_page_link, referrers_index,
};
use lazuli_wire::query::{Query, QueryError, QueryLimits};
use proptest::prelude::*;
use serde_json::{Value, json};

fn query(text: &str) -> Result<Query<'_>, QueryError> {
    Query::parse(text, &QueryLimits::QUERY)
}

fn page(text: &str) -> Result<PageQuery, PageError> {
    PageQuery::parse(&query(text)?)
}

/// The form encoding, every byte escaped that may be.
fn encode(text: &str, spaces_as_plus: bool) -> String {
    text.bytes()
        .map(|byte| match byte {
            b' ' if spaces_as_plus => "+".to_owned(),
            byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            byte => format!("%{byte:02x}"),
        })
        .collect()
}

#[test]
fn queries_are_decoded_once() {
    let text = "a=1&b=x+y%2Bz&c&=d&a=%252F&&e==f%3D";
    let query = query(text).unwrap();
    let pairs: Vec<_> = query.iter().collect();
    assert_eq!(
        pairs,
        [
            ("a", "1"),
            ("b", "x y+z"),
            ("c", ""),
            ("", "d"),
            ("a", "%2F"),
            ("e", "=f=")
        ]
    );
    assert_eq!(query.all("a").collect::<Vec<_>>(), ["1", "%2F"]);
    assert_eq!(query.single("b"), Ok(Some("x y+z")));
    assert_eq!(query.single("z"), Ok(None));
    assert_eq!(query.single("a"), Err(QueryError::Repeated));
}

#[test]
fn malformed_queries_are_refused() {
    for text in ["a=%", "a=%2", "a=%zz", "%g0=1", "a=%+1"] {
        assert_eq!(query(text), Err(QueryError::Escape), "{text}");
    }
    for text in ["a=%ff", "a=%00", "%c3=1", "a=\0", "a=%c0%af"] {
        assert_eq!(query(text), Err(QueryError::Encoding), "{text}");
    }
    assert_eq!(
        Query::parse_bytes(b"a=\xff", &QueryLimits::FORM),
        Err(QueryError::Encoding)
    );
}

#[test]
fn queries_are_bounded_exactly() {
    let limits = QueryLimits {
        max_length: 11,
        max_pairs: 3,
    };
    assert!(Query::parse("a=1&b=2&c=3", &limits).is_ok());
    assert_eq!(
        Query::parse("a=1&b=2&c=34", &limits),
        Err(QueryError::TooLong)
    );
    assert_eq!(
        Query::parse_bytes(b"a=1&b=2&c=34", &limits),
        Err(QueryError::TooLong)
    );
    assert_eq!(Query::parse("a&b&c&d", &limits), Err(QueryError::TooMany));
    assert!(Query::parse("&&&&a&b&c&", &limits).is_ok());
}

#[test]
fn paging_parameters_are_read() {
    assert_eq!(page(""), Ok(PageQuery::default()));
    assert_eq!(page("n=&last=&orderby="), Ok(PageQuery::default()));
    let expected = PageQuery {
        n: Some(10),
        last: Some("a/b".to_owned()),
        order_by: OrderBy::TimeDescending,
        at: Some(70),
    };
    assert_eq!(
        page("orderby=timedesc&n=10&last=a%2Fb&x=y&at=70"),
        Ok(expected)
    );
    assert_eq!(page("orderby=none").unwrap().order_by, OrderBy::Name);
    assert_eq!(
        page("orderby=timeasc").unwrap().order_by,
        OrderBy::TimeAscending
    );
    assert_eq!(page("n=0").unwrap().n, Some(0));
    assert_eq!(page("n=007").unwrap().n, Some(7));
}

#[test]
fn paging_parameters_of_another_form_are_refused() {
    for text in [
        "n=-1", "n=a", "n=1.5", "n=%201", "n=0x1", "n=1e3", "n=%D9%A1",
    ] {
        assert_eq!(page(text), Err(PageError::NumberInvalid), "{text}");
    }
    assert_eq!(page("orderby=size"), Err(PageError::OrderInvalid));
    assert_eq!(
        page(&format!("last={}", "a".repeat(256))),
        Err(PageError::LastInvalid)
    );
    assert!(page(&format!("last={}", "a".repeat(255))).is_ok());
    assert_eq!(page("n=1&n=2"), Err(PageError::Query(QueryError::Repeated)));
}

#[test]
fn a_page_is_never_larger_than_the_server_allows() {
    assert_eq!(page("").unwrap().size(100, 1000), 100);
    assert_eq!(page("n=7").unwrap().size(100, 1000), 7);
    assert_eq!(page("n=0").unwrap().size(100, 1000), 0);
    assert_eq!(page("n=1001").unwrap().size(100, 1000), 1000);
    assert_eq!(
        page("n=99999999999999999999999999")
            .unwrap()
            .size(100, 1000),
        1000
    );
}

#[test]
fn links_are_written_as_recorded() {
    assert_eq!(
        next_page_link(
            "/acr/v1/_catalog",
            "library/busybox",
            2,
            OrderBy::Name,
            None
        ),
        "</acr/v1/_catalog?last=library%2Fbusybox&n=2&orderby=>; rel=\"next\""
    );
    assert_eq!(
        next_page_link("/v2/a/tags/list", "v1", 1, OrderBy::TimeDescending, Some(5)),
        "</v2/a/tags/list?last=v1&n=1&orderby=timedesc&at=5>; rel=\"next\""
    );
    assert_eq!(next_link("/v2/", []), "</v2/>; rel=\"next\"");
}

#[test]
fn the_referrers_index_has_the_form_of_the_specification() {
    let digest = Digest::of(Algorithm::Sha256, b"");
    let bare = Referrer {
        media_type: "application/vnd.oci.image.index.v1+json".to_owned(),
        digest,
        size: 2,
        artifact_type: None,
        annotations: BTreeMap::new(),
    };
    let full = Referrer {
        artifact_type: Some("application/x".to_owned()),
        annotations: BTreeMap::from([
            ("b".to_owned(), "\"2\"".to_owned()),
            ("a".to_owned(), "1".to_owned()),
        ]),
        ..bare.clone()
    };
    let index: Value = serde_json::from_slice(&referrers_index(&[bare, full])).unwrap();
    let bare = json!({"mediaType": "application/vnd.oci.image.index.v1+json", "digest": digest.to_string(), "size": 2});
    let mut full = bare.clone();
    full["artifactType"] = json!("application/x");
    full["annotations"] = json!({"a": "1", "b": "\"2\""});
    assert_eq!(
        index,
        json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [bare, full]})
    );
    assert_eq!(
        String::from_utf8(referrers_index(&[])).unwrap(),
        r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#
    );
}

#[test]
fn fallback_tags_are_cut_to_what_a_tag_can_hold() {
    for algorithm in Algorithm::ALL {
        let digest = Digest::of(algorithm, b"x");
        let tag = fallback_tag(&digest);
        assert_eq!(
            tag.as_str(),
            format!("{algorithm}-{}", &digest.to_hex()[..64])
        );
        assert_eq!(Tag::parse(tag.as_str()), Ok(tag));
    }
}

#[test]
fn a_type_filter_with_an_unescaped_plus_is_understood() {
    let filter = |text| artifact_type_filter(&query(text).unwrap());
    assert_eq!(
        filter("artifactType=application/a+json"),
        ["application/a+json"]
    );
    assert_eq!(
        filter("artifactType=application%2Fa%2Bjson&artifactType=b"),
        ["application/a+json", "b"]
    );
    assert!(filter("artifactType=&n=1").is_empty());
}

/// What a client finds between `<` and `>`.
fn target(link: &str) -> &str {
    link.strip_prefix('<')
        .unwrap()
        .strip_suffix(">; rel=\"next\"")
        .unwrap()
}

proptest! {
    #[test]
    fn pairs_round_trip(pairs in prop::collection::vec(("[^\0]{0,8}", "[^\0]{0,8}"), 0..8), plus in any::<bool>()) {
        let text: Vec<_> = pairs.iter().map(|(name, value)| format!("{}={}", encode(name, plus), encode(value, plus))).collect();
        let text = text.join("&");
        let read = query(&text).unwrap();
        let expected: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        prop_assert_eq!(read.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn no_query_panics(text in any::<String>(), bytes in any::<Vec<u8>>(), dense in "[&=%+a0]{0,40}") {
        for text in [text, dense] {
            if let Ok(query) = query(&text) {
                let _ = PageQuery::parse(&query);
                prop_assert!(query.iter().all(|(name, value)| !name.contains('\0') && !value.contains('\0')));
            }
        }
        let _ = Query::parse_bytes(&bytes, &QueryLimits::FORM);
    }

    #[test]
    fn a_link_leads_to_the_page_it_names(last in "[^\0]{1,40}", n in any::<u32>(), order in 0..3_usize, at in prop::option::of(0..i64::MAX)) {
        let order_by = [OrderBy::Name, OrderBy::TimeAscending, OrderBy::TimeDescending][order];
        let link = next_page_link("/v2/a/tags/list", &last, n as usize, order_by, at);
        prop_assert!(link.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '));
        let (path, parameters) = target(&link).split_once('?').unwrap();
        prop_assert_eq!(path, "/v2/a/tags/list");
        prop_assert!(!parameters.contains(['<', '>', ' ', '"']));
        prop_assert_eq!(page(parameters), Ok(PageQuery { n: Some(u64::from(n)), last: Some(last), order_by, at }));
    }

    #[test]
    fn numbers_agree_with_the_model(text in "[0-9]{1,25}") {
        let model = text.parse::<u128>().map_or(u64::MAX, |n| u64::try_from(n).unwrap_or(u64::MAX));
        prop_assert_eq!(page(&format!("n={text}")).unwrap().n, Some(model));
    }
}
