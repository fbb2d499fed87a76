//! Content discovery: D01–D18.

use crate::sessions::token_for;
use crate::support::*;

fn tags(name: &str, query: &str) -> (Vec<String>, Option<String>) {
    let response = admin().get(&format!("/v2/{name}/tags/list{query}"));
    assert_eq!(response.status, 200, "{response:?}");
    let json = response.json();
    assert_eq!(json["name"], name);
    let names = json["tags"]
        .as_array()
        .expect("tags")
        .iter()
        .map(|t| t.as_str().unwrap().to_owned())
        .collect();
    (names, response.header("link").map(str::to_owned))
}

/// The target of a `Link` to the next page.
fn next(link: &str) -> String {
    let (target, rest) = link.strip_prefix('<').unwrap().split_once('>').unwrap();
    assert!(rest.contains("rel=\"next\""), "{link}");
    target.to_owned()
}

fn with_tags(names: &[&str]) -> String {
    let name = repository();
    let body = prepare_image(&name);
    for tag in names {
        assert_eq!(put_manifest(&name, tag, OCI, &body).status, 201);
    }
    name
}

fn referrers(name: &str, digest: &str, query: &str) -> lazuli_testkit::http::Response {
    admin().get(&format!("/v2/{name}/referrers/{digest}{query}"))
}

fn digests(response: &lazuli_testkit::http::Response) -> Vec<String> {
    let mut all: Vec<_> = response.json()["manifests"]
        .as_array()
        .expect("manifests")
        .iter()
        .map(|m| m["digest"].as_str().unwrap().to_owned())
        .collect();
    all.sort();
    all
}

#[test]
fn d01_tags_list_is_200_with_name_and_tags() {
    let name = with_tags(&["v1", "v2"]);
    assert_eq!(tags(&name, ""), (vec!["v1".into(), "v2".into()], None));
    let (_, digest) = push_image(&name, "v3");
    for tag in ["v1", "v2", "v3"] {
        assert_eq!(
            admin()
                .delete(&format!("/v2/{name}/manifests/{tag}"))
                .status,
            202
        );
    }
    assert_eq!(
        tags(&name, "").0,
        Vec::<String>::new(),
        "empty, while {digest} is there"
    );
}

#[test]
fn d02_tags_are_in_ascii_order() {
    let name = with_tags(&["b", "B", "_", "10", "9", "a.b", "a-b", "ab", "a"]);
    let (found, _) = tags(&name, "");
    let mut sorted = found.clone();
    sorted.sort();
    assert_eq!((found.len(), &found), (9, &sorted));
}

#[test]
fn d03_n_gives_exactly_n_unless_fewer_remain() {
    let name = with_tags(&["a", "b", "c", "d", "e"]);
    assert_eq!(tags(&name, "?n=2").0, ["a", "b"]);
    assert_eq!(
        tags(&name, "?n=5"),
        (
            vec!["a".into(), "b".into(), "c".into(), "d".into(), "e".into()],
            None
        )
    );
    assert_eq!(tags(&name, "?n=100").0.len(), 5);
    for bad in ["-1", "x", "1.5"] {
        let response = admin().get(&format!("/v2/{name}/tags/list?n={bad}"));
        refused(&response, 400, "PAGINATION_NUMBER_INVALID");
    }
    // More than there can be is no mistake.
    assert_eq!(tags(&name, "?n=99999999999999999999999").0.len(), 5);
}

#[test]
fn d04_link_leads_through_all_pages() {
    let name = with_tags(&["a", "b", "c", "d", "e", "f", "g"]);
    let (mut seen, mut link) = tags(&name, "?n=3");
    while let Some(target) = link {
        let response = admin().get(&next(&target));
        seen.extend(
            response.json()["tags"]
                .as_array()
                .unwrap()
                .iter()
                .map(|t| t.as_str().unwrap().to_owned()),
        );
        link = response.header("link").map(str::to_owned);
    }
    assert_eq!(seen.join(""), "abcdefg");
}

#[test]
fn d05_n_0_gives_an_empty_list_and_no_link() {
    let name = with_tags(&["a", "b"]);
    assert_eq!(tags(&name, "?n=0"), (vec![], None));
}

#[test]
fn d06_last_is_exclusive_need_not_exist_and_needs_no_n() {
    let name = with_tags(&["a", "c", "e"]);
    assert_eq!(tags(&name, "?last=a").0, ["c", "e"]);
    assert_eq!(tags(&name, "?last=b").0, ["c", "e"]);
    assert_eq!(tags(&name, "?n=1&last=b").0, ["c"]);
    assert_eq!(tags(&name, "?last=z").0, Vec::<String>::new());
}

#[test]
fn d07_referrers_are_200_and_never_404() {
    let name = repository();
    for repository in [name.as_str(), "never/pushed"] {
        let response = referrers(repository, &sha256(b"nothing"), "");
        assert_eq!(response.status, 200, "{repository}");
        assert_eq!(response.json()["manifests"], serde_json::json!([]));
    }
}

#[test]
fn d08_referrers_of_a_malformed_digest_are_400() {
    for bad in [
        "sha256:abc",
        "latest",
        "sha256:",
        "md5:d41d8cd98f00b204e9800998ecf8427e",
    ] {
        refused(&referrers(&repository(), bad, ""), 400, "DIGEST_INVALID");
    }
}

#[test]
fn d09_referrers_are_an_oci_index() {
    let response = referrers(&repository(), &sha256(b"nothing"), "");
    assert_eq!(response.header("content-type"), Some(INDEX));
    assert_eq!(
        (
            &response.json()["schemaVersion"],
            &response.json()["mediaType"]
        ),
        (&serde_json::json!(2), &serde_json::json!(INDEX))
    );
}

#[test]
fn d10_artifact_type_is_the_manifests_else_the_configs_media_type_else_absent() {
    let name = repository();
    let (_, subject) = push_image(&name, "v1");
    let refers = format!(r#","subject":{}"#, descriptor(OCI, &subject, 10));
    let own = push_referrer(&name, &subject, "own/type", "");
    let config = descriptor("config/type", &push_blob(&name, b"{}"), 2);
    let by_config = image(OCI, &config, &[], &refers);
    assert_eq!(put_manifest(&name, "c", OCI, &by_config).status, 201);
    let bare = index(&[], &refers);
    assert_eq!(put_manifest(&name, "i", INDEX, &bare).status, 201);
    let json = referrers(&name, &subject, "").json();
    let of = |digest: &str| {
        json["manifests"]
            .as_array()
            .unwrap()
            .iter()
            .find(|m| m["digest"] == digest)
            .unwrap()
            .clone()
    };
    assert_eq!(of(&own)["artifactType"], "own/type");
    assert_eq!(
        of(&sha256(by_config.as_bytes()))["artifactType"],
        "config/type"
    );
    assert_eq!(of(&sha256(bare.as_bytes())).get("artifactType"), None);
    assert_eq!(of(&sha256(bare.as_bytes()))["mediaType"], INDEX);
    assert_eq!(of(&sha256(by_config.as_bytes()))["size"], by_config.len());
}

#[test]
fn d11_annotations_are_copied() {
    let name = repository();
    let (_, subject) = push_image(&name, "v1");
    push_referrer(
        &name,
        &subject,
        "a/b",
        r#","annotations":{"k":"v \" \u00e9","empty":""}"#,
    );
    let json = referrers(&name, &subject, "").json();
    assert_eq!(
        json["manifests"][0]["annotations"],
        serde_json::json!({"k": "v \" é", "empty": ""})
    );
}

#[test]
fn d12_no_referrers_are_an_empty_array() {
    let name = repository();
    let (_, digest) = push_image(&name, "v1");
    assert_eq!(
        referrers(&name, &digest, "").json()["manifests"],
        serde_json::json!([])
    );
}

#[test]
fn d13_many_referrers_come_in_pages_with_link() {
    let name = repository();
    let (_, subject) = push_image(&name, "v1");
    let mut pushed: Vec<_> = (0..7)
        .map(|i| {
            push_referrer(
                &name,
                &subject,
                "a/b",
                &format!(r#","annotations":{{"i":"{i}"}}"#),
            )
        })
        .collect();
    pushed.sort();
    let mut response = referrers(&name, &subject, "?n=3");
    let mut seen = digests(&response);
    assert_eq!(seen.len(), 3);
    while let Some(link) = response.header("link") {
        response = admin().get(&next(link));
        assert_eq!(response.header("content-type"), Some(INDEX));
        seen.extend(digests(&response));
    }
    seen.sort();
    assert_eq!(seen, pushed);
}

#[test]
fn d14_the_artifact_type_filter_is_applied_and_said() {
    let name = repository();
    let (_, subject) = push_image(&name, "v1");
    let wanted = push_referrer(&name, &subject, "application/vnd.a+b", "");
    push_referrer(&name, &subject, "other/type", "");
    let response = referrers(&name, &subject, "?artifactType=application%2Fvnd.a%2Bb");
    assert_eq!(digests(&response), [wanted]);
    assert_eq!(response.header("oci-filters-applied"), Some("artifactType"));
    assert_eq!(
        digests(&referrers(&name, &subject, "?artifactType=none/such")),
        Vec::<String>::new()
    );
    assert_eq!(
        referrers(&name, &subject, "").header("oci-filters-applied"),
        None
    );
    assert_eq!(digests(&referrers(&name, &subject, "")).len(), 2);
}

#[test]
fn d15_referrers_come_from_the_manifests_themselves_whatever_a_fallback_tag_says() {
    let name = repository();
    let (_, subject) = push_image(&name, "v1");
    let real = push_referrer(&name, &subject, "real/type", "");
    let lie = format!(
        r#"{{"mediaType":"{OCI}","digest":"{}","size":5,"artifactType":"fake/type"}}"#,
        sha256(b"a lie")
    );
    let wrong =
        format!(r#"{{"mediaType":"{OCI}","digest":"{real}","size":5,"artifactType":"{EMPTY}"}}"#);
    let fallback = subject.replace(':', "-");
    assert_eq!(
        put_manifest(&name, &fallback, INDEX, &index(&[lie, wrong], "")).status,
        201
    );
    let response = referrers(&name, &subject, "");
    assert_eq!(digests(&response), [real]);
    assert_eq!(response.json()["manifests"][0]["artifactType"], "real/type");
}

#[test]
fn d16_every_pushed_manifest_with_a_subject_is_listed_also_by_tag_and_in_sha512() {
    let name = repository();
    let subject = sha512(b"a subject");
    let config = descriptor(EMPTY, &push_blob(&name, b"{}"), 2);
    let refers = |i: u8| {
        format!(
            r#","artifactType":"a/{i}","subject":{}"#,
            descriptor(OCI, &subject, 10)
        )
    };
    let mut pushed = Vec::new();
    for (i, by_tag) in [(0, true), (1, false)] {
        let body = image(OCI, &config, &[], &refers(i));
        let digest = if by_tag {
            sha256(body.as_bytes())
        } else {
            sha512(body.as_bytes())
        };
        let reference = if by_tag {
            "tagged".to_owned()
        } else {
            digest.clone()
        };
        assert_eq!(put_manifest(&name, &reference, OCI, &body).status, 201);
        pushed.push(digest);
    }
    let body = index(&[], &refers(2));
    assert_eq!(put_manifest(&name, "index", INDEX, &body).status, 201);
    pushed.push(sha256(body.as_bytes()));
    pushed.sort();
    assert_eq!(digests(&referrers(&name, &subject, "")), pushed);
}

#[test]
fn d17_a_fallback_tag_is_a_tag_like_any_other() {
    let name = repository();
    let (body, digest) = push_image(&name, "v1");
    for tag in [
        digest.replace(':', "-"),
        format!("{}.sig", digest.replace(':', "-")),
    ] {
        assert_eq!(put_manifest(&name, &tag, OCI, &body).status, 201);
        assert_eq!(
            admin().get(&format!("/v2/{name}/manifests/{tag}")).body,
            body.as_bytes()
        );
    }
}

#[test]
fn d18_referrers_need_the_right_to_pull_from_the_repository() {
    let (name, other) = (repository(), repository());
    let (_, subject) = push_image(&name, "v1");
    push_referrer(&name, &subject, "a/b", r#","annotations":{"secret":"yes"}"#);
    let target = format!("/v2/{name}/referrers/{subject}");
    let stranger = server().anonymous().with_authorization(format!(
        "Bearer {}",
        token_for(&format!("repository:{other}:pull"))
    ));
    for client in [server().anonymous(), stranger] {
        let response = client.get(&target);
        refused(&response, 401, "UNAUTHORIZED");
        assert!(!String::from_utf8_lossy(&response.body).contains("secret"));
    }
    let reader = server().anonymous().with_authorization(format!(
        "Bearer {}",
        token_for(&format!("repository:{name}:pull"))
    ));
    assert_eq!(reader.get(&target).status, 200);
}
