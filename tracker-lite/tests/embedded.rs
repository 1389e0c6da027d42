//! The tracker inside another program: axum routes and a tokio UDP socket.
#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Extension;
use shoal_protocol::tracker::udp::{Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::oneshot;
use tracker_lite::{
    ClientAddr, Config, Everybody, Open, Tracker, metrics_router, router, serve_udp,
};

fn tracker() -> Arc<Tracker> {
    Arc::new(Tracker::new(Config::default(), Arc::new(Open), Arc::new(Everybody)).unwrap())
}

async fn serve(app: axum::Router) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

async fn fetch(address: SocketAddr, target: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer.iter().map(|byte| char::from(*byte)).collect()
}

const ANNOUNCE: &str = "info_hash=%AA%bbaaaaaaaaaaaaaaaaaa&peer_id=-XX0000-abcdefghijkl&port=1";

#[tokio::test]
async fn routes_answer_with_the_connections_address() {
    let tracker = tracker();
    let address = serve(router(tracker.clone()).merge(metrics_router(tracker))).await;
    for path in ["/announce", "/announce/", "/announce/token"] {
        let answer = fetch(address, &format!("{path}?{ANNOUNCE}")).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert!(answer.contains("11:external ip4:\x7f\0\0\x01"), "{answer}");
    }
    assert!(
        fetch(address, "/scrape/t?info_hash=%AA%bbaaaaaaaaaaaaaaaaaa")
            .await
            .contains("10:incompletei1e")
    );
    assert!(
        fetch(address, "/announce/a%2Fb")
            .await
            .starts_with("HTTP/1.1 400")
    );
    assert!(
        fetch(address, "/metrics")
            .await
            .contains("tracker_torrents 1\n")
    );
}

#[tokio::test]
async fn an_extension_tells_the_address() {
    let client = ClientAddr(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)));
    let address = serve(router(tracker()).layer(Extension(client))).await;
    let answer = fetch(address, &format!("/announce?{ANNOUNCE}")).await;
    assert!(
        answer.contains("11:external ip4:\u{c0}\0\x02\x07"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_udp_socket_is_served_until_the_end() {
    let server = UdpSocket::bind("[::1]:0").await.unwrap();
    let address = server.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(serve_udp(server, tracker(), async {
        let _ = stopped.await;
    }));
    let client = UdpSocket::bind("[::1]:0").await.unwrap();
    let mut packet = Vec::new();
    Request::Connect { transaction: 9 }.encode(&mut packet);
    client.send_to(b"garbage", address).await.unwrap();
    client.send_to(&packet, address).await.unwrap();
    let mut answer = [0; 100];
    let len = client.recv(&mut answer).await.unwrap();
    assert!(matches!(
        Response::parse(&answer[..len]),
        Ok(Response::Connect { transaction: 9, .. })
    ));
    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
}
