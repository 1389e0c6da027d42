//! Against a router of a few lines on loopback.

#![allow(clippy::unwrap_used)]
use super::*;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const PATH: Path = Path {
    local: Ipv4Addr::new(192, 168, 77, 2),
    gateway: Ipv4Addr::LOCALHOST,
};
const IP: &str = "<NewExternalIPAddress>203.0.113.1</NewExternalIPAddress>";

fn description(control: &str) -> String {
    format!(
        "<root><service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>\
         <controlURL>{control}</controlURL></service></root>"
    )
}

fn fault(code: u16) -> String {
    format!(
        "500 {}",
        format_args!("<s:Fault><UPnPError><errorCode>{code}</errorCode></UPnPError></s:Fault>")
    )
}

/// Answers one call after the other, and keeps what was asked.
async fn router(answers: Vec<String>) -> (Url, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/d.xml", listener.local_addr().unwrap())).unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let keep = asked.clone();
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            while !is_whole(&request) {
                let len = stream.read(&mut buffer).await.unwrap();
                request.extend_from_slice(&buffer[..len]);
            }
            keep.lock()
                .unwrap()
                .push(String::from_utf8(request).unwrap());
            let (status, body) = match answer.strip_prefix("500 ") {
                Some(body) => ("500 Internal Server Error", body),
                None => ("200 OK", answer.as_str()),
            };
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            // The client may hang up on a body that is too long.
            let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
        }
    });
    (url, asked)
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|line| {
        line.to_ascii_lowercase()
            .strip_prefix("content-length: ")?
            .parse()
            .ok()
    });
    body.len() >= length.unwrap_or(0)
}

async fn mapped(answers: &[String]) -> (Result<(SocketAddrV4, u32), Trouble>, Vec<String>) {
    let mut all = vec![description("/ctl"), IP.to_owned()];
    all.extend_from_slice(answers);
    let (url, asked) = router(all).await;
    let gateway = Gateway::describe(&url).await.unwrap();
    let result = gateway.map(&PATH, Protocol::Tcp, 7462, 7462, 1800).await;
    let asked = asked.lock().unwrap().clone();
    (result, asked)
}

#[tokio::test]
async fn a_mapping_is_asked_for_as_the_service_wants_it() {
    let (result, asked) = mapped(&[String::new()]).await;
    assert_eq!(result, Ok(("203.0.113.1:7462".parse().unwrap(), 1800)));
    let add = &asked[2];
    assert!(add.starts_with("POST /ctl HTTP/1.1\r\n"), "{add}");
    assert!(
        add.contains("\"urn:schemas-upnp-org:service:WANIPConnection:1#AddPortMapping\""),
        "{add}"
    );
    for part in [
        "<NewProtocol>TCP</NewProtocol>",
        "<NewInternalClient>192.168.77.2</NewInternalClient>",
        "<NewLeaseDuration>1800</NewLeaseDuration>",
    ] {
        assert!(add.contains(part), "{add}");
    }
}

#[tokio::test]
async fn a_taken_port_leads_to_the_next_and_a_permanent_lease_is_taken_where_it_must() {
    let (result, asked) = mapped(&[fault(718), fault(725), String::new()]).await;
    assert_eq!(result, Ok(("203.0.113.1:7463".parse().unwrap(), 1800)));
    assert!(
        asked[4].contains("<NewExternalPort>7463</NewExternalPort>"),
        "{}",
        asked[4]
    );
    assert!(
        asked[4].contains("<NewLeaseDuration>0</NewLeaseDuration>"),
        "{}",
        asked[4]
    );
}

#[tokio::test]
async fn a_refusal_says_why() {
    let (result, _) = mapped(&[fault(606)]).await;
    assert_eq!(result, Err(Trouble::Refused("not authorized".to_owned())));
    let (result, _) = mapped(&["500 nonsense".to_owned()]).await;
    assert_eq!(result, Err(Trouble::Refused("code HTTP 500".to_owned())));
    let (result, _) = mapped(&vec![fault(718); 9]).await;
    assert_eq!(
        result,
        Err(Trouble::Refused("the port is taken".to_owned()))
    );
}

#[tokio::test]
async fn a_description_may_neither_point_elsewhere_nor_be_endless() {
    for control in ["http://127.0.0.2/ctl", "https://127.0.0.1/ctl", "file:///x"] {
        let (url, _) = router(vec![description(control)]).await;
        assert!(Gateway::describe(&url).await.is_none(), "{control}");
    }
    let long = description("/ctl") + &" ".repeat(BODY_MAX_BYTES);
    let (url, _) = router(vec![long]).await;
    assert!(Gateway::describe(&url).await.is_none());
}
