//! Who is told what happens to a link: a web address, the desktop, and whoever follows `shoal events`.

#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;
use shoal_tests::{Deadline, Home, Random, Running, Tree, http, needs};

/// One call of a webhook.
struct Call {
    head: String,
    body: String,
}

impl Call {
    fn header(&self, name: &str) -> &str {
        let line = self
            .head
            .lines()
            .find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")));
        line.unwrap().split_once(':').unwrap().1.trim()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Answers calls with one status after the other, the last one from then on.
fn receiver(listener: TcpListener, statuses: &'static [&'static str]) -> Receiver<Call> {
    let (sender, calls) = channel();
    std::thread::spawn(move || {
        for number in 0.. {
            let Ok((mut stream, _)) = listener.accept() else {
                return;
            };
            stream
                .set_read_timeout(Some(Duration::from_secs(10)))
                .unwrap();
            let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
            while !bytes.ends_with(b"}") {
                match stream.read(&mut buffer) {
                    Ok(0) | Err(_) => return,
                    Ok(len) => bytes.extend_from_slice(&buffer[..len]),
                }
            }
            let status = statuses[statuses.len().min(number + 1) - 1];
            let answer =
                format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).unwrap();
            let text = String::from_utf8(bytes).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            let call = Call {
                head: head.to_owned(),
                body: body.to_owned(),
            };
            if sender.send(call).is_err() {
                return;
            }
        }
    });
    calls
}

/// HMAC-SHA256 by somebody else's program.
fn signature(secret: &str, signed: &str) -> String {
    let script = "import sys,hmac,hashlib,base64;k=base64.b64decode(sys.argv[1].removeprefix('whsec_'));\
                  print(base64.b64encode(hmac.new(k,sys.argv[2].encode(),hashlib.sha256).digest()).decode())";
    let output = Command::new(needs("python3").unwrap())
        .args(["-c", script, secret, signed])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn webhooks_are_signed_and_tried_again() {
    let mut random = Random::from_env("webhooks_are_signed_and_tried_again");
    let home = Home::new().unwrap();
    let tree = Tree::mixed(home.beside(), "told & <b>", &mut random).unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let hook = format!("http://{}/hook", listener.local_addr().unwrap());
    let calls = receiver(listener, &["500 Internal Server Error", "204 No Content"]);
    let mut share = home.share(tree.path(), &["--notify", &hook]).unwrap();
    share.ready(Deadline::secs(20)).unwrap();
    http::with_headers(&share.url, &[("Accept", "text/html")]).unwrap();
    let first = calls.recv_timeout(Duration::from_secs(20)).unwrap();
    let again = calls.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!(
        (first.header("webhook-id"), &first.body),
        (again.header("webhook-id"), &again.body)
    );
    let body = again.json();
    assert_eq!(
        (&body["type"], &body["id"], &body["name"]),
        (
            &"opened".into(),
            &share.id.as_str().into(),
            &"told & <b>".into()
        )
    );
    assert_eq!(body["who"], "127.0.0.1");

    let secret = home
        .run(&["config", "webhook-secret"])
        .unwrap()
        .success()
        .unwrap();
    for call in [&first, &again] {
        let signed = format!(
            "{}.{}.{}",
            call.header("webhook-id"),
            call.header("webhook-timestamp"),
            call.body
        );
        let expected = format!("v1,{}", signature(secret.stdout.trim(), &signed));
        assert_eq!(call.header("webhook-signature"), expected);
    }
    home.get(&share.url, &home.beside().join("got"), &["--via", "http"])
        .unwrap()
        .success()
        .unwrap();
    let mut kinds = Vec::new();
    while !kinds.contains(&"finished".to_owned()) {
        let call = calls.recv_timeout(Duration::from_secs(20)).unwrap();
        kinds.push(call.json()["type"].as_str().unwrap().to_owned());
    }
    home.run(&["stop", &share.id]).unwrap().success().unwrap();
    let ended = calls.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!(ended.json()["type"], "ended");
}

/// What nobody took is sent by the node's next run.
#[test]
fn a_notice_outlives_a_restart() {
    let mut random = Random::from_env("a_notice_outlives_a_restart");
    let home = Home::new().unwrap();
    let tree = Tree::mixed(home.beside(), "later", &mut random).unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let calls = receiver(listener, &["503 Service Unavailable"]);
    let hook = format!("http://{address}/");
    let mut share = home.share(tree.path(), &["--notify", &hook]).unwrap();
    share.ready(Deadline::secs(20)).unwrap();
    http::with_headers(&share.url, &[("Accept", "text/html")]).unwrap();
    let refused = calls.recv_timeout(Duration::from_secs(20)).unwrap();
    share.running.interrupt().unwrap();
    share.running.outcome(Deadline::secs(10)).unwrap();
    let _node = home.up().unwrap();
    let again = loop {
        let call = calls.recv_timeout(Duration::from_secs(20)).unwrap();
        if call.header("webhook-id") == refused.header("webhook-id") {
            break call;
        }
    };
    assert_eq!(again.body, refused.body);
}

#[test]
fn events_can_be_followed() {
    let mut random = Random::from_env("events_can_be_followed");
    let home = Home::new().unwrap();
    let tree = Tree::mixed(home.beside(), "followed", &mut random).unwrap();
    let node = home.up().unwrap();
    let mut all = home.start(&["events", "--json"]).unwrap();
    let mut people = home.start(&["events"]).unwrap();
    let share = home.start(&["share", "--json", tree.path().to_str().unwrap()]);
    let mut share = share.unwrap();
    let ready = share.event("ready", Deadline::secs(20)).unwrap();
    let (id, url) = (
        ready["id"].as_str().unwrap(),
        ready["url"].as_str().unwrap(),
    );
    // Both followers listen by now: they have told of the link.
    let is_it = |event: &Value| event["id"] == id;
    all.event_where("ready", Deadline::secs(20), is_it).unwrap();
    home.get(url, &home.beside().join("got"), &["--via", "http"])
        .unwrap()
        .success()
        .unwrap();
    http::with_headers(url, &[("Accept", "text/html")]).unwrap();
    for kind in ["started", "finished"] {
        let event = all.event_where(kind, Deadline::secs(20), is_it).unwrap();
        assert_eq!(
            (&event["who"], &event["via"]),
            (&"127.0.0.1".into(), &"http".into()),
            "{event}"
        );
    }
    home.run(&["stop", id]).unwrap().success().unwrap();
    all.event_where("ended", Deadline::secs(20), is_it).unwrap();
    drop(node);
    home.run(&["--no-start", "down"]).unwrap();
    let all = all.outcome(Deadline::secs(20)).unwrap();
    assert_eq!(all.code, Some(0), "{all:#?}");
    let people = people.outcome(Deadline::secs(20)).unwrap();
    for part in [
        "followed (",
        "127.0.0.1 begins to take it (http)",
        "has everything",
        "the link has ended",
    ] {
        assert!(people.stdout.contains(part), "{part}: {people:#?}");
    }
    home.run(&["--no-start", "events"]).unwrap().refused(10);
}

/// On a bus of its own; nobody has the name there, and the call is seen all the same.
#[test]
fn the_desktop_is_told() {
    let (Ok(daemon), Ok(monitor)) = (needs("dbus-daemon"), needs("dbus-monitor")) else {
        println!("NOT RUN: the_desktop_is_told: dbus-daemon and dbus-monitor are not installed");
        return;
    };
    let mut random = Random::from_env("the_desktop_is_told");
    let home = Home::new().unwrap();
    let tree = Tree::mixed(home.beside(), "on <the> desk", &mut random).unwrap();
    let mut daemon = Command::new(daemon);
    let socket = home.beside().join("bus");
    daemon.args(["--session", "--nofork", "--nopidfile", "--print-address"]);
    daemon.arg(format!("--address=unix:path={}", socket.display()));
    let mut daemon = Running::start(daemon).unwrap();
    let address = daemon.line(Deadline::secs(10)).unwrap().unwrap();
    let mut monitor = Command::new(monitor);
    monitor.args([
        "--address",
        &address,
        "interface='org.freedesktop.Notifications'",
    ]);
    let mut monitor = Running::start(monitor).unwrap();
    // It says when it listens: with the signals that its own change brings.
    monitor.line(Deadline::secs(10)).unwrap();

    let mut share = home.command(&["share", "--json", tree.path().to_str().unwrap()]);
    share.env("DBUS_SESSION_BUS_ADDRESS", &address);
    let mut share = Running::start(share).unwrap();
    let ready = share.event("ready", Deadline::secs(20)).unwrap();
    home.get(
        ready["url"].as_str().unwrap(),
        &home.beside().join("got"),
        &["--via", "http"],
    )
    .unwrap()
    .success()
    .unwrap();
    let mut seen = String::new();
    while !seen.contains("has everything") {
        let line = monitor
            .line(Deadline::secs(20))
            .unwrap()
            .expect("the monitor goes on");
        seen.push_str(&line);
        seen.push('\n');
    }
    assert!(
        seen.contains("member=Notify") && seen.contains("on <the> desk"),
        "{seen}"
    );
}
