//! The distribution protocol with servers that break, redirect and lie.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lazuli_outbound::Reach;
use lazuli_outbound::distribution::{Credentials, Error, Remote, Retry};
use lazuli_wire::oci::{Algorithm, Digest, Reference, RepositoryName};

use crate::support::{Asked, Site, answer, client, redirect};

const RETRY: Retry = Retry {
    attempts: 3,
    pause: Duration::from_millis(1),
    longest: Duration::from_millis(5),
};

fn remote(site: &Site, credentials: Option<Credentials>) -> Remote {
    let client = client(Reach::public().and_private());
    let remote = Remote::new(client, site.url("/"), credentials).unwrap();
    remote.with_retry(RETRY)
}

fn name() -> RepositoryName {
    RepositoryName::parse("a/b").unwrap()
}

async fn read(remote: &Remote, digest: &Digest, size: u64) -> Result<Vec<u8>, Error> {
    let mut all = Vec::new();
    let mut reader = remote.blob(&name(), digest, size)?;
    while let Some(piece) = reader.next().await? {
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

/// Where the asked range begins.
fn begin(asked: &Asked) -> Option<usize> {
    let range = asked.head.split("range: bytes=").nth(1)?;
    range.split('-').next()?.parse().ok()
}

#[tokio::test]
async fn a_broken_download_goes_on_where_it_was() {
    let content: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
    let digest = Digest::of(Algorithm::Sha256, &content);
    let bytes = content.clone();
    let site = Site::start(move |asked| {
        let at = begin(asked).unwrap_or(0);
        let range = format!("bytes {at}-{}/{}", bytes.len() - 1, bytes.len());
        let mut whole = match at {
            0 => answer("200 OK", &[], &bytes),
            _ => answer(
                "206 Partial Content",
                &[("Content-Range", &range)],
                &bytes[at..],
            ),
        };
        // Never more than so much at once.
        whole.truncate(90_000);
        whole
    });
    let remote = remote(&site, None);
    assert!(read(&remote, &digest, 200_000).await.unwrap() == content);
    let begins: Vec<_> = site.asked().iter().map(begin).collect();
    assert!(begins.len() == 3 && begins[0].is_none(), "{begins:?}");
    assert!(
        begins[1] > Some(80_000) && begins[2] > Some(160_000),
        "{begins:?}"
    );
}

#[tokio::test]
async fn a_registry_without_ranges_is_read_again_from_the_start() {
    let times = AtomicU32::new(0);
    let content = vec![7; 50_000];
    let digest = Digest::of(Algorithm::Sha256, &content);
    let bytes = content.clone();
    let site = Site::start(move |_| {
        let mut whole = answer("200 OK", &[], &bytes);
        if times.fetch_add(1, Ordering::Relaxed) == 0 {
            whole.truncate(20_000);
        }
        whole
    });
    let remote = remote(&site, None);
    assert!(read(&remote, &digest, 50_000).await.unwrap() == content);
    // A size that is not the descriptor's.
    for size in [49_999, 50_001] {
        let wrong = read(&remote, &digest, size).await;
        assert!(wrong.is_err(), "{size}");
    }
}

#[tokio::test]
async fn tokens_are_got_with_the_password_and_stay_at_their_registry() {
    let storage = Site::start(|_| answer("200 OK", &[], b"blob"));
    let tokens = Site::start(|asked| {
        if asked.has("authorization: basic dtpw") && asked.has("scope=repository%3aa%2fb%3apull") {
            answer("200 OK", &[], br#"{"token":"t1","expires_in":300}"#)
        } else {
            answer("401 Unauthorized", &[], b"")
        }
    });
    let (realm, blob) = (tokens.url("/token"), storage.url("/blob?signature=s"));
    let site = Site::start(move |asked| {
        if asked.has("authorization: bearer t1") {
            return redirect(&blob);
        }
        let challenge = format!(r#"Bearer realm="{realm}",service="s",scope="other""#);
        answer("401 Unauthorized", &[("WWW-Authenticate", &challenge)], b"")
    });
    let credentials = Credentials {
        user: "u".to_owned(),
        password: "p".to_owned(),
    };
    let digest = Digest::of(Algorithm::Sha256, b"blob");
    let with = remote(&site, Some(credentials));
    for _ in 0..2 {
        assert_eq!(read(&with, &digest, 4).await.unwrap(), b"blob");
    }
    // The token is kept; the storage never sees it.
    assert_eq!((tokens.asked().len(), site.asked().len()), (1, 3));
    assert!(
        storage
            .asked()
            .iter()
            .all(|asked| !asked.has("authorization"))
    );
    // Nobody gets the password but the token server, and nothing is told by the error.
    assert!(site.asked().iter().all(|asked| !asked.has("basic")));
    let without = read(&remote(&site, None), &digest, 4).await;
    assert!(matches!(without, Err(Error::Denied { .. })), "{without:?}");
}

#[tokio::test]
async fn faults_that_pass_are_waited_out_and_lies_are_found() {
    let times = AtomicU32::new(0);
    let manifest = br#"{"schemaVersion":2}"#;
    let site = Site::start(move |asked| {
        if asked.has("/manifests/busy ") && times.fetch_add(1, Ordering::Relaxed) < 2 {
            return answer("429 Too Many Requests", &[("Retry-After", "0")], b"");
        }
        if asked.has("/manifests/down ") {
            return answer("503 Service Unavailable", &[], b"");
        }
        if asked.has("/manifests/none ") {
            return answer("404 Not Found", &[], b"");
        }
        answer("200 OK", &[("Content-Type", "a/b")], manifest)
    });
    let remote = remote(&site, None);
    let get = async |reference: &str| {
        let reference = Reference::parse(reference).unwrap();
        remote.manifest(&name(), &reference).await
    };
    let digest = Digest::of(Algorithm::Sha256, manifest);
    assert_eq!(get("busy").await.unwrap().unwrap().digest, digest);
    assert!(get("none").await.unwrap().is_none());
    assert!(get("down").await.unwrap_err().is_transient());
    assert_eq!(site.asked().len(), 3 + 1 + 3);
    assert!(get(&digest.to_string()).await.is_ok());
    let other = Digest::of(Algorithm::Sha256, b"other").to_string();
    assert!(matches!(get(&other).await, Err(Error::Protocol { .. })));
}

#[tokio::test]
async fn lists_are_read_to_their_end_and_not_elsewhere() {
    let site = Site::start(|asked| match () {
        () if asked.has("last=b") => answer("200 OK", &[], br#"{"tags":["c"]}"#),
        () if asked.has("/a/b/tags") => {
            let next = r#"</v2/a/b/tags/list?last=b&n=2>; rel="next""#;
            answer("200 OK", &[("Link", next)], br#"{"tags":["a","b"]}"#)
        }
        () if asked.has("/evil/tags") => {
            let next = r#"<http://10.0.0.1/v2/evil/tags/list>; rel="next""#;
            answer("200 OK", &[("Link", next)], br#"{"tags":["a"]}"#)
        }
        () => answer("404 Not Found", &[], b"<html>"),
    });
    let remote = remote(&site, None);
    assert_eq!(remote.tags(&name()).await.unwrap(), ["a", "b", "c"]);
    let other = |text: &str| RepositoryName::parse(text).unwrap();
    assert!(matches!(
        remote.tags(&other("evil")).await,
        Err(Error::Protocol { .. })
    ));
    assert!(remote.tags(&other("none")).await.unwrap().is_empty());
    assert!(remote.catalog().await.is_err());
    let digest = Digest::of(Algorithm::Sha256, b"");
    assert!(
        remote
            .referrers(&other("none"), &digest)
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn many_at_once_share_a_token() {
    let tokens = Site::start(|_| answer("200 OK", &[], br#"{"token":"t1"}"#));
    let realm = tokens.url("/token");
    let site = Site::start(move |asked| {
        if asked.has("authorization: bearer t1") {
            return answer("200 OK", &[], b"");
        }
        let challenge = format!(r#"Bearer realm="{realm}""#);
        answer("401 Unauthorized", &[("WWW-Authenticate", &challenge)], b"")
    });
    let remote = remote(&site, None);
    let digest = Digest::of(Algorithm::Sha256, b"");
    let ask = async || remote.has_blob(&name(), &digest).await.unwrap();
    let all = tokio::join!(ask(), ask(), ask(), ask());
    assert_eq!(all, (true, true, true, true));
    assert_eq!(tokens.asked().len(), 1);
}
