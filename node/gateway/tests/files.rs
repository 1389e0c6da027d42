//! Files over a real connection: ranges, conditions, names, and what happens when things change.

#![allow(clippy::unwrap_used)]

mod fixture;

use fixture::{Answer, File, Gateway, LINK, Memory, pattern};
use shoal_protocol::hello::Refusal;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const TEN: &[u8] = b"0123456789";

async fn ten() -> Gateway {
    Gateway::start(Memory::folder([
        ("ten", File::of(TEN)),
        ("empty", File::of(b"")),
    ]))
    .await
}

#[tokio::test]
async fn ranges() {
    let gateway = ten().await;
    for (range, status, body, content_range) in [
        ("bytes=0-3", 206, "0123", Some("bytes 0-3/10")),
        ("bytes=4-", 206, "456789", Some("bytes 4-9/10")),
        ("bytes=-3", 206, "789", Some("bytes 7-9/10")),
        ("bytes=-99", 206, "0123456789", Some("bytes 0-9/10")),
        ("bytes=9-99", 206, "9", Some("bytes 9-9/10")),
        (
            "bytes=0-18446744073709551615",
            206,
            "0123456789",
            Some("bytes 0-9/10"),
        ),
        ("bytes=10-", 416, "", Some("bytes */10")),
        ("bytes=-0", 416, "", Some("bytes */10")),
        ("bytes=3-1", 200, "0123456789", None),
        ("bytes=x", 200, "0123456789", None),
        ("lines=1-2", 200, "0123456789", None),
        ("bytes=0-1,3-4", 200, "0123456789", None),
    ] {
        let answer = gateway
            .ask(&format!("GET /s/{LINK}/f/ten HTTP/1.1\r\nRange: {range}"))
            .await;
        assert_eq!(answer.status, status, "{range}");
        assert_eq!(answer.header("content-range"), content_range, "{range}");
        if status != 416 {
            assert_eq!(answer.text(), body, "{range}");
            assert_eq!(
                answer.header("content-length"),
                Some(body.len().to_string().as_str())
            );
        }
    }
}

#[tokio::test]
async fn a_head_has_everything_but_the_body_and_takes_no_slot() {
    let gateway = ten().await;
    let whole = gateway.get("/f/ten").await;
    let head = gateway.ask(&format!("HEAD /s/{LINK}/f/ten HTTP/1.1")).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    for name in [
        "content-length",
        "etag",
        "last-modified",
        "content-type",
        "accept-ranges",
    ] {
        assert!(head.header(name).is_some(), "{name}");
        assert_eq!(head.header(name), whole.header(name), "{name}");
    }
    assert_eq!(head.header("content-length"), Some("10"));
    assert_eq!(
        head.header("last-modified"),
        Some("Tue, 14 Nov 2023 22:13:20 GMT")
    );
    assert_eq!(gateway.memory.admitted.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn conditions() {
    let gateway = ten().await;
    let date = "Tue, 14 Nov 2023 22:13:20 GMT";
    for (lines, status) in [
        ("If-None-Match: \"t10\"", 304),
        ("If-None-Match: W/\"t10\"", 304),
        ("If-None-Match: \"other\", \"t10\"", 304),
        ("If-None-Match: *", 304),
        ("If-None-Match: \"other\"", 200),
        (&format!("If-Modified-Since: {date}"), 304),
        ("If-Modified-Since: Mon, 13 Nov 2023 22:13:20 GMT", 200),
        (
            &format!("If-None-Match: \"other\"\r\nIf-Modified-Since: {date}"),
            200,
        ),
        ("If-Match: \"t10\"", 200),
        ("If-Match: \"other\"", 412),
        ("If-Unmodified-Since: Mon, 13 Nov 2023 22:13:20 GMT", 412),
        (&format!("If-Unmodified-Since: {date}"), 200),
        ("Range: bytes=0-1\r\nIf-Range: \"t10\"", 206),
        ("Range: bytes=0-1\r\nIf-Range: \"old\"", 200),
        ("Range: bytes=0-1\r\nIf-Range: W/\"t10\"", 200),
        (&format!("Range: bytes=0-1\r\nIf-Range: {date}"), 206),
        (
            "Range: bytes=0-1\r\nIf-Range: Tue, 14 Nov 2023 22:13:21 GMT",
            200,
        ),
        ("Range: bytes=0-1\r\nIf-Range: nonsense", 200),
    ] {
        let answer = gateway
            .ask(&format!("GET /s/{LINK}/f/ten HTTP/1.1\r\n{lines}"))
            .await;
        assert_eq!(answer.status, status, "{lines}");
        let expected = match status {
            200 => 10,
            206 => 2,
            304 => 0,
            _ => answer.body.len(),
        };
        assert_eq!(answer.body.len(), expected, "{lines}");
    }
}

#[tokio::test]
async fn an_empty_file_is_a_file() {
    let gateway = ten().await;
    let answer = gateway.get("/f/empty").await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert_eq!(answer.header("content-length"), Some("0"));
    let answer = gateway
        .ask(&format!(
            "GET /s/{LINK}/f/empty HTTP/1.1\r\nRange: bytes=0-"
        ))
        .await;
    assert_eq!(answer.status, 416);
}

#[tokio::test]
async fn a_large_file_arrives_whole_and_counts_once() {
    let size = 9_000_001;
    let gateway = Gateway::start(Memory::folder([("large", File::large(size))])).await;
    let answer = gateway.get("/f/large").await;
    assert_eq!(answer.body.len() as u64, size);
    assert!((0..size).all(|at| answer.body[at as usize] == pattern(at)));
    let from = 1_234_567;
    let part = gateway
        .ask(&format!(
            "GET /s/{LINK}/f/large HTTP/1.1\r\nRange: bytes={from}-8000000"
        ))
        .await;
    assert_eq!(part.body, answer.body[from..=8_000_000]);
    // The connections have ended on our side too when they were closed after the last byte.
    let sent = gateway.memory.seat.sent_bytes.load(Ordering::SeqCst);
    assert_eq!(sent, size + part.body.len() as u64);
}

#[tokio::test]
async fn a_change_in_the_middle_breaks_the_connection() {
    let size = 20 << 20;
    let changing = File {
        changes_at: Some(5 << 20),
        ..File::large(size)
    };
    let gateway = Gateway::start(Memory::folder([("f", changing)])).await;
    let answer = gateway.get("/f/f").await;
    assert_eq!(
        answer.header("content-length"),
        Some(size.to_string().as_str())
    );
    assert!(answer.body.len() <= 5 << 20, "{}", answer.body.len());
    assert!((0..answer.body.len()).all(|at| answer.body[at] == pattern(at as u64)));
}

#[tokio::test]
async fn a_change_at_the_start_is_said() {
    let changing = File {
        changes_at: Some(0),
        ..File::large(1 << 20)
    };
    let gateway = Gateway::start(Memory::folder([("f", changing)])).await;
    let answer = gateway.get("/f/f").await;
    assert_eq!(answer.status, 409);
    assert!(answer.text().contains("changed"), "{}", answer.text());
    assert_eq!(gateway.memory.admitted.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_stop_in_the_middle_breaks_the_connection() {
    let size: u64 = 1 << 40;
    let gateway = Gateway::start(Memory::folder([("f", File::large(size))])).await;
    let mut stream = gateway.connect().await;
    let head = format!("GET /s/{LINK}/f/f HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut first = vec![0; 4 << 20];
    stream.read_exact(&mut first).await.unwrap();
    *gateway.memory.seat.ended.lock().unwrap() = Some(Refusal::Stopped);
    let mut rest = 0u64;
    let mut part = vec![0; 1 << 20];
    while let Ok(read @ 1..) = stream.read(&mut part).await {
        rest += read as u64;
    }
    assert!(rest < 64 << 20, "{rest} bytes came after the stop");
}

#[tokio::test]
async fn a_stop_reaches_a_taker_who_does_not_read() {
    let gateway = Gateway::start(Memory::folder([("f", File::large(1 << 40))])).await;
    let mut stream = gateway.connect().await;
    let head = format!("GET /s/{LINK}/f/f HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut first = [0; 1];
    stream.read_exact(&mut first).await.unwrap();
    *gateway.memory.seat.ended.lock().unwrap() = Some(Refusal::Expired);
    // Not a byte is read: only a closed connection makes this readable for writing and then fail.
    let closed = async {
        while stream.write_all(b" ").await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(5), closed)
        .await
        .unwrap();
}

#[tokio::test]
async fn what_never_left_does_not_count_as_sent() {
    let gateway = Gateway::start(Memory::folder([("f", File::large(1 << 40))])).await;
    let mut stream = gateway.connect().await;
    let head = format!("GET /s/{LINK}/f/f HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut taken = vec![0; 2 << 20];
    stream.read_exact(&mut taken).await.unwrap();
    drop(stream);
    // The answer's chunks and its body hold the seat until the connection is gone.
    while Arc::strong_count(&gateway.memory.seat) > 1 {
        tokio::task::yield_now().await;
    }
    let sent = gateway.memory.seat.sent_bytes.load(Ordering::SeqCst);
    assert!(sent >= 1 << 20, "{sent}");
    assert!(sent < 64 << 20, "{sent}");
}

#[tokio::test]
async fn nothing_outside_is_found() {
    let gateway = ten().await;
    for rest in [
        "/f/../../etc/passwd",
        "/f/%2e%2e/%2e%2e/etc/passwd",
        "/f/..%2f..%2fetc%2fpasswd",
        "/f//etc/passwd",
        "/f/%2fetc%2fpasswd",
        "/f/ten%00.txt",
        "/f/ten/",
        "/f/./ten",
        "/w/holiday/..%2ften",
        "/f/nope",
        "/f/%ff",
        "/nope",
        "/f",
    ] {
        let answer = gateway.get(rest).await;
        assert_eq!(answer.status, 404, "{rest}");
    }
    assert_eq!(gateway.get("/f/changed").await.status, 409);
    assert_eq!(gateway.get("/f/unreadable").await.status, 503);
}

#[tokio::test]
async fn hostile_names_stay_names() {
    let name = "<script>\"';\r\nSet-Cookie: a=b\t\u{202e}%41é.html";
    let gateway = Gateway::start(Memory::folder([(name, File::of(TEN))])).await;
    let encoded: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let answer = gateway.get(&format!("/f/{encoded}")).await;
    assert_eq!((answer.status, answer.text()), (200, "0123456789"));
    assert_eq!(answer.header("set-cookie"), None);
    let disposition = answer.header("content-disposition").unwrap();
    assert!(
        disposition
            .starts_with("attachment; filename=\"<script>_';__Set-Cookie: a=b___41_.html\";"),
        "{disposition}"
    );
    assert!(disposition.is_ascii());
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert!(
        answer
            .header("content-security-policy")
            .unwrap()
            .contains("sandbox")
    );
    let page = gateway.get("").await;
    for raw in ["<script>", "\u{202e}", "Set-Cookie: a=b\t"] {
        assert!(!page.text().contains(raw), "{raw:?}");
    }
    assert!(
        page.text()
            .contains("&lt;script&gt;&quot;&#39;;\\r\\nSet-Cookie")
    );
    let link = page
        .text()
        .split("/f/")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned();
    assert_eq!(
        gateway.get(&format!("/f/{link}")).await.text(),
        "0123456789"
    );
}

#[tokio::test]
async fn a_web_seed_answers_as_clients_ask() {
    let gateway = Gateway::start(Memory::folder([("a b/ü+.txt", File::of(TEN))])).await;
    for rest in [
        "/w/holiday/a%20b/%C3%BC+.txt",
        "/w/holiday/a%20b/%c3%bc%2B%2etxt",
        "/w/holiday/a%20b/ü%2b.txt",
    ] {
        let answer = gateway
            .ask(&format!("GET /s/{LINK}{rest} HTTP/1.1\r\nRange: bytes=2-3"))
            .await;
        assert_eq!((answer.status, answer.text()), (206, "23"), "{rest}");
    }
    assert_eq!(gateway.get("/w/holiday").await.status, 404);
    assert_eq!(gateway.get("/w/holiday/a%20b").await.status, 404);

    let single = Gateway::start(Memory::single("one.bin", TEN)).await;
    assert_eq!(single.get("/w/one.bin").await.text(), "0123456789");
    assert_eq!(single.get("/f/one.bin").await.text(), "0123456789");
    assert_eq!(single.get("/w/one.bin/more").await.status, 404);
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let gateway = ten().await;
    let mut stream = gateway.connect().await;
    let request = format!("GET /s/{LINK}/f/ten HTTP/1.1\r\nHost: x\r\n\r\n");
    stream
        .write_all(request.repeat(20).as_bytes())
        .await
        .unwrap();
    let last = format!("GET /s/{LINK}/f/ten HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(last.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.unwrap();
    let all = String::from_utf8(all).unwrap();
    assert_eq!(all.matches("0123456789").count(), 21);
    assert_eq!(Answer::parse(all.as_bytes()).status, 200);
}
