//! Listings with their attributes and times: pages, orders, and what happens meanwhile.

use std::collections::BTreeSet;
use std::time::Duration;

use lazuli_identity::{RegistryId, testing};
use lazuli_registry::attributes::Subject;
use lazuli_registry::details::{Details, ManifestDetails};
use lazuli_registry::listing::PageRequest;
use lazuli_wire::oci::{Digest, OrderBy, Tag};
use proptest::prelude::*;
use proptest::test_runner::Config;

use crate::common::*;
use crate::on_both_engines;

const ORDERS: [OrderBy; 3] = [
    OrderBy::Name,
    OrderBy::TimeAscending,
    OrderBy::TimeDescending,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Tags,
    Manifests,
    Repositories,
}

const ALL: [What; 3] = [What::Tags, What::Manifests, What::Repositories];

/// An entry's name and, if its list is by time, when it was updated.
type Entry = (String, Option<i64>);

/// A page of a list, and whether there are more.
async fn page(
    f: &Fixture,
    what: What,
    order_by: OrderBy,
    limit: u32,
    last: Option<&Entry>,
    knows_time: bool,
) -> (Vec<Entry>, bool) {
    let request = PageRequest {
        last: last.map(|(name, _)| name.as_str()),
        limit,
        order_by,
        at: last.and_then(|(_, at)| *at).filter(|_| knows_time),
    };
    match what {
        What::Tags => {
            let listed = f.registry.list_tags(&pull("a"), request, None).await;
            let listed = listed.unwrap();
            let entries = listed.items.iter();
            let entries = entries.map(|tag| (tag.name.to_string(), Some(tag.updated_at)));
            (entries.collect(), listed.more)
        }
        What::Manifests => {
            let after = last.map(|(digest, _)| Digest::parse(digest).unwrap());
            let listed = f.registry.list_manifests(&pull("a"), request, after).await;
            let listed = listed.unwrap();
            let entries = listed.items.iter();
            let entries = entries.map(|one| (one.digest.to_string(), Some(one.updated_at)));
            (entries.collect(), listed.more)
        }
        What::Repositories => {
            let access = testing::catalog_access(RegistryId::DEFAULT);
            let page = f.registry.catalog(&access, request).await.unwrap();
            let count = page.names.len();
            let names = page.names.iter().enumerate();
            let at = |place: usize| page.at.filter(|_| place + 1 == count);
            let entries = names.map(|(place, name)| (name.to_string(), at(place)));
            (entries.collect(), page.more)
        }
    }
}

/// All entries, from pages of that size. `between` happens after each.
async fn all(
    f: &Fixture,
    what: What,
    order_by: OrderBy,
    limit: u32,
    knows_time: bool,
    mut between: impl AsyncFnMut(usize, &Entry),
) -> Vec<String> {
    let mut names = Vec::new();
    let mut last: Option<Entry> = None;
    for number in 0.. {
        assert!(number < 500, "it never ends");
        let (entries, more) = page(f, what, order_by, limit, last.as_ref(), knows_time).await;
        last = entries.last().cloned();
        names.extend(entries.into_iter().map(|(name, _)| name));
        let Some(last) = last.as_ref().filter(|_| more) else {
            break;
        };
        between(number, last).await;
    }
    names
}

/// An image of no content that is like no other.
async fn push_one(f: &Fixture, name: &str, tag: &str, seed: u32) -> Digest {
    let body = format!(
        r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[],"annotations":{{"n":"{seed}"}}}}"#
    );
    let stored = put(&f.registry, name, tag, INDEX, &body).await;
    stored.unwrap().digest
}

async fn fill(f: &Fixture, steps: &[u8]) {
    for (number, step) in (0..).zip(steps) {
        // Some at the same time as the one before.
        f.clock.advance(Duration::from_micros(u64::from(step % 3)));
        push_one(f, "a", &format!("v{}", step % 32), number).await;
        push_one(f, &format!("r{}", step % 8), "v1", number).await;
    }
}

async fn check_orders(f: &Fixture, limit: u32) {
    for what in ALL {
        let whole: [Vec<String>; 3] = [
            all(f, what, ORDERS[0], 1000, true, async |_, _| {}).await,
            all(f, what, ORDERS[1], 1000, true, async |_, _| {}).await,
            all(f, what, ORDERS[2], 1000, true, async |_, _| {}).await,
        ];
        assert!(whole[0].is_sorted(), "{what:?}");
        let mut reversed = whole[2].clone();
        reversed.reverse();
        assert_eq!(whole[1], reversed, "{what:?}");
        let mut sorted = whole[1].clone();
        sorted.sort();
        assert_eq!(whole[0], sorted, "{what:?}");
        for (order_by, expected) in ORDERS.into_iter().zip(&whole) {
            for knows_time in [true, false] {
                let paged = all(f, what, order_by, limit, knows_time, async |_, _| {}).await;
                assert_eq!(&paged, expected, "{what:?} {order_by:?} by {limit}");
            }
        }
    }
}

/// While pages are read, tags move, come and go; those that nobody touches are all shown.
async fn check_meanwhile(f: &Fixture, limit: u32, touched: &[u8]) {
    for order_by in ORDERS {
        for knows_time in [true, false] {
            let before = all(f, What::Tags, order_by, 1000, true, async |_, _| {}).await;
            let is_touched =
                |tag: &str| touched.iter().any(|step| tag == format!("v{}", step % 32));
            // The entry that a page ends with may go, too; its place is known all the same.
            let between = async |number: usize, last: &Entry| {
                let Some(step) = touched.get(number) else {
                    return;
                };
                f.clock.advance(Duration::from_millis(u64::from(step % 2)));
                let name = format!("v{}", step % 32);
                if step % 4 == 0 {
                    let (tag, id) = (Tag::parse(&name).unwrap(), "r".into());
                    let _ = f.registry.delete_tag(&delete("a"), &tag, &id).await;
                } else if knows_time || name != last.0 {
                    push_one(f, "a", &name, 1_000_000 + number as u32).await;
                }
            };
            let seen = all(f, What::Tags, order_by, limit, knows_time, between).await;
            let seen: BTreeSet<_> = seen.into_iter().collect();
            for tag in before.iter().filter(|tag| !is_touched(tag)) {
                assert!(seen.contains(tag), "{order_by:?}: {tag} was left out");
            }
        }
    }
}

async fn listings_are_whole_in_every_order(f: Fixture) {
    let steps: Vec<u8> = (0..40_u32).map(|i| (i * 37 % 251) as u8).collect();
    fill(&f, &steps).await;
    for limit in [1, 3, 7, 100] {
        check_orders(&f, limit).await;
    }
    check_meanwhile(&f, 2, &steps[..12]).await;
}

proptest! {
    #![proptest_config(Config { cases: 24, max_shrink_iters: 50, ..Config::default() })]
    #[test]
    fn any_listing_is_whole_in_every_order(
        steps in proptest::collection::vec(any::<u8>(), 1..40),
        touched in proptest::collection::vec(any::<u8>(), 0..12),
        limit in 1..9_u32,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let f = Fixture::new().await;
            fill(&f, &steps).await;
            check_orders(&f, limit).await;
            check_meanwhile(&f, limit, &touched).await;
        });
    }
}

async fn manifest(f: &Fixture, digest: Digest) -> ManifestDetails {
    let access = pull("a");
    let details = f.registry.details(&access, Subject::Manifest(digest));
    match details.await.unwrap() {
        Details::Manifest(details) => details,
        other => panic!("{other:?}"),
    }
}

async fn an_image_says_what_it_runs_on(f: Fixture) {
    let small = br#"{"architecture":"arm64","os":"linux"}"#.to_vec();
    let mut large = br#"{"architecture":"amd64","os":"windows","history":[""#.to_vec();
    large.extend("x".repeat(100_000).bytes());
    large.extend(br#""]}"#);
    for (config, expected) in [
        (small, ("arm64", "linux")),
        (large, ("amd64", "windows")),
        (b"nothing".to_vec(), ("", "")),
    ] {
        let digest = push_blob(&f.registry, "a", &config).await;
        let body = image(&digest, config.len(), &[], "");
        let stored = put(&f.registry, "a", "v1", OCI, &body).await.unwrap();
        let found = manifest(&f, stored.digest).await;
        let words = (
            found.architecture.as_deref().unwrap_or_default(),
            found.os.as_deref().unwrap_or_default(),
        );
        assert_eq!(words, expected);
        assert_eq!(found.image_size, config.len() as u64);
        assert_eq!(found.children, None);
        assert!(found.config_media_type.is_some());
    }
}

async fn an_index_says_what_it_lists(f: Fixture) {
    let (child, _) = push_image(&f.registry, "a", "child", "x").await;
    let body = format!(
        r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{{"mediaType":"{OCI}","digest":"{child}","size":9,"platform":{{"architecture":"arm64","os":"linux"}}}}]}}"#
    );
    let stored = put(&f.registry, "a", "v1", INDEX, &body).await.unwrap();
    put(&f.registry, "a", "v2", INDEX, &body).await.unwrap();
    let found = manifest(&f, stored.digest).await;
    let children = found.children.unwrap();
    assert_eq!(children[0].digest, child);
    assert_eq!(children[0].platform.as_ref().unwrap().architecture, "arm64");
    assert_eq!((found.architecture, found.os), (None, None));
    let tags: Vec<_> = found.tags.iter().map(AsRef::as_ref).collect();
    assert_eq!(tags, ["v1", "v2"]);
    // The list of manifests has the tags of each.
    let request = PageRequest {
        limit: 10,
        ..PageRequest::default()
    };
    let listed = f.registry.list_manifests(&pull("a"), request, None).await;
    let listed = listed.unwrap();
    let tags_of = |digest: Digest| {
        let found = listed.items.iter().find(|item| item.digest == digest);
        found.unwrap().tags.join(",")
    };
    assert_eq!(tags_of(stored.digest), "v1,v2");
    assert_eq!(tags_of(child), "child");
    // And the tags of one manifest are those.
    let access = pull("a");
    let of = f.registry.list_tags(&access, request, Some(stored.digest));
    let names: Vec<_> = of
        .await
        .unwrap()
        .items
        .into_iter()
        .map(|tag| tag.name)
        .collect();
    assert_eq!(names.join(","), "v1,v2");
}

async fn times_are_those_of_pushes(f: Fixture) {
    let repository = || async {
        let details = f.registry.details(&pull("a"), Subject::Repository).await;
        match details.unwrap() {
            Details::Repository(details) => details,
            other => panic!("{other:?}"),
        }
    };
    let tag = || async {
        let subject = Subject::Tag(Tag::parse("v1").unwrap());
        match f.registry.details(&pull("a"), subject).await.unwrap() {
            Details::Tag(details) => details,
            other => panic!("{other:?}"),
        }
    };
    push_blob(&f.registry, "a", b"a blob alone makes no repository").await;
    f.clock.advance(HOUR);
    let digest = push_one(&f, "a", "v1", 1).await;
    let first = repository().await;
    assert_eq!((first.manifests, first.tags), (1, 1));
    assert_eq!(first.created_at, first.updated_at);
    f.clock.advance(HOUR);
    push_one(&f, "a", "v1", 1).await;
    let (again, then) = (repository().await, tag().await);
    assert_eq!(again.created_at, first.created_at);
    assert!(again.updated_at > first.updated_at);
    assert_eq!(then.created_at, first.created_at);
    assert_eq!(then.updated_at, again.updated_at);
    let found = manifest(&f, digest).await;
    assert_eq!(
        (found.created_at, found.updated_at),
        (first.created_at, first.created_at)
    );
    // A repository that held nothing meanwhile is another one.
    let gone = f
        .registry
        .delete_manifest(&delete("a"), &digest, &"r".into())
        .await;
    gone.unwrap();
    f.clock.advance(HOUR);
    push_one(&f, "a", "v1", 1).await;
    let new = repository().await;
    assert!(new.created_at > again.updated_at);
    assert_eq!(new.created_at, new.updated_at);
}

on_both_engines! {
    listings_are_whole_in_every_order,
    an_image_says_what_it_runs_on,
    an_index_says_what_it_lists,
    times_are_those_of_pushes,
}
