//! Clients that are slow, greedy or ambiguous.

use super::*;

#[tokio::test]
async fn a_slow_head_and_a_silent_connection_are_cut() {
    let limits = Limits {
        header_timeout: Duration::from_millis(200),
        ..Limits::default()
    };
    let server = start(limits);
    let started = tokio::time::Instant::now();
    let mut silent = server.connect().await;
    let mut slow = server.connect().await;
    let mut space = [0; 16];
    let slow_head = async {
        for byte in get("/now").as_bytes() {
            if slow.write_all(&[*byte]).await.is_err() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        slow.read(&mut [0; 16]).await.unwrap_or(0) == 0
    };
    let (was_cut, silent) = tokio::join!(slow_head, silent.read(&mut space));
    assert!(was_cut);
    assert_eq!(silent.unwrap_or(0), 0);
    assert!(started.elapsed() < Duration::from_secs(3));
    assert!(server.metrics().contains("reason=\"deadline\"} 2"));
}

#[tokio::test]
async fn a_stalled_or_trickling_body_is_answered_408() {
    let limits = Limits {
        body_stall: Duration::from_millis(200),
        body_minimum: 1000,
        ..Limits::default()
    };
    let server = start(limits);
    let head = "POST /collect HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\nsome";
    let stalled = server.exchange(head).await;
    assert_eq!(status(&stalled), "408", "{stalled}");
    let (mut reading, mut writing) = server.connect().await.into_split();
    writing.write_all(head.as_bytes()).await.unwrap();
    let trickle = tokio::spawn(async move {
        while writing.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut answer = [0; 12];
    let read = tokio::time::timeout(Duration::from_secs(5), reading.read_exact(&mut answer));
    read.await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
    trickle.abort();
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut() {
    let limits = Limits {
        write_stall: Duration::from_millis(200),
        ..Limits::default()
    };
    let server = start(limits);
    let mut stream = server.connect().await;
    stream.write_all(get("/file").as_bytes()).await.unwrap();
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        if server.shell.connections.count() == 0 {
            break;
        }
    }
    assert_eq!(server.shell.connections.count(), 0);
    assert!(server.metrics().contains("status=\"aborted\"} 1"));
}

#[tokio::test]
async fn bodies_are_limited_whether_announced_or_not() {
    let server = start(Limits::default());
    let announced = "POST /collect HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n";
    let answer = server.exchange(announced).await;
    assert_eq!(status(&answer), "413");
    assert!(answer.contains("connection: close\r\n"));
    let mut chunked =
        "POST /collect HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
    for _ in 0..32 {
        chunked.push_str("10000\r\n");
        chunked.push_str(&"x".repeat(0x10000));
        chunked.push_str("\r\n");
    }
    chunked.push_str("0\r\n\r\n");
    assert_eq!(status(&server.exchange(&chunked).await), "413");
}

#[tokio::test]
async fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let server = start(Limits::default());
    let mut request =
        "POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 30000000\r\n\r\n".to_owned();
    request.push_str(&"x".repeat(30_000_000));
    let answer = server.exchange(&request).await;
    assert_eq!(status(&answer), "404", "{answer}");
    assert!(answer.contains("connection: close\r\n"));
}

#[tokio::test]
async fn ambiguous_requests_are_refused_and_the_connection_closed() {
    let server = start(Limits::default());
    for request in [
        "\r\nPOST /collect HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /collect HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /collect HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        "POST /collect HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
        "POST /collect HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 1\r\n\r\n",
        "POST /collect HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "POST /collect HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "POST /collect HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\n",
        "GET /now HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /now HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET /now HTTP/1.1\r\n\r\n",
        "GET http://b/now HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET now HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /now HTTP/1.1\r\nHost: a\r\n folded: x\r\n\r\n",
        "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GARBAGE\r\n\r\n",
    ] {
        let smuggled = format!("{request}{}", get("/now"));
        let answer = server.exchange(&smuggled).await;
        assert_eq!(status(&answer), "400", "{request:?}: {answer}");
        assert!(!answer.contains("hello"), "{request:?}: {answer}");
    }
}

#[tokio::test]
async fn oversized_heads_are_refused() {
    let server = start(Limits::default());
    let long = server
        .exchange(&get(&format!("/{}", "x".repeat(9000))))
        .await;
    assert_eq!(status(&long), "414");
    let request = format!(
        "GET /now HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(40_000)
    );
    assert_eq!(status(&server.exchange(&request).await), "431");
    let many = format!(
        "GET /now HTTP/1.1\r\nHost: a\r\n{}\r\n",
        "X: y\r\n".repeat(200)
    );
    assert_eq!(status(&server.exchange(&many).await), "431");
}

#[tokio::test]
async fn too_many_connections_are_told_so_and_idle_ones_make_room() {
    let limits = Limits {
        max_connections: 2,
        header_timeout: Duration::from_secs(30),
        ..Limits::default()
    };
    let server = start(limits);
    let mut first = server.connect().await;
    let mut second = server.connect().await;
    for stream in [&mut first, &mut second] {
        stream.write_all(get("/now").as_bytes()).await.unwrap();
        read_answer(stream).await;
    }
    let refused = server.exchange(&get("/now")).await;
    assert_eq!(status(&refused), "503");
    let (head, body) = refused.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("Retry-After: 1\r\n"));
    assert!(head.contains(&format!("Content-Length: {}", body.len())));
    assert!(serde_json::from_str::<serde_json::Value>(body).is_ok());
    // The one idle for longest had to go.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut third = server.connect().await;
    third.write_all(get("/now").as_bytes()).await.unwrap();
    assert_eq!(status(&read_answer(&mut third).await), "200");
}
