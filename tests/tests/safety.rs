//! What strangers send, and what strangers' names look like: none of it harms who shares or who opens a link.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use shoal_tests::{Deadline, Home, Random, Share, Tree, http, needs};

/// Names that were made to break pages, headers, paths and terminals. None has a slash.
const HOSTILE: &[&str] = &[
    "<img src=x onerror=alert(1)>.txt",
    "\"><script>alert(1)<script>.txt",
    "' onmouseover='alert(1).txt",
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)<script>",
    "<title><svg onload=alert(1)>.txt",
    "&lt;script&gt;.txt",
    "{{7*7}}${7*7}<%= 7 %>.txt",
    "a\r\nSet-Cookie: stolen=1\r\n\r\n<b>.txt",
    "a\nX-Injected: 1.txt",
    "\";filename=\"evil.exe",
    "..%2f..%2f..%2fetc%2fpasswd",
    "..%252f..%252fetc%252fpasswd",
    "..\\..\\windows\\system.ini",
    "%00.txt",
    "...",
    "..;",
    "?page=2&x=#fragment",
    "\u{202e}fdp.exe",
    "\u{1b}]0;title\u{7}.txt",
    "\u{feff}\u{200b}invisible.txt",
    "con.txt",
    " .hidden",
    "-rf",
];

/// What a browser would run if it were let.
const ACTIVE: &[(&str, &str)] = &[
    ("page.html", "<script>alert(document.domain)</script>"),
    (
        "page.xhtml",
        "<html xmlns='http://www.w3.org/1999/xhtml'><script>alert(1)</script></html>",
    ),
    (
        "image.svg",
        "<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    ),
    ("feed.xml", "<?xml-stylesheet href='x.xsl'?><a/>"),
    ("code.js", "alert(1)"),
    ("style.css", "body{background:url(http://example.org/)}"),
];

fn shared(test: &str, make: impl FnOnce(&Tree, &mut Random)) -> (Home, Share, Tree) {
    let mut random = Random::from_env(test);
    let home = Home::new().unwrap();
    let tree = Tree::folder(home.beside(), "tree").unwrap();
    make(&tree, &mut random);
    let mut share = home.share(tree.path(), &[]).unwrap();
    share.ready(Deadline::secs(30)).unwrap();
    (home, share, tree)
}

/// Sends bytes as they are; all that comes back until the connection ends or nothing comes for a while.
fn raw(address: &str, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    // The node may close before it has read everything.
    let _ = stream.write_all(request);
    let mut heard = Vec::new();
    let _ = stream.read_to_end(&mut heard);
    String::from_utf8_lossy(&heard).into_owned()
}

fn ask_raw(address: &str, target: &str, more: &str) -> String {
    raw(
        address,
        format!("GET {target} HTTP/1.1\r\nHost: {address}\r\n{more}Connection: close\r\n\r\n")
            .as_bytes(),
    )
}

fn status_of(answer: &str) -> u16 {
    let code = answer.split(' ').nth(1).unwrap_or_default();
    code.parse().unwrap_or(0)
}

fn path_of(url: &str) -> &str {
    &url[url.find("/s/").unwrap()..]
}

#[test]
fn hostile_names_stay_names() {
    let (_home, share, tree) = shared("hostile_names_stay_names", |tree, _| {
        for name in HOSTILE.iter().filter(|name| !name.contains('/')) {
            fs::write(tree.path().join(name), format!("content of {name}")).unwrap();
        }
    });
    let page = http::with_headers(&share.url, &[("Accept", "text/html")]).unwrap();
    let policy = page.header("content-security-policy").unwrap().to_owned();
    assert!(
        policy.contains("default-src 'none'") && !policy.contains("script-src 'unsafe"),
        "{policy}"
    );
    let html = page.text().unwrap();
    for raw in [
        "<img src=x",
        "<script>alert",
        "<svg onload",
        "' onmouseover='",
        "\u{1b}",
        "\u{202e}",
        "\u{7}",
    ] {
        assert!(!html.contains(raw), "the page has {raw:?} in it");
    }
    for scheme in [
        "href=\"javascript:",
        "src=\"javascript:",
        "href=\"data:",
        "src=\"data:text",
    ] {
        assert!(!html.contains(scheme), "the page has {scheme:?} in it");
    }
    let list = http::with_headers(&share.url, &[("Accept", "application/json")]).unwrap();
    let list: Value = serde_json::from_str(&list.text().unwrap()).unwrap();
    let entries = list["entries"].as_array().unwrap();
    assert!(entries.len() > 15, "{list}");
    let origin = share.url.strip_suffix(path_of(&share.url)).unwrap();
    for entry in entries {
        let name = entry["path"].as_str().unwrap();
        let url = format!("{origin}{}", entry["url"].as_str().unwrap());
        assert!(url.is_ascii(), "{url}");
        let file = http::get(&url).unwrap();
        assert_eq!(file.status, 200, "{name:?}");
        for injected in ["set-cookie", "x-injected"] {
            assert!(file.header(injected).is_none(), "{name:?} wrote a header");
        }
        let disposition = file.header("content-disposition").unwrap().to_owned();
        assert!(
            disposition
                .bytes()
                .all(|byte| (b' '..=b'~').contains(&byte)),
            "{disposition:?}"
        );
        assert_eq!(disposition.matches('"').count(), 2, "{disposition:?}");
        let on_disk = fs::read(tree.path().join(name)).unwrap();
        assert_eq!(file.bytes().unwrap(), on_disk, "{name:?}");
    }
}

#[test]
fn what_could_run_in_a_browser_does_not() {
    let (_home, share, _tree) = shared("what_could_run_in_a_browser_does_not", |tree, _| {
        for (name, content) in ACTIVE {
            fs::write(tree.path().join(name), content).unwrap();
        }
    });
    for (name, _) in ACTIVE {
        for query in ["", "?view=1", "?raw", "?inline=1"] {
            let file = http::get(&format!("{}/f/{name}{query}", share.url)).unwrap();
            let header = |name: &str| file.header(name).unwrap_or_default().to_owned();
            let policy = header("content-security-policy");
            assert!(
                policy.contains("sandbox") && !policy.contains("allow-scripts"),
                "{name}: {policy}"
            );
            assert!(policy.contains("default-src 'none'"), "{name}: {policy}");
            assert_eq!(header("x-content-type-options"), "nosniff", "{name}");
            let inert = header("content-type").starts_with("text/plain");
            let saved = header("content-disposition").starts_with("attachment");
            assert!(
                inert || saved,
                "{name}{query}: {} {}",
                header("content-type"),
                header("content-disposition")
            );
        }
    }
}

#[test]
fn every_answer_carries_its_guards() {
    let (_home, share, _tree) = shared("every_answer_carries_its_guards", |tree, random| {
        tree.file("a.txt", 100, random).unwrap();
    });
    let other = share.url.replace("/s/", "/s/aaaaaaaa");
    for url in [
        share.url.clone(),
        format!("{}/f/a.txt", share.url),
        format!("{}/f/none", share.url),
        format!("{}/tree.torrent", share.url),
        format!("{}/record", share.url),
        format!("{}/nothing", share.url),
        other,
        share.url.replace(path_of(&share.url), "/"),
    ] {
        for accept in ["text/html", "*/*"] {
            let answer = http::with_headers(&url, &[("Accept", accept)]).unwrap();
            for (name, value) in [
                ("x-content-type-options", "nosniff"),
                ("referrer-policy", "no-referrer"),
                ("cross-origin-resource-policy", "same-origin"),
                ("cross-origin-opener-policy", "same-origin"),
                ("x-robots-tag", "noindex, nofollow"),
            ] {
                assert_eq!(answer.header(name), Some(value), "{url} {accept}: {name}");
            }
            let policy = answer.header("content-security-policy").unwrap();
            assert!(policy.contains("frame-ancestors"), "{url}: {policy}");
            assert!(
                answer.header("access-control-allow-origin").is_none(),
                "{url}"
            );
            assert!(answer.header("server").is_none(), "{url}");
        }
    }
}

#[test]
fn nothing_outside_the_share_is_read_or_listed() {
    let (home, share, _tree) = shared(
        "nothing_outside_the_share_is_read_or_listed",
        |tree, random| {
            tree.file("in/a.txt", 100, random).unwrap();
            fs::write(tree.path().with_file_name("secret.txt"), "SECRET BESIDE").unwrap();
            std::os::unix::fs::symlink("../secret.txt", tree.path().join("link")).unwrap();
        },
    );
    let address = share.address().unwrap();
    let path = path_of(&share.url).to_owned();
    let ups = [
        "..",
        "%2e%2e",
        "%2E.",
        ".%2e",
        "%252e%252e",
        "..%00",
        "%c0%ae%c0%ae",
        "%ff",
        "..\\",
        "..%5c",
        "%2e%2e%5c",
    ];
    let separators = ["/", "%2f", "%252f", "\\", "%5c", "//", "/./"];
    for base in ["f", "w", "w/tree", "in", "f/in", "p", "zip"] {
        for up in ups {
            for separator in separators {
                for end in ["secret.txt", "etc/passwd", "home/device.key"] {
                    let target =
                        format!("{path}/{base}/{up}{separator}{up}{separator}{up}{separator}{end}");
                    let answer = ask_raw(&address, &target, "");
                    let refused = matches!(status_of(&answer), 0 | 300..=499);
                    assert!(refused, "{target}: {answer:.200}");
                    assert!(
                        !answer.contains("SECRET BESIDE") && !answer.contains("root:"),
                        "{target}"
                    );
                }
            }
        }
    }
    for target in [
        format!("{path}/f//etc/passwd"),
        format!("{path}/f/link"),
        format!("{path}/f/in/../../secret.txt"),
        "http://127.0.0.1/etc/passwd".to_owned(),
        "//etc/passwd".to_owned(),
        "*".to_owned(),
        "/../../etc/passwd".to_owned(),
    ] {
        let answer = ask_raw(&address, &target, "");
        assert!(
            !answer.contains("SECRET BESIDE") && !answer.contains("root:"),
            "{target}"
        );
        assert!(
            matches!(status_of(&answer), 0 | 400..=499),
            "{target}: {answer:.100}"
        );
    }
    // Who has no link learns of none, and finds no local API either.
    let token = fs::read_to_string(home.path().join("token")).unwrap();
    let more = format!("Authorization: Bearer {}\r\n", token.trim());
    for target in [
        "/",
        "/s",
        "/s/",
        "/index.html",
        "/v1/status",
        "/v1/shares",
        "/announce",
        "/scrape",
        "/metrics",
        "/.git/config",
    ] {
        let answer = ask_raw(&address, target, &more);
        assert!(
            !answer.contains(&share.id) && !answer.contains("tree"),
            "{target}: {answer}"
        );
    }
}

#[test]
fn ranges_cost_no_more_than_the_file() {
    const SIZE: usize = 300_000;
    let (_home, share, _tree) = shared("ranges_cost_no_more_than_the_file", |tree, random| {
        tree.file("a.bin", SIZE as u64, random).unwrap();
    });
    let url = format!("{}/f/a.bin", share.url);
    let many: Vec<String> = (0..4000).map(|n| format!("{n}-")).collect();
    let same: Vec<&str> = vec!["0-"; 4000];
    let tiny: Vec<String> = (0..4000).map(|n| format!("{}-{}", 2 * n, 2 * n)).collect();
    let huge = "9".repeat(400);
    for range in [
        format!("bytes={}", many.join(",")),
        format!("bytes={}", same.join(",")),
        format!("bytes={}", tiny.join(",")),
        format!("bytes=-{huge}"),
        format!("bytes={huge}-"),
        format!("bytes=0-{huge}"),
        "bytes=5-1".to_owned(),
        "bytes=-".to_owned(),
        "bytes=--1".to_owned(),
        "bytes=0x1-2".to_owned(),
        "bytes=18446744073709551615-18446744073709551615".to_owned(),
        "items=0-1".to_owned(),
        ",".repeat(1000),
    ] {
        let answer = http::with_headers(&url, &[("Range", &range)]).unwrap();
        let status = answer.status;
        assert!(
            matches!(status, 200 | 206 | 400 | 416),
            "{range:.40}: {status}"
        );
        let kind = answer.header("content-type").unwrap_or_default().to_owned();
        assert!(!kind.contains("multipart"), "{range:.40}");
        assert!(answer.bytes().unwrap().len() <= SIZE, "{range:.40}");
    }
}

#[test]
fn requests_have_limits() {
    let (home, share, _tree) = shared("requests_have_limits", |tree, random| {
        tree.file("a.txt", 100, random).unwrap();
    });
    let address = share.address().unwrap();
    let path = path_of(&share.url);
    let long = ask_raw(&address, &format!("/{}", "a".repeat(200_000)), "");
    assert!(matches!(status_of(&long), 0 | 400..=499), "{long:.100}");
    let header = format!("X-Long: {}\r\n", "a".repeat(200_000));
    assert!(matches!(
        status_of(&ask_raw(&address, path, &header)),
        0 | 400..=499
    ));
    let headers: String = (0..1000).map(|n| format!("X-{n}: 1\r\n")).collect();
    assert!(matches!(
        status_of(&ask_raw(&address, path, &headers)),
        0 | 400..=499
    ));
    for (target, kind, length) in [
        ("blobs", "application/octet-stream", 64 << 20),
        ("unlock", "application/x-www-form-urlencoded", 1 << 20),
        ("unlock", "application/octet-stream", 1 << 20),
    ] {
        let head = format!(
            "POST {path}/{target} HTTP/1.1\r\nHost: {address}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        let mut request = head.into_bytes();
        request.resize(request.len() + length.min(4 << 20), b'a');
        let answer = raw(&address, &request);
        assert!(
            matches!(status_of(&answer), 0 | 400..=499),
            "{target}: {answer:.100}"
        );
    }
    // Two lengths, or a length and chunks, are how requests are smuggled past proxies.
    for head in [
        "Content-Length: 1\r\nContent-Length: 2\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Content-Length: -1\r\n",
    ] {
        let request = format!(
            "POST {path}/done HTTP/1.1\r\nHost: {address}\r\n{head}\r\n0\r\n\r\nGET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        );
        let answer = raw(&address, request.as_bytes());
        assert!(
            answer.matches("HTTP/1.1 200").count() <= 1,
            "{head}: {answer:.300}"
        );
    }
    assert!(http::get(&share.url).unwrap().status == 200, "it lives on");
    home.json(&["status"]).unwrap();
}

#[test]
fn the_local_api_is_for_its_owner_alone() {
    let (home, share, _tree) = shared("the_local_api_is_for_its_owner_alone", |tree, random| {
        tree.file("a.txt", 100, random).unwrap();
    });
    let token = fs::read_to_string(home.path().join("token")).unwrap();
    let bearer = format!("Authorization: Bearer {}", token.trim());
    let ask = |headers: &[&str]| {
        let mut curl = Command::new(needs("curl").unwrap());
        curl.args([
            "-s",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "--unix-socket",
        ]);
        curl.arg(home.path().join("node.sock"));
        for header in headers {
            curl.args(["-H", header]);
        }
        let output = curl.arg("http://localhost/v1/shares").output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(ask(&[&bearer]), "200");
    assert_eq!(ask(&[]), "401");
    assert_eq!(ask(&["Authorization: Bearer 00"]), "401");
    assert_eq!(ask(&[&bearer, "Host: evil.example"]), "421");
    assert_eq!(ask(&[&bearer, "Host: localhost.evil.example"]), "421");
    assert_eq!(ask(&[&bearer, "Origin: http://evil.example"]), "403");
    assert_eq!(ask(&[&bearer, "Origin: null"]), "403");
    assert_eq!(ask(&[&bearer, "Origin: http://localhost"]), "403");
    assert_eq!(http::get(&share.url).unwrap().status, 200);
}
