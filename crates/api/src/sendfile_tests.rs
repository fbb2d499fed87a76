#![allow(clippy::unwrap_used, clippy::expect_used)]
use std::io::Write as _;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket};

use super::*;
use crate::file_body::FileBody;
use crate::pool::BufferPool;

const LENGTH: usize = 3 * PIECE + 4321;

fn file() -> (Arc<File>, Vec<u8>) {
    let content: Vec<u8> = (0..LENGTH).map(|i| (i * 7 + i / 251 + 1) as u8).collect();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&content).unwrap();
    (Arc::new(file), content)
}

/// A sending stream, its queue, and a client with a small receive buffer.
async fn pair() -> (SendingStream, Arc<SendQueue>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 << 10).unwrap();
    let client = socket.connect(listener.local_addr().unwrap()).await;
    let (stream, _) = listener.accept().await.unwrap();
    let queue = Arc::new(SendQueue::default());
    (
        SendingStream::new(stream, queue.clone()),
        queue,
        client.unwrap(),
    )
}

fn read_all(mut client: TcpStream) -> tokio::task::JoinHandle<Vec<u8>> {
    tokio::spawn(async move {
        let mut all = Vec::new();
        client.read_to_end(&mut all).await.unwrap();
        all
    })
}

#[tokio::test]
async fn a_body_goes_through_the_queue_and_arrives_exactly() {
    let (file, content) = file();
    let (mut stream, queue, client) = pair().await;
    let received = read_all(client);
    let mut body = FileBody::new(file, 3, LENGTH as u64, &BufferPool::default());
    body.send_through(Some(&queue));
    let mut stand_ins = 0;
    while let Some(bytes) = std::future::poll_fn(|cx| body.poll_chunk(cx)).await {
        let bytes = bytes.unwrap();
        stand_ins += usize::from(is_stand_in(&IoSlice::new(&bytes)));
        stream.write_all(b"<").await.unwrap();
        stream.write_all(&bytes).await.unwrap();
    }
    drop(stream);
    assert_eq!(stand_ins, 3);
    // The last 4318 bytes were not worth it.
    let mut expected = Vec::new();
    for piece in content[3..].chunks(PIECE) {
        expected.push(b'<');
        expected.extend_from_slice(piece);
    }
    assert!(received.await.unwrap() == expected);
    assert!(queue.lock().waiting.is_empty());
}

#[tokio::test]
async fn ordinary_slices_and_stand_ins_are_written_in_order() {
    let (file, content) = file();
    let (mut stream, queue, client) = pair().await;
    let received = read_all(client);
    let (one, two) = (queue.push(&file, 5, 100_001), queue.push(&file, 9, 1));
    let parts: [&[u8]; 6] = [b"", b"head", &one, b"between", &two, b"tail"];
    let all: usize = parts.iter().map(|part| part.len()).sum();
    let mut written = 0;
    while written < all {
        let mut slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let mut rest = &mut slices[..];
        IoSlice::advance_slices(&mut rest, written);
        written += stream.write_vectored(rest).await.unwrap();
    }
    drop(stream);
    let expected = [
        b"head",
        &content[5..100_006],
        b"between",
        &content[9..10],
        b"tail",
    ];
    assert!(received.await.unwrap() == expected.concat());
}

#[tokio::test]
async fn a_stand_in_out_of_turn_is_an_error() {
    let (file, _) = file();
    let (mut stream, queue, client) = pair().await;
    let received = read_all(client);
    // One of a response that was given up, and the same piece for the next response.
    let _lost = queue.push(&file, 0, 50_000);
    let next = queue.push(&file, 0, 50_000);
    assert!(stream.write(&next).await.is_err());
    queue.lock().waiting.clear();
    assert!(stream.write(&next).await.is_err());
    // Nor does a part of one pass, nor another queue's.
    let whole = queue.push(&file, 0, 50_000);
    assert!(stream.write(&whole[1..]).await.is_err());
    assert!(stream.write(&whole[..10]).await.is_err());
    let other = SendQueue::default();
    let foreign = [(); 5].map(|()| other.push(&file, 0, 50_000));
    assert!(stream.write(&foreign[4]).await.is_err());
    drop(stream);
    assert_eq!(received.await.unwrap(), b"");
}

#[tokio::test]
async fn a_file_that_became_shorter_is_an_error() {
    let (file, content) = file();
    let (mut stream, queue, client) = pair().await;
    let received = read_all(client);
    let stand_in = queue.push(&file, 0, PIECE);
    file.set_len(8192).unwrap();
    let error = stream.write_all(&stand_in).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    drop(stream);
    assert!(received.await.unwrap() == content[..8192]);
}

#[tokio::test]
async fn a_piece_can_be_copied_instead() {
    let (file, content) = file();
    let (stream, _, client) = pair().await;
    let piece = |offset, length| Piece {
        file: file.clone(),
        offset,
        address: 0,
        length,
    };
    assert_eq!(piece(7, 1000).copy(&stream.inner).unwrap(), 1000);
    assert_eq!(piece(LENGTH as u64, 1).copy(&stream.inner).unwrap(), 0);
    drop(stream);
    assert!(read_all(client).await.unwrap() == content[7..1007]);
}
