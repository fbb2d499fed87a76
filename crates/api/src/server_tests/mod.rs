//! The server over real sockets, with an application that only exercises bodies and waiting.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Write as _;
use std::sync::LazyLock;

use http::{Response, StatusCode};
use tokio::sync::oneshot;

use super::*;
use crate::body::{Body, BodyError};
use crate::connections::Connections;
use crate::errors::Refusal;
use crate::exchange::Observed;
use crate::exposition::Exposition;
use crate::file_body::FileBody;
use crate::headers::Cors;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::pool::BufferPool;
use crate::request_id::RequestIds;
use crate::service::{Received, Step};

const LARGE: usize = 24 << 20;

/// What is in the file: no zeroes for long, no short period.
static CONTENT: LazyLock<Vec<u8>> =
    LazyLock::new(|| (0..LARGE).map(|i| (i * 7 + i / 251) as u8).collect());

struct TestApp {
    file: Arc<std::fs::File>,
    pool: BufferPool,
}

impl App for TestApp {
    type Pending = ();

    fn answer_now(&self, request: &mut Received, _: &Client) -> Step<()> {
        match request.parts.uri.path() {
            "/now" => Step::Done(Response::new(Body::full("hello"))),
            "/file" => {
                let body = FileBody::new(self.file.clone(), 0, LARGE as u64, &self.pool);
                Step::Done(Response::new(Body::file(body)))
            }
            path if path.starts_with("/part/") => {
                let mut ends = path.split('/').skip(2).map(|end| end.parse().unwrap());
                let (start, end) = (ends.next().unwrap(), ends.next().unwrap());
                let body = FileBody::new(self.file.clone(), start, end, &self.pool);
                Step::Done(Response::new(Body::file(body)))
            }
            _ => Step::Later(()),
        }
    }

    async fn answer(&self, request: &mut Received, (): ()) -> Response<Body> {
        match request.parts.uri.path() {
            "/refuse" => Refusal::no_endpoint().into_response(),
            "/slow" => {
                tokio::time::sleep(Duration::from_millis(300)).await;
                Response::new(Body::full("late"))
            }
            _ => match request.body.collect(1 << 20).await {
                Ok(bytes) => Response::new(Body::full(bytes.len().to_string())),
                Err(error) => {
                    let status = match error {
                        BodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                        BodyError::Stalled => StatusCode::REQUEST_TIMEOUT,
                        BodyError::Incomplete(_) => StatusCode::BAD_REQUEST,
                    };
                    let mut response = Response::new(Body::empty());
                    *response.status_mut() = status;
                    response
                }
            },
        }
    }
}

struct Running {
    address: SocketAddr,
    shell: Arc<Shell>,
    file: Arc<std::fs::File>,
    stop: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<Ended>,
}

fn start(limits: Limits) -> Running {
    start_with(limits, None)
}

fn start_with(limits: Limits, tls: Option<Tls>) -> Running {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&CONTENT).unwrap();
    let file = Arc::new(file);
    let app = Arc::new(TestApp {
        file: file.clone(),
        pool: BufferPool::default(),
    });
    let shell = Arc::new(Shell {
        connections: Connections::new(limits.clone()),
        limits,
        cors: Cors::default(),
        observed: Arc::new(Observed {
            metrics: Metrics::default(),
            ids: RequestIds::new(),
        }),
    });
    let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let listeners = match tls {
        None => Listeners {
            http: vec![listener],
            ..Listeners::default()
        },
        Some(tls) => Listeners {
            https: vec![(listener, tls)],
            ..Listeners::default()
        },
    };
    let (stop, stopped) = oneshot::channel();
    let serving = serve(app, shell.clone(), listeners, async {
        let _ = stopped.await;
    });
    Running {
        address,
        shell,
        file,
        stop: Some(stop),
        task: tokio::spawn(serving),
    }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes on a new connection and reads until the server closes it.
    async fn exchange(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        read_to_end(&mut stream).await
    }

    async fn stop(mut self) -> Ended {
        drop(self.stop.take());
        self.task.await.unwrap()
    }

    fn metrics(&self) -> String {
        let mut out = Exposition::default();
        self.shell.observed.metrics.render(&mut out);
        out.finish()
    }
}

async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    // A reset after the answer would be an error here, on purpose.
    tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut all))
        .await
        .expect("the server did not close the connection")
        .expect("the connection was reset");
    String::from_utf8_lossy(&all).into_owned()
}

/// Reads one answer with a `Content-Length`.
async fn read_answer(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&all).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .to_ascii_lowercase()
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
            if body.len() >= length.unwrap_or(0) {
                return text;
            }
        }
        let mut space = [0; 4096];
        let count = stream.read(&mut space).await.unwrap();
        assert_ne!(count, 0, "closed after {text:?}");
        all.extend_from_slice(&space[..count]);
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

mod hostile;
mod orderly;
mod sending;
