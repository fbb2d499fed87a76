//! Paging: a link to the next page asks for what the page was asked for.
#![no_main]

use lazuli_wire::oci::{PageQuery, artifact_type_filter, next_page_link};
use lazuli_wire::query::{Query, QueryLimits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(query) = Query::parse(text, &QueryLimits::QUERY) else {
        return;
    };
    let _ = artifact_type_filter(&query);
    let Ok(page) = PageQuery::parse(&query) else {
        return;
    };
    let size = page.size(100, 1000);
    assert!(size <= 1000);
    let link = next_page_link(
        "/v2/a/tags/list",
        page.last.as_deref().unwrap_or_default(),
        size,
        page.order_by,
        page.at,
    );
    assert!(link.is_ascii() && link.ends_with(">; rel=\"next\""));
    let target = &link[1..link.len() - ">; rel=\"next\"".len()];
    assert!(!target.contains(['<', '>', '"', ' ', '\r', '\n']));
    let (_, parameters) = target.split_once('?').expect("a link has parameters");
    let query = Query::parse(parameters, &QueryLimits::QUERY).expect("a link is well-formed");
    let next = PageQuery::parse(&query).expect("a link is a page");
    assert_eq!(
        next,
        PageQuery {
            n: Some(size as u64),
            ..page
        }
    );
});
