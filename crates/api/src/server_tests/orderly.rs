//! What well-behaved clients may rely on.

use super::*;

#[tokio::test]
async fn answers_carry_the_common_headers_and_the_connection_is_kept() {
    let server = start(Limits::default());
    let mut stream = server.connect().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        stream.write_all(get("/now").as_bytes()).await.unwrap();
        let answer = read_answer(&mut stream).await;
        assert_eq!(status(&answer), "200");
        assert!(answer.ends_with("\r\n\r\nhello"));
        assert!(answer.contains("docker-distribution-api-version: registry/2.0\r\n"));
        assert!(answer.contains("x-content-type-options: nosniff\r\n"));
        assert!(answer.contains("access-control-expose-headers: Docker-Content-Digest, "));
        assert!(!answer.contains("connection: close"));
        let id = answer
            .split("x-ms-correlation-request-id: ")
            .nth(1)
            .unwrap();
        ids.push(id[..36].to_owned());
    }
    ids.dedup();
    assert_eq!(ids.len(), 3);
    let request = "HEAD /now HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let head = server.exchange(request).await;
    assert!(
        head.contains("content-length: 5\r\n") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
}

#[tokio::test]
async fn large_files_arrive_whole() {
    let server = start(Limits::default());
    let mut stream = server.connect().await;
    let request = "GET /file HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.unwrap();
    let body = all
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap()
        + 4;
    assert!(all[body..] == **CONTENT);
    let metrics = server.metrics();
    let line = format!("lazuli_http_response_body_bytes_total{{endpoint=\"other\"}} {LARGE}\n");
    assert!(metrics.contains(&line), "{metrics}");
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let limits = Limits {
        keep_alive: Duration::from_millis(100),
        ..Limits::default()
    };
    let server = start(limits);
    let mut stream = server.connect().await;
    // 300 ms of work are not idleness.
    stream.write_all(get("/slow").as_bytes()).await.unwrap();
    assert!(read_answer(&mut stream).await.ends_with("late"));
    assert_eq!(read_to_end(&mut stream).await, "");
}

#[tokio::test]
async fn a_short_unread_body_does_not_cost_the_connection() {
    let server = start(Limits::default());
    let mut stream = server.connect().await;
    for _ in 0..2 {
        let request = "POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12345";
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = read_answer(&mut stream).await;
        assert_eq!(status(&answer), "404");
        assert!(!answer.contains("connection: close"));
    }
}

#[tokio::test]
async fn expectations_are_met_only_when_the_body_is_wanted() {
    let server = start(Limits::default());
    let head = |path| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        )
    };
    let refused = server.exchange(&head("/refuse")).await;
    assert_eq!(status(&refused), "404");
    assert!(refused.contains("connection: close\r\n"));
    let mut stream = server.connect().await;
    stream.write_all(head("/collect").as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"12345").await.unwrap();
    assert!(read_answer(&mut stream).await.ends_with("\r\n\r\n5"));
}

#[tokio::test]
async fn shutdown_finishes_transfers_and_closes_idle_connections() {
    let server = start(Limits::default());
    let mut idle = server.connect().await;
    idle.write_all(get("/now").as_bytes()).await.unwrap();
    read_answer(&mut idle).await;
    let mut transfer = server.connect().await;
    transfer.write_all(get("/file").as_bytes()).await.unwrap();
    let mut slow = server.connect().await;
    slow.write_all(get("/slow").as_bytes()).await.unwrap();
    let mut some = vec![0; 1 << 20];
    transfer.read_exact(&mut some).await.unwrap();
    let address = server.address;
    let ended = tokio::spawn(server.stop());
    assert_eq!(read_to_end(&mut idle).await, "");
    assert!(TcpStream::connect(address).await.is_err());
    let slow = read_to_end(&mut slow).await;
    assert!(
        slow.ends_with("late") && slow.contains("connection: close\r\n"),
        "{slow}"
    );
    assert!(!ended.is_finished());
    let mut rest = Vec::new();
    transfer.read_to_end(&mut rest).await.unwrap();
    assert!(some.len() + rest.len() > LARGE);
    assert_eq!(ended.await.unwrap(), Ended::Complete);
}

#[tokio::test]
async fn shutdown_cuts_what_outlasts_the_grace_period() {
    let limits = Limits {
        shutdown_grace: Duration::from_millis(200),
        ..Limits::default()
    };
    let server = start(limits);
    let mut transfer = server.connect().await;
    transfer.write_all(get("/file").as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(server.stop().await, Ended::Cut);
}

#[tokio::test]
async fn tls_speaks_http_1_only() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let tls = Tls::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
    let server = start_with(Limits::default(), Some(tls));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let config = |protocols: &[&[u8]]| {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        tokio_rustls::TlsConnector::from(Arc::new(config))
    };
    let connect = async |connector: tokio_rustls::TlsConnector| {
        let name = "localhost".try_into().unwrap();
        connector.connect(name, server.connect().await).await
    };
    let mut stream = connect(config(&[b"h2", b"http/1.1"])).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    stream
        .write_all(b"GET /file HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.unwrap();
    assert!(all.ends_with(&CONTENT));
    assert!(connect(config(&[b"h2"])).await.is_err());
}
