//! Where requests may go, what they carry there, and how much comes back.

use std::net::ToSocketAddrs as _;
use std::time::Duration;

use http::Method;
use http::header::{ACCEPT, HeaderName, HeaderValue, RANGE};
use lazuli_outbound::{
    Body, ChannelBody, Client, Error, Limits, Options, Reach, Refusal, Request, Url,
};

use crate::support::{Site, answer, client, redirect};

fn get(url: Url) -> Request {
    let mut request = Request::new(Method::GET, url);
    request.authorization = Some(HeaderValue::from_static("Basic secret"));
    request
        .header(
            HeaderName::from_static("x-own"),
            HeaderValue::from_static("mine"),
        )
        .header(ACCEPT, HeaderValue::from_static("a/b"))
        .header(RANGE, HeaderValue::from_static("bytes=1-"))
}

#[tokio::test]
async fn credentials_go_to_the_origin_they_are_for_only() {
    let other = Site::start(|_| answer("200 OK", &[], b"there"));
    let elsewhere = other.url("/elsewhere");
    let site = Site::start(move |asked| match () {
        () if asked.has("get /out ") => redirect(&elsewhere),
        () if asked.has("get /in ") => answer("302 Found", &[("Location", "/here")], b""),
        () => answer("200 OK", &[], b"here"),
    });
    let client = client(Reach::public().and_private());
    let stayed = client.send(get(site.url("/in"))).await.unwrap();
    assert_eq!(stayed.bytes().await.unwrap(), "here");
    let left = client.send(get(site.url("/out"))).await.unwrap();
    assert_eq!(left.bytes().await.unwrap(), "there");
    for asked in site.asked() {
        assert!(asked.has("authorization: basic secret") && asked.has("x-own: mine"));
    }
    let [asked] = &other.asked()[..] else {
        panic!("asked once")
    };
    assert!(!asked.has("secret") && !asked.has("mine"), "{}", asked.head);
    assert!(asked.has("accept: a/b") && asked.has("range: bytes=1-"));
}

#[tokio::test]
async fn a_redirect_does_not_lead_where_a_request_may_not_go() {
    let inner = Site::start(|_| answer("200 OK", &[], b"secret of this machine"));
    let place = inner.url("/admin");
    let metadata = Url::parse("http://169.254.169.254/latest/meta-data").unwrap();
    let site = Site::start(move |asked| match () {
        () if asked.has("get /inner ") => redirect(&place),
        () if asked.has("get /metadata ") => redirect(&metadata),
        () => answer("302 Found", &[("Location", "file:///etc/passwd")], b""),
    });
    let named = client(Reach::public().and_named(&site.url("/")));
    let all = client(Reach::public().and_private().and_plain_http());
    let refusal = async |client: &Client, path: &str| match client.send(get(site.url(path))).await {
        Err(Error::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    };
    assert!(matches!(
        refusal(&named, "/inner").await,
        Refusal::Unnamed(_)
    ));
    assert!(matches!(
        refusal(&all, "/metadata").await,
        Refusal::Never { .. }
    ));
    assert!(matches!(refusal(&all, "/file").await, Refusal::NoHttp(_)));
    assert!(inner.asked().is_empty());
    // Unnamed, this machine is refused at once.
    let public = client(Reach::public());
    assert!(matches!(refusal(&public, "/").await, Refusal::Unnamed(_)));
}

#[tokio::test]
async fn a_name_is_refused_by_what_it_resolves_to() {
    let name = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let name = name.trim();
    let is_known = !name.is_empty() && (name, 0).to_socket_addrs().is_ok();
    // A container's or a build machine's own name is an address of a private network.
    let name = if is_known { name } else { "ip6-loopback" };
    let url = Url::parse(&format!("http://{name}:1/")).unwrap();
    let outcome = client(Reach::public().and_plain_http())
        .send(get(url))
        .await;
    assert!(
        matches!(outcome, Err(Error::Refused(Refusal::Private { .. }))),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn redirects_end() {
    let site = Site::start(|_| answer("302 Found", &[("Location", "/again")], b""));
    let client = client(Reach::public().and_named(&site.url("/")));
    let outcome = client.send(get(site.url("/"))).await;
    assert!(
        matches!(outcome, Err(Error::Redirect { .. })),
        "{outcome:?}"
    );
    assert_eq!(site.asked().len(), 6);
    // A request that changes something is not sent on.
    let mut request = get(site.url("/post"));
    request.method = Method::POST;
    request.body = Body::Bytes("body".into());
    assert_eq!(client.send(request).await.unwrap().status(), 302);
    assert_eq!(site.asked().len(), 7);
}

#[tokio::test]
async fn answers_are_bounded_in_size_and_time() {
    let site = Site::start(|asked| match () {
        () if asked.has("get /large ") => answer("200 OK", &[], &vec![b'x'; 100_000]),
        // A head that promises more than ever comes.
        () if asked.has("get /half ") => {
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_vec()
        }
        () => {
            std::thread::sleep(Duration::from_secs(3));
            Vec::new()
        }
    });
    let client = Client::new(Options {
        reach: Reach::public().and_named(&site.url("/")),
        answer_timeout: Duration::from_millis(300),
        ..Options::default()
    })
    .unwrap();
    let read = async |path: &str, bytes: u64| {
        let mut request = get(site.url(path));
        request.limits = Limits {
            bytes,
            time: Duration::from_secs(5),
        };
        client.send(request).await?.bytes().await
    };
    assert_eq!(read("/large", 100_000).await.unwrap().len(), 100_000);
    let too_large = read("/large", 99_999).await;
    assert!(matches!(
        too_large,
        Err(Error::TooLarge { limit: 99_999, .. })
    ));
    assert!(matches!(
        read("/half", 100).await,
        Err(Error::Connection { .. })
    ));
    assert!(matches!(
        read("/late", 100).await,
        Err(Error::TimedOut { .. })
    ));
}

#[tokio::test]
async fn a_body_from_a_channel_is_sent_whole_or_not_at_all() {
    let site = Site::start(|_| answer("201 Created", &[], b""));
    let client = client(Reach::public().and_named(&site.url("/")));
    for (pieces, is_whole) in [(3, true), (2, false)] {
        let (sender, body) = ChannelBody::new(3000, 1);
        let feeding = tokio::spawn(async move {
            for piece in 0..pieces {
                let _ = sender.send(vec![piece; 1000].into()).await;
            }
        });
        let mut request = Request::new(Method::PUT, site.url("/"));
        request.body = Body::Channel(body);
        assert_eq!(client.send(request).await.is_ok(), is_whole);
        feeding.await.unwrap();
    }
    let asked = site.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].body.len(), 3000);
    assert!(asked[0].has("content-length: 3000"));
}
