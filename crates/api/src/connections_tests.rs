#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;

fn limits() -> Limits {
    Limits {
        max_connections: 2,
        keep_alive: Duration::from_secs(10),
        header_timeout: Duration::from_secs(5),
        write_stall: Duration::from_secs(20),
        body_stall: Duration::from_secs(20),
        ..Limits::default()
    }
}

fn remote() -> SocketAddr {
    "127.0.0.1:1".parse().unwrap()
}

/// Lets `seconds` pass for all connections.
fn pass(connections: &Connections, seconds: u64) {
    let now = connections.clock.now() + seconds * 1000;
    connections.clock.now.store(now, Relaxed);
    connections.sweep(now);
}

#[test]
fn an_unfinished_head_is_cut_and_an_idle_connection_asked_to_go() {
    let connections = Connections::new(limits());
    let head = connections.admit(remote(), false).unwrap();
    let idle = connections.admit(remote(), false).unwrap();
    idle.connection().enter(Phase::Idle);
    pass(&connections, 4);
    assert_eq!(head.connection().orders(), 0);
    pass(&connections, 3);
    assert_eq!(head.connection().orders(), order::CUT);
    assert_eq!(idle.connection().orders(), 0);
    pass(&connections, 5);
    assert_eq!(idle.connection().orders(), order::FINISH);
}

#[test]
fn a_busy_connection_may_take_long_but_not_stall() {
    let connections = Connections::new(limits());
    let busy = connections.admit(remote(), false).unwrap();
    busy.connection().begin_request();
    pass(&connections, 3600);
    assert_eq!(busy.connection().orders(), 0);
    busy.connection().await_body();
    pass(&connections, 19);
    assert_eq!(busy.connection().orders(), 0);
    assert!(busy.connection().body_arrived() >= 18_000);
    pass(&connections, 30);
    assert_eq!(busy.connection().orders(), 0);
    busy.connection().await_body();
    pass(&connections, 22);
    assert_eq!(busy.connection().orders(), order::BODY_STALLED);
    busy.connection().set_write_blocked(true);
    pass(&connections, 22);
    assert_eq!(busy.connection().orders(), order::BODY_STALLED | order::CUT);
}

#[test]
fn the_limit_is_kept_and_the_longest_idle_makes_room() {
    let connections = Connections::new(limits());
    let first = connections.admit(remote(), false).unwrap();
    let second = connections.admit(remote(), true).unwrap();
    assert!(connections.admit(remote(), false).is_none());
    assert_eq!(
        first.connection().orders() | second.connection().orders(),
        0
    );
    first.connection().enter(Phase::Idle);
    assert!(connections.admit(remote(), false).is_none());
    assert_eq!(first.connection().orders(), order::FINISH);
    drop(first);
    assert!(connections.admit(remote(), false).is_some());
}

#[tokio::test]
async fn finishing_waits_for_the_last_connection() {
    let connections = Connections::new(limits());
    let one = connections.admit(remote(), false).unwrap();
    let waiting = tokio::spawn({
        let connections = connections.clone();
        async move { connections.finish(Duration::from_secs(30)).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(one.connection().orders(), order::FINISH);
    assert!(!waiting.is_finished());
    drop(one);
    assert!(waiting.await.unwrap());
    let late = connections.admit(remote(), false).unwrap();
    assert_eq!(late.connection().orders(), order::FINISH);
    assert!(!connections.finish(Duration::from_millis(20)).await);
    assert_ne!(late.connection().orders() & order::CUT, 0);
}

#[test]
fn one_address_never_has_all_connections() {
    let connections = Connections::new(Limits {
        max_connections: 8,
        ..limits()
    });
    let from = |text: &str| connections.admit(text.parse().unwrap(), false);
    let mut held: Vec<_> = (0..6).map(|_| from("10.6.6.6:1").unwrap()).collect();
    assert!(from("10.6.6.6:2").is_none());
    let other = from("10.0.0.1:1");
    assert!(other.is_some());
    held.pop();
    assert!(from("10.6.6.6:2").is_some());
    drop((held, other));
    assert!(lock(&connections.open).by_origin.is_empty());
}
