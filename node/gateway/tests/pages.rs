//! Everything of a link but its files: pages, formats, refusals, limits.

#![allow(clippy::unwrap_used)]

mod fixture;

use fixture::{File, Gateway, LINK, Memory, row};
use shoal_gateway::port::{Row, RowKind, Stage};
use shoal_protocol::hello::Refusal;
use shoal_protocol::id::TakerToken;
use shoal_protocol::path::RelPath;
use std::sync::atomic::Ordering;

fn two() -> Memory {
    Memory::folder([
        ("a/one.txt", File::of(b"1")),
        ("two & 3.txt", File::of(b"22")),
    ])
}

#[tokio::test]
async fn the_list_is_a_page_and_json() {
    let gateway = Gateway::start(two()).await;
    let page = gateway.get("").await;
    assert_eq!(page.status, 200);
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(page.header("cache-control"), Some("private, no-store"));
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    assert!(
        page.header("content-security-policy")
            .unwrap()
            .starts_with("default-src 'none'")
    );
    for text in [
        "<h1 id=\"name\">holiday</h1>",
        "2 files, 3 B",
        "two &amp; 3.txt",
        "ask Ada &lt;ada@example.org&gt;",
        &format!("href=\"/s/{LINK}/v/two%20%26%203.txt\""),
        &format!("href=\"/s/{LINK}/f/two%20%26%203.txt\" download"),
        &format!("href=\"/s/{LINK}/holiday.zip\" download"),
        "magnet:?xt=urn:btih:00&amp;dn=&quot;x&quot;",
        &format!("shoal get http://{}/s/{LINK}", gateway.addr),
        &format!("/s/{LINK}/holiday.torrent"),
    ] {
        assert!(page.text().contains(text), "{text}");
    }
    let json = gateway
        .ask(&format!(
            "GET /s/{LINK}/ HTTP/1.1\r\nAccept: application/json"
        ))
        .await;
    let json: serde_json::Value = serde_json::from_slice(&json.body).unwrap();
    assert_eq!(json["name"], "holiday");
    assert_eq!(json["state"], "ready");
    assert_eq!(json["entries"][1]["path"], "two & 3.txt");
    assert_eq!(json["entries"][1]["bytes"], 2);
    assert_eq!(
        json["entries"][1]["url"],
        format!("/s/{LINK}/f/two%20%26%203.txt")
    );
}

#[tokio::test]
async fn a_long_list_has_pages() {
    let memory = two();
    *memory.rows.lock().unwrap() = (0..2500).map(|n| row(&format!("n{n:04}"), n)).collect();
    let gateway = Gateway::start(memory).await;
    let first = gateway.get("").await;
    assert_eq!(first.text().matches("class=\"name\"").count(), 100);
    assert!(first.text().contains("?page=2\" rel=\"next\""));
    assert!(first.body.len() < 80_000, "{}", first.body.len());
    let last = gateway.get("?page=25").await;
    assert_eq!(last.text().matches("class=\"name\"").count(), 100);
    assert!(last.text().contains("n2499") && !last.text().contains("Next"));
    for wrong in [
        "?page=0",
        "?page=26",
        "?page=x",
        "?page=-1",
        "?page=99999999999999999999",
    ] {
        assert_eq!(gateway.get(wrong).await.status, 404, "{wrong}");
    }
}

#[tokio::test]
async fn folders_and_symlinks_are_shown_and_not_given() {
    let memory = two();
    let at = |path: &str, kind| Row {
        path: RelPath::new(path).unwrap(),
        kind,
        mtime_ns: 0,
        mode: 0,
    };
    let link = RowKind::Symlink {
        target: "<b>".into(),
    };
    *memory.rows.lock().unwrap() = [at("dir", RowKind::Folder), at("link", link)].into();
    let page = Gateway::start(memory).await.get("").await;
    assert!(page.text().contains(">dir/</span>"));
    assert!(page.text().contains("link → &lt;b&gt;"));
    assert!(!page.text().contains("/f/"));
}

#[tokio::test]
async fn while_counting_files_are_there_and_the_rest_is_not() {
    let memory = two();
    memory.about.lock().unwrap().stage = Stage::Hashing;
    memory.about.lock().unwrap().magnet = None;
    let gateway = Gateway::start(memory).await;
    let page = gateway.get("").await;
    assert!(page.text().contains("data-state=\"hashing\""));
    assert!(
        page.text()
            .contains("<noscript><meta http-equiv=\"refresh\"")
    );
    let state: serde_json::Value =
        serde_json::from_slice(&gateway.get("/state").await.body).unwrap();
    assert_eq!(
        (&state["state"], &state["files"]),
        (&"hashing".into(), &2.into())
    );
    assert_eq!(gateway.get("/f/a/one.txt").await.text(), "1");
    for (rest, status) in [
        ("/record", 202),
        ("/manifest", 202),
        ("/holiday.torrent", 503),
    ] {
        let answer = gateway.get(rest).await;
        assert_eq!(answer.status, status, "{rest}");
        assert_eq!(answer.header("retry-after"), Some("1"), "{rest}");
    }
    assert_eq!(gateway.get("/capability").await.text(), "capability");
    let why = "a <b>".to_owned();
    gateway.memory.about.lock().unwrap().stage = Stage::Failed { why };
    assert_eq!(gateway.get("/record").await.status, 503);
    assert!(gateway.get("").await.text().contains("a &lt;b&gt;"));
}

#[tokio::test]
async fn formats_are_given_without_a_slot() {
    let gateway = Gateway::start(two()).await;
    for (rest, body, kind) in [
        ("/capability", "capability", "application/octet-stream"),
        ("/record", "record", "application/octet-stream"),
        ("/manifest", "manifest", "application/octet-stream"),
        ("/holiday.torrent", "d4:infoe", "application/x-bittorrent"),
    ] {
        let answer = gateway.get(rest).await;
        assert_eq!((answer.status, answer.text()), (200, body));
        assert_eq!(answer.header("content-type"), Some(kind));
        assert_eq!(answer.header("cache-control"), Some("private, no-store"));
    }
    assert_eq!(gateway.memory.admitted.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn refusals_say_why() {
    let gateway = Gateway::start(two()).await;
    for (refusal, status, word) in [
        (Refusal::Unknown, 404, "unknown"),
        (Refusal::Stopped, 410, "stopped"),
        (Refusal::Expired, 410, "expired"),
        (Refusal::UsedUp, 410, "used-up"),
        (Refusal::Resting, 503, "resting"),
        (Refusal::Password, 403, "password"),
    ] {
        *gateway.memory.refusal.lock().unwrap() = Some(refusal);
        for rest in [
            "",
            "/f/two%20%26%203.txt",
            "/w/holiday/a/one.txt",
            "/record",
            "/x.torrent",
            "/manifest",
        ] {
            let answer = gateway.get(rest).await;
            assert_eq!(answer.status, status, "{rest}");
            assert_eq!(answer.header("shoal-refusal"), Some(word));
            assert_eq!(answer.text(), format!("{refusal}\n"));
        }
        let json = gateway
            .ask(&format!(
                "GET /s/{LINK} HTTP/1.1\r\nAccept: application/json"
            ))
            .await;
        let json: serde_json::Value = serde_json::from_slice(&json.body).unwrap();
        assert_eq!(json["error"], word);
        let html = gateway
            .ask(&format!("GET /s/{LINK} HTTP/1.1\r\nAccept: text/html"))
            .await;
        assert!(html.text().contains("<h1 id="), "{}", html.text());
        let asked = html.text().contains("sk Ada &lt;ada@example.org&gt;");
        assert_eq!(asked, refusal != Refusal::Unknown, "{}", html.text());
    }
    *gateway.memory.refusal.lock().unwrap() = None;
    gateway.memory.full.store(true, Ordering::SeqCst);
    assert_eq!(
        gateway.get("/f/a/one.txt").await.header("shoal-refusal"),
        Some("used-up")
    );
    assert_eq!(gateway.get("").await.status, 200);
}

#[tokio::test]
async fn pages_of_trouble_lead_on() {
    let gateway = Gateway::start(two()).await;
    let html = async |rest: &str, host: &str| {
        let mut stream = gateway.connect().await;
        let head = format!(
            "GET /s/{LINK}{rest} HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\nConnection: close\r\n\r\n"
        );
        tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes())
            .await
            .unwrap();
        let mut answer = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer)
            .await
            .unwrap();
        String::from_utf8(answer).unwrap()
    };
    let back = format!("href=\"/s/{LINK}\"");
    for rest in ["/d/nothing", "/f/nothing", "/v/nothing", "?page=9"] {
        let lost = html(rest, "127.0.0.1").await;
        assert!(lost.contains("There is nothing here"), "{lost}");
        assert!(lost.contains(&back), "{rest}: {lost}");
    }
    *gateway.memory.refusal.lock().unwrap() = Some(Refusal::Resting);
    let resting = html("", "127.0.0.1").await;
    // With a script and without: it says that it asks again.
    assert!(resting.contains("<meta http-equiv=\"refresh\"") && !resting.contains("<noscript"));
    *gateway.memory.refusal.lock().unwrap() = Some(Refusal::Password);
    for (host, readable) in [
        ("127.0.0.1:7462", false),
        ("[::1]:7462", false),
        ("localhost", false),
        ("192.0.2.7:7462", true),
        ("[2001:db8::1]:7462", true),
        ("ada.example", true),
    ] {
        let form = html("", host).await;
        assert!(form.contains("for=\"password\">Password<"), "{form}");
        assert_eq!(form.contains("not encrypted"), readable, "{host}: {form}");
        assert!(!form.contains(&back), "{form}");
    }
}

#[tokio::test]
async fn unknown_links_and_addresses_are_told_apart_by_nothing() {
    let gateway = Gateway::start(two()).await;
    let unknown = gateway
        .ask("GET /s/aaaaaaaaaaaaaaaaaaaaaaaaaa HTTP/1.1")
        .await;
    let broken = gateway.ask("GET /s/nope HTTP/1.1").await;
    assert_eq!((unknown.status, broken.status), (404, 404));
    assert_eq!(unknown.body, broken.body);
    assert_eq!(gateway.ask("GET / HTTP/1.1").await.status, 404);
    assert_eq!(gateway.ask("GET /s/ HTTP/1.1").await.status, 404);
}

#[tokio::test]
async fn blobs_are_asked_for_by_post() {
    let gateway = Gateway::start(two()).await;
    let post = |length: usize, kind: &str| {
        format!("POST /s/{LINK}/blobs HTTP/1.1\r\nContent-Type: {kind}\r\nContent-Length: {length}")
    };
    let octets = "application/octet-stream";
    let answer = gateway.ask_with(&post(3, octets), b"abc").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some(octets));
    assert_eq!(answer.text(), "A\r\nanswer to \r\n3\r\nabc\r\n0\r\n\r\n");
    assert_eq!(gateway.memory.admitted.load(Ordering::SeqCst), 1);
    // An answer that breaks lacks the last chunk.
    let broken = gateway.ask_with(&post(5, octets), b"break").await;
    assert_eq!(broken.text(), "4\r\npart\r\n");
    assert_eq!(
        gateway
            .ask_with(&post(3, "text/plain"), b"abc")
            .await
            .status,
        415
    );
    let large = vec![0; (16 << 20) + 1];
    assert_eq!(
        gateway
            .ask_with(&post(large.len(), octets), &large)
            .await
            .status,
        413
    );
    gateway.memory.full.store(true, Ordering::SeqCst);
    assert_eq!(gateway.ask_with(&post(3, octets), b"abc").await.status, 410);
}

#[tokio::test]
async fn a_stop_ends_an_answer_that_waits() {
    let gateway = Gateway::start(two()).await;
    *gateway.memory.seat.ended.lock().unwrap() = None;
    let memory = gateway.memory.clone();
    let head = format!(
        "POST /s/{LINK}/blobs HTTP/1.1\r\nContent-Type: application/octet-stream\r\nContent-Length: 4"
    );
    let stop = async {
        while memory.admitted.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        *memory.seat.ended.lock().unwrap() = Some(Refusal::Stopped);
    };
    let (answer, ()) = tokio::join!(gateway.ask_with(&head, b"wait"), stop);
    assert!(!answer.text().contains("0\r\n\r\n"));
}

#[tokio::test]
async fn takers_and_methods() {
    let gateway = Gateway::start(two()).await;
    let done = gateway
        .ask(&format!(
            "POST /s/{LINK}/done HTTP/1.1\r\nShoal-Taker: {}\r\nUser-Agent: a\tb{}\r\nContent-Length: 0",
            "AB".repeat(16),
            "x".repeat(300)
        ))
        .await;
    assert_eq!(
        (done.status, gateway.memory.done.load(Ordering::SeqCst)),
        (204, 1)
    );
    let visitor = gateway.memory.visitors.lock().unwrap()[0].clone();
    assert_eq!(visitor.taker, Some(TakerToken([0xab; 16])));
    assert_eq!(visitor.addr.ip(), gateway.addr.ip());
    let agent = visitor.agent.unwrap();
    assert!(agent.starts_with("a?bxx") && agent.len() == 200, "{agent}");
    let wrong = gateway
        .ask(&format!("GET /s/{LINK} HTTP/1.1\r\nShoal-Taker: zz"))
        .await;
    assert_eq!(wrong.status, 400);
    for (line, allowed) in [
        (
            format!("POST /s/{LINK} HTTP/1.1\r\nContent-Length: 0"),
            "GET, HEAD",
        ),
        (
            format!("DELETE /s/{LINK}/f/a/one.txt HTTP/1.1"),
            "GET, HEAD",
        ),
        (format!("GET /s/{LINK}/blobs HTTP/1.1"), "POST"),
        (format!("GET /s/{LINK}/done HTTP/1.1"), "POST"),
    ] {
        let answer = gateway.ask(&line).await;
        assert_eq!(
            (answer.status, answer.header("allow")),
            (405, Some(allowed)),
            "{line}"
        );
    }
    assert_eq!(gateway.memory.done.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_host_header_cannot_write_the_page() {
    let gateway = Gateway::start(two()).await;
    let mut stream = gateway.connect().await;
    let head = format!("GET /s/{LINK} HTTP/1.1\r\nHost: a\"><script>\r\nConnection: close\r\n\r\n");
    tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes())
        .await
        .unwrap();
    let mut answer = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer)
        .await
        .unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.contains(&format!("shoal get /s/{LINK}")));
    assert_eq!(answer.matches("<script").count(), 1, "our own alone");
}

#[tokio::test]
async fn what_a_page_loads_is_ours_and_kept() {
    let gateway = Gateway::start(two()).await;
    let page = gateway.get("").await;
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"));
    let assets: Vec<_> = page
        .text()
        .split('"')
        .filter(|part| part.starts_with("/assets/"))
        .collect();
    assert_eq!(assets.len(), 3);
    let mut bytes = page.body.len();
    for asset in assets {
        let answer = gateway.ask(&format!("GET {asset} HTTP/1.1")).await;
        assert_eq!(answer.status, 200, "{asset}");
        assert!(
            answer
                .header("cache-control")
                .unwrap()
                .contains("immutable")
        );
        bytes += answer.body.len();
    }
    assert!(bytes < 100_000, "{bytes}");
    assert!(!page.text().contains("style=") && !page.text().contains("onclick"));
    assert_eq!(
        gateway.ask("GET /assets/page.css HTTP/1.1").await.status,
        404
    );
    assert_eq!(gateway.ask("GET /assets/ HTTP/1.1").await.status, 404);
}

#[tokio::test]
async fn texts_are_shown_and_nothing_in_them_runs() {
    let memory = Memory::folder([
        (
            "notes.md",
            File::of(b"# Hi\n\nx <script>y</script> [a](javascript:b)"),
        ),
        ("page.html", File::of(b"<script>alert(1)</script>")),
        ("film.webm", File::of(b"x")),
        ("data.txt", File::of(b"a\0b")),
        ("thing.bin", File::of(b"x")),
        ("paper.pdf", File::of(b"%PDF")),
        ("nothing.txt", File::of(b"")),
    ]);
    let gateway = Gateway::start(memory).await;
    for (path, shows) in [
        ("notes.md", "<h2>Hi</h2>"),
        ("page.html", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("film.webm", "<video class=\"show\""),
        ("data.txt", "no text that could be shown"),
        ("thing.bin", "no way to show"),
        ("paper.pdf", "<iframe class=\"show\""),
        ("nothing.txt", "There is nothing in this file"),
    ] {
        let page = gateway.get(&format!("/v/{path}")).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(page.text().contains(shows), "{path}: {}", page.text());
        assert_eq!(page.text().matches("<script").count(), 1, "{path}");
        assert!(!page.text().contains("href=\"javascript"), "{path}");
    }
    assert_eq!(
        gateway.memory.admitted.load(Ordering::SeqCst),
        4,
        "texts alone are content"
    );
    assert_eq!(gateway.get("/v/nowhere").await.status, 404);
    let page = gateway.get("/v/film.webm").await;
    assert!(
        page.text()
            .contains(&format!("href=\"/s/{LINK}/v/data.txt\" rel=\"prev\""))
    );
    assert!(
        page.text()
            .contains(&format!("href=\"/s/{LINK}/v/notes.md\" rel=\"next\""))
    );
    let pdf = gateway.get("/f/paper.pdf?show").await;
    assert_eq!(pdf.header("content-type"), Some("application/pdf"));
    let kept = gateway.get("/f/paper.pdf").await;
    assert!(
        kept.header("content-disposition")
            .unwrap()
            .starts_with("attachment")
    );
    let html = gateway.get("/f/page.html?show").await;
    assert_eq!(
        html.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
}

#[tokio::test]
async fn folders_have_pages_of_their_own() {
    let memory = two();
    *memory.rows.lock().unwrap() = (0..250).map(|n| row(&format!("a b/n{n:03}"), 1)).collect();
    let gateway = Gateway::start(memory).await;
    let root = gateway.get("").await;
    assert!(root.text().contains(&format!("href=\"/s/{LINK}/d/a%20b\"")));
    assert!(root.text().contains("250 files, 250 B"));
    let folder = gateway.get("/d/a%20b?page=3").await;
    assert_eq!(folder.text().matches("class=\"name\"").count(), 50);
    assert!(
        folder
            .text()
            .contains(&format!("<a href=\"/s/{LINK}\">holiday</a>"))
    );
    assert_eq!(gateway.get("/d/a%20b?page=4").await.status, 404);
    assert_eq!(gateway.get("/d/nothing").await.status, 404);
}
