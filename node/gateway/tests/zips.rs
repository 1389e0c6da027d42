//! All of a share as one archive, read by a reader that is not ours.

#![allow(clippy::unwrap_used)]

mod fixture;

use fixture::{Answer, Content, File, Gateway, LINK, MTIME_NS, Memory, pattern, row};
use shoal_gateway::port::{Row, RowKind, Stage};
use shoal_protocol::path::RelPath;
use std::process::Command;
use std::sync::atomic::Ordering;

fn tree() -> Memory {
    let memory = Memory::folder([
        ("a/one.txt", File::of(b"1")),
        ("big.bin", File::large(3_000_000)),
        ("empty", File::of(b"")),
        ("ü\\..\\<b>", File::of(b"odd")),
    ]);
    let mut rows = memory.rows.lock().unwrap().to_vec();
    for (path, kind) in [
        ("a", RowKind::Folder),
        ("a/none", RowKind::Folder),
        (
            "link",
            RowKind::Symlink {
                target: "a/one.txt".into(),
            },
        ),
    ] {
        rows.push(Row {
            path: RelPath::new(path).unwrap(),
            kind,
            mtime_ns: MTIME_NS,
            mode: 0o755,
        });
    }
    rows.sort_by(|a, b| a.path.cmp(&b.path));
    *memory.rows.lock().unwrap() = rows.into();
    memory
}

/// Python's reader checks every checksum and prints what it found.
fn read(zip: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.zip");
    std::fs::write(&path, zip).unwrap();
    let script = "import sys, zipfile\nz = zipfile.ZipFile(sys.argv[1])\nassert z.testzip() is None\n\
                  for i in z.infolist(): print(i.filename, i.file_size, oct(i.external_attr >> 16), i.date_time[:3])";
    let output = Command::new("/usr/bin/python3")
        .args(["-c", script])
        .arg(path)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout).unwrap()
}

async fn part(gateway: &Gateway, range: &str) -> Answer {
    let head = format!("GET /s/{LINK}/holiday.zip HTTP/1.1\r\nRange: {range}");
    gateway.ask(&head).await
}

#[tokio::test]
async fn an_archive_has_all_of_it_and_says_its_length_before() {
    let gateway = Gateway::start(tree()).await;
    let zip = gateway.get("/holiday.zip").await;
    assert_eq!(zip.status, 200);
    assert_eq!(zip.header("content-type"), Some("application/zip"));
    assert_eq!(
        zip.header("content-disposition"),
        Some("attachment; filename=\"holiday.zip\"; filename*=UTF-8''holiday.zip")
    );
    assert_eq!(
        zip.header("content-length"),
        Some(zip.body.len().to_string().as_str())
    );
    assert_eq!(
        read(&zip.body),
        "holiday/a/ 0 0o40755 (2023, 11, 14)\n\
         holiday/a/none/ 0 0o40755 (2023, 11, 14)\n\
         holiday/a/one.txt 1 0o100644 (2023, 11, 14)\n\
         holiday/big.bin 3000000 0o100644 (2023, 11, 14)\n\
         holiday/empty 0 0o100644 (2023, 11, 14)\n\
         holiday/link 9 0o120777 (2023, 11, 14)\n\
         holiday/ü%5C..%5C<b> 3 0o100644 (2023, 11, 14)\n"
    );
    assert_eq!(gateway.memory.admitted.load(Ordering::SeqCst), 1);
    let sent = gateway.memory.seat.sent_bytes.load(Ordering::SeqCst);
    assert_eq!(
        sent, 3_000_004,
        "the archive's own bytes are not the share's"
    );
}

#[tokio::test]
async fn it_goes_on_where_it_broke_off_if_what_came_before_is_known() {
    let gateway = Gateway::start(tree()).await;
    let early = part(&gateway, "bytes=1000000-").await;
    assert_eq!(early.status, 200, "nothing is known: all of it comes");
    let whole = gateway.get("/holiday.zip").await;
    assert!(early.body == whole.body);
    let len = whole.body.len();
    for from in [0, 1, 50, 400, 1_000_000, 2_999_999, len - 500, len - 3] {
        let rest = part(&gateway, &format!("bytes={from}-")).await;
        assert_eq!(rest.status, 206, "{from}");
        assert!(rest.body == whole.body[from..], "{from}");
    }
    let middle = part(&gateway, "bytes=700-1299999").await;
    assert!(middle.body == whole.body[700..1_300_000]);
}

#[tokio::test]
async fn a_part_that_was_read_goes_on_by_its_own() {
    let gateway = Gateway::start(tree()).await;
    let first = part(&gateway, "bytes=0-1499999").await;
    assert_eq!(first.status, 206);
    let rest = part(&gateway, "bytes=1400000-").await;
    assert_eq!(rest.status, 206);
    let mut zip = first.body[..1_400_000].to_vec();
    zip.extend_from_slice(&rest.body);
    read(&zip);
}

#[tokio::test]
async fn a_file_that_changes_breaks_the_archive() {
    let mut big = File::large(3_000_000);
    big.changes_at = Some(2_000_000);
    let gateway = Gateway::start(Memory::folder([("a", File::of(b"x")), ("b", big)])).await;
    let zip = gateway.get("/holiday.zip").await;
    assert_eq!(zip.status, 200);
    let announced: usize = zip.header("content-length").unwrap().parse().unwrap();
    assert!(zip.body.len() < 2_000_100 && announced > 3_000_000);
    // Another size than in the list is a change, too.
    let other = Memory::folder([("a", File::of(b"x"))]);
    *other.rows.lock().unwrap() = [row("a", 2)].into();
    let answer = Gateway::start(other).await.get("/holiday.zip").await;
    assert_eq!(answer.status, 409);
}

#[tokio::test]
async fn large_archives_have_the_wide_form() {
    const LARGE: u64 = 5 << 30;
    let file = File {
        content: Content::Pattern(LARGE),
        changes_at: None,
    };
    let memory = Memory::folder([("large", file), ("z", File::of(b"end"))]);
    let gateway = Gateway::start(memory).await;
    let head = gateway
        .ask(&format!("HEAD /s/{LINK}/holiday.zip HTTP/1.1"))
        .await;
    let len: u64 = head.header("content-length").unwrap().parse().unwrap();
    // Local 30 + 13 + 9 + 20 and 24 behind; 30 + 9 + 9 + 3 and 16; twice 46, names, times, 20 and 12; 98 at the end.
    assert_eq!(
        len,
        LARGE + 96 + 67 + (46 + 13 + 9 + 20) + (46 + 9 + 9 + 12) + 98
    );
    let start = part(&gateway, "bytes=0-99").await;
    assert_eq!(start.body[4..6], [45, 0], "version 4.5");
    assert_eq!(start.body[18..26], [0xff; 8]);
    assert_eq!(start.body[72], pattern(0));
}

#[tokio::test]
async fn it_waits_for_the_list() {
    let memory = tree();
    memory.about.lock().unwrap().stage = Stage::Walking;
    let gateway = Gateway::start(memory).await;
    assert_eq!(gateway.get("/holiday.zip").await.status, 503);
    gateway.memory.about.lock().unwrap().stage = Stage::Hashing;
    assert_eq!(gateway.get("/holiday.zip").await.status, 200);
}
