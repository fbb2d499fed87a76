//! Harbor's own lists, from a server that answers in their shapes.

use lazuli_outbound::Reach;
use lazuli_outbound::distribution::{Credentials, Error, Remote};

use crate::support::{Asked, Site, answer, client};

/// What 2.12 tells strangers.
const INFO: &str = r#"{"auth_mode":"db_auth","banner_message":"","harbor_version":"v2.12.2-73072d0d","oidc_provider_name":"","primary_auth_mode":false,"self_registration":false}"#;
/// `robot$mover` and `secret`.
const BASIC: &str = "authorization: basic cm9ib3qkbw92zxi6c2vjcmv0";
const FORBIDDEN: &str = r#"{"errors":[{"code":"FORBIDDEN","message":"only for administrators"}]}"#;

fn remote(site: &Site, with_password: bool) -> Remote {
    let credentials = with_password.then(|| Credentials {
        user: "robot$mover".to_owned(),
        password: "secret".to_owned(),
    });
    Remote::new(
        client(Reach::public().and_private()),
        site.url("/"),
        credentials,
    )
    .unwrap()
}

/// A page of projects or repositories, as Harbor has them: the least of their fields.
fn page(asked: &Asked, names: &[String]) -> Vec<u8> {
    let get = |name: &str| -> usize {
        let value = asked.head.split(&format!("{name}=")).nth(1).unwrap();
        let end = value.find(|c: char| !c.is_ascii_digit()).unwrap();
        value[..end].parse().unwrap()
    };
    let (number, size) = (get("?page"), get("page_size"));
    assert!(size <= 100);
    let shown = names.iter().skip((number - 1) * size).take(size);
    let entries: Vec<_> = (1..)
        .zip(shown)
        .map(|(id, name)| {
            serde_json::json!({"id": id, "name": name, "project_id": 7, "metadata": {"public": "false"},
                "artifact_count": 1, "creation_time": "2024-03-13T10:29:57.522Z"})
        })
        .collect();
    let total = names.len().to_string();
    let link = format!(
        "</api/v2.0/x?page={}&page_size={size}>; rel=\"next\"",
        number + 1
    );
    let headers = [("X-Total-Count", total.as_str()), ("Link", link.as_str())];
    answer(
        "200 OK",
        &headers,
        serde_json::Value::from(entries).to_string().as_bytes(),
    )
}

fn harbor(may_list: bool) -> Site {
    Site::start(move |asked| {
        let is_known = asked.has(BASIC);
        if asked.has("get /api/v2.0/systeminfo ") {
            return answer("200 OK", &[], INFO.as_bytes());
        }
        if asked.has("/v2/_catalog") {
            return answer("403 Forbidden", &[], FORBIDDEN.as_bytes());
        }
        if !may_list {
            return answer(
                "401 Unauthorized",
                &[],
                br#"{"errors":[{"code":"UNAUTHORIZED","message":"unauthorized"}]}"#,
            );
        }
        let projects = if is_known {
            vec!["library", "team-a"]
        } else {
            vec!["library"]
        };
        let projects: Vec<_> = projects.into_iter().map(str::to_owned).collect();
        if asked.has("get /api/v2.0/projects?") {
            return page(asked, &projects);
        }
        for project in &projects {
            if asked.has(&format!("get /api/v2.0/projects/{project}/repositories?")) {
                let count = if project == "library" { 2 } else { 250 };
                let names: Vec<_> = (0..count).map(|n| format!("{project}/deep/r{n}")).collect();
                return page(asked, &names);
            }
        }
        answer("404 Not Found", &[], b"")
    })
}

#[tokio::test]
async fn a_robot_is_told_all_it_may_see_page_by_page() {
    let site = harbor(true);
    let found = remote(&site, true).repositories().await.unwrap();
    assert_eq!(found.len(), 252);
    assert!(found.is_sorted());
    assert_eq!(
        (found[0].as_str(), found[2].as_str()),
        ("library/deep/r0", "team-a/deep/r0")
    );
    let asked = site.asked();
    assert!(asked.iter().any(|asked| asked.has("page=3&")));
    // Asked for whether it is a Harbor, it is not shown the password.
    assert!(!asked[0].has("authorization:") && asked[1].has(BASIC));
    // Without a password, what is public.
    let found = remote(&site, false).repositories().await.unwrap();
    assert_eq!(found.len(), 2);
}

#[tokio::test]
async fn what_a_harbor_refuses_is_told_and_another_registry_is_asked_for_its_catalog() {
    let site = harbor(false);
    let outcome = remote(&site, true).repositories().await;
    assert!(matches!(outcome, Err(Error::Denied { .. })), "{outcome:?}");
    for systeminfo in [
        answer("404 Not Found", &[], b""),
        answer("200 OK", &[], b"<html>not here</html>"),
        answer("200 OK", &[], b"{\"status\":\"ok\"}"),
        answer("401 Unauthorized", &[], b""),
    ] {
        let site = Site::start(move |asked| {
            if asked.has("/api/v2.0/systeminfo") {
                return systeminfo.clone();
            }
            assert!(!asked.has("/api/"));
            answer("200 OK", &[], br#"{"repositories":["a","b"]}"#)
        });
        let found = remote(&site, true).repositories().await.unwrap();
        assert_eq!(found, ["a", "b"]);
    }
}
