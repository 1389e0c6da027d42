//! What a connection may make us keep: heads, time, and the end of the node.

#![allow(clippy::unwrap_used)]

mod fixture;

use fixture::{File, Gateway, LINK, Memory, OneLink};
use shoal_gateway::{HEAD_TIMEOUT, STALL_TIMEOUT, public_router, serve_connection};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A connection in memory, so that time can be moved.
fn connection(memory: Memory, window_bytes: usize) -> (DuplexStream, JoinHandle<()>) {
    let (ours, theirs) = tokio::io::duplex(window_bytes);
    let router = public_router(Arc::new(OneLink(Arc::new(memory))));
    let addr = SocketAddr::from(([127, 0, 0, 1], 1));
    let served = serve_connection(theirs, addr, router, CancellationToken::new());
    (ours, tokio::spawn(served))
}

fn memory() -> Memory {
    Memory::folder([("f", File::large(1 << 30))])
}

#[tokio::test(start_paused = true)]
async fn a_head_that_drips_is_cut_off() {
    let (mut stream, served) = connection(memory(), 4096);
    let begun = Instant::now();
    stream.write_all(b"GET /s/x HTTP/1.1\r\n").await.unwrap();
    let drip = async {
        while stream.write_all(b"X: y\r\n").await.is_ok() {
            tokio::time::sleep(HEAD_TIMEOUT / 10).await;
        }
    };
    tokio::join!(drip, async { served.await.unwrap() });
    assert!(begun.elapsed() < HEAD_TIMEOUT * 2, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed() {
    let (mut stream, served) = connection(memory(), 1 << 20);
    stream
        .write_all(b"GET /s/x HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let begun = Instant::now();
    served.await.unwrap();
    assert!(begun.elapsed() >= HEAD_TIMEOUT && begun.elapsed() < HEAD_TIMEOUT * 2);
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 404"));
}

#[tokio::test(start_paused = true)]
async fn a_taker_who_reads_nothing_is_closed() {
    let (mut stream, served) = connection(memory(), 4096);
    let head = format!("GET /s/{LINK}/f/f HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let begun = Instant::now();
    served.await.unwrap();
    assert!(begun.elapsed() >= STALL_TIMEOUT && begun.elapsed() < STALL_TIMEOUT * 2);
}

#[tokio::test(start_paused = true)]
async fn a_request_body_that_drips_is_answered() {
    let (mut stream, served) = connection(memory(), 4096);
    let head = format!(
        "POST /s/{LINK}/blobs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         Content-Type: application/octet-stream\r\nContent-Length: 9\r\n\r\n1"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    served.await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(
        answer.starts_with(b"HTTP/1.1 408"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

#[tokio::test]
async fn heads_have_limits() {
    let gateway = Gateway::start(memory()).await;
    let many = "\r\nX: y".repeat(100);
    let answer = gateway.ask(&format!("GET /s/{LINK} HTTP/1.1{many}")).await;
    assert_eq!(answer.status, 431);
    let long = "x".repeat(100_000);
    let answer = gateway
        .ask(&format!("GET /s/{LINK} HTTP/1.1\r\nX: {long}"))
        .await;
    assert_eq!(answer.status, 431);
    let mut stream = gateway.connect().await;
    stream
        .write_all(b"\x13BitTorrent protocol\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 400"));
}

#[tokio::test]
async fn the_end_of_the_node_ends_answers() {
    let gateway = Gateway::start(memory()).await;
    let mut busy = gateway.connect().await;
    let head = format!("GET /s/{LINK}/f/f HTTP/1.1\r\nHost: x\r\n\r\n");
    busy.write_all(head.as_bytes()).await.unwrap();
    let mut first = [0; 1];
    busy.read_exact(&mut first).await.unwrap();
    let mut idle = gateway.connect().await;
    idle.write_all(b"GET /s/x HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    idle.read_exact(&mut first).await.unwrap();
    gateway.shutdown.cancel();
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
    while busy.write_all(b" ").await.is_ok() {
        tokio::task::yield_now().await;
    }
}
