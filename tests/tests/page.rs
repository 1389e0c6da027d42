//! The page of a link in a real browser: Debian's Chromium, driven by `tests/py/browse.py`.

#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde_json::Value;
use shoal_tests::{
    Attributes, Deadline, Home, Random, Running, Tree, assert_same_tree, http, needs, scratch, tidy,
};

/// What `browse.py` tells.
fn browse(what: &str, url: &str, more: &[&str]) -> Value {
    let mut args = vec!["--url", url];
    args.extend(more);
    told(&mut browser(what, &args))
}

fn browser(what: &str, args: &[&str]) -> Running {
    needs("chromium").unwrap();
    let mut command = Command::new(needs("python").unwrap());
    command
        .arg(tidy::workspace_root().join("tests/py/browse.py"))
        .arg(what)
        .args(args);
    Running::start(command).unwrap()
}

fn told(running: &mut Running) -> Value {
    let outcome = running.outcome(Deadline::secs(240)).unwrap();
    let lines = outcome.success().unwrap().lines().unwrap();
    lines.into_iter().next_back().unwrap()
}

#[test]
fn a_page_is_readable_for_everybody_and_loads_nothing_from_elsewhere() {
    let mut random = Random::from_env("a_page_is_readable_for_everybody");
    let home = Home::new().unwrap();
    let tree = Tree::odd_names(home.beside(), &mut random).unwrap();
    fs::write(
        tree.path().join("notes.md"),
        "# Hi\n\n<script>alert(1)</script>\n\n| a | b |\n|---|---|\n| 1 | [x](https://example.org/) |\n",
    )
    .unwrap();
    fs::write(tree.path().join("page.html"), "<script>alert(2)</script>").unwrap();
    let hostile = "<img src=x onerror=alert(3)> \u{202e}gpj.exe";
    fs::write(tree.path().join(hostile), "x").unwrap();
    let mut share = home
        .share(tree.path(), &["--expires", "7d", "--max-downloads", "9"])
        .unwrap();
    share.ready(Deadline::secs(20)).unwrap();
    let also = ["--also=/v/notes.md", "--also=/v/page.html"];
    let told = browse("look", &share.url, &also);
    let origin = share.url.split("/s/").next().unwrap();
    let mut grounds = Vec::new();
    for page in told["pages"].as_array().unwrap() {
        let shown = format!("{} {} {}", page["rest"], page["colours"], page["width"]);
        let mut found = page["violations"].as_array().unwrap().iter();
        assert!(!found.any(is_serious), "{shown}: {}", page["violations"]);
        assert_eq!(page["errors"], Value::Array(vec![]), "{shown}");
        assert_eq!(page["dialogs"], Value::Array(vec![]), "{shown}");
        assert!(page["overflows"].as_i64().unwrap() <= 0, "{shown}: {page}");
        assert!(page["bytes"].as_u64().unwrap() < 100_000, "{shown}: {page}");
        for asked in page["requests"].as_array().unwrap() {
            assert!(asked.as_str().unwrap().starts_with(origin), "{asked}");
        }
        grounds.push((page["colours"].clone(), page["ground"].clone()));
    }
    grounds.dedup();
    assert_eq!(grounds.len(), 2, "dark looks as light: {grounds:?}");
    let html = http::get(&share.url).unwrap().text().unwrap();
    assert!(html.contains("&lt;img src=x onerror=alert(3)&gt; \\u{202e}gpj.exe"));

    let told = browse("keys", &share.url, &["--count=6"]);
    let labels = told["labels"].as_array().unwrap();
    assert_eq!(labels[0], "Skip to the content");
    assert!(labels[1].as_str().unwrap().starts_with("Download all"));
    assert_eq!(labels[2], "Open in torrent client");
    assert_eq!(told["copied"], share.url);
    assert_eq!(told["secure"], false);
    let plain = share.url.replace("127.0.0.1", "page.test");
    assert_eq!(told["copied_plain"], plain, "without a secure context");

    home.run(&["stop", &share.id]).unwrap().success().unwrap();
    let gone = http::with_headers(&share.url, &[("Accept", "text/html")]).unwrap();
    assert_eq!(gone.status, 410);
    assert!(gone.text().unwrap().contains("This link was stopped"));
    let told = browse("look", &share.url, &[]);
    assert_eq!(told["pages"][0]["heading"], "This link was stopped");
    let mut found = told["pages"][0]["violations"].as_array().unwrap().iter();
    assert!(!found.any(is_serious), "{told}");
}

#[test]
fn ten_thousand_files_come_as_one_archive_without_a_script() {
    let mut random = Random::from_env("ten_thousand_files_come_as_one_archive");
    let dir = scratch().unwrap();
    let tree = Tree::many_files(dir.path(), "many", 10_000, 1024, &mut random).unwrap();
    tree.file("aa first.txt", 0, &mut random).unwrap();
    fs::write(tree.path().join("aa notes.txt"), "seen without a script").unwrap();
    let tree = tree.with_attributes(&mut random).unwrap();
    // An archive keeps whole seconds.
    let touched = Command::new("find")
        .arg(tree.path())
        .args([
            "-depth",
            "-exec",
            "touch",
            "-h",
            "-d",
            "@1600000001",
            "{}",
            "+",
        ])
        .status()
        .unwrap();
    assert!(touched.success());
    let home = Home::new().unwrap();
    let mut share = home.share(tree.path(), &[]).unwrap();
    share.ready(Deadline::secs(60)).unwrap();
    let asked = Instant::now();
    http::get(&share.url).unwrap().bytes().unwrap();
    eprintln!("the page of 10,000 files came in {:?}", asked.elapsed());
    let into = dir.path().join("got.zip");
    let told = browse(
        "plain",
        &share.url,
        &["--into", into.to_str().unwrap(), "--name", "aa notes.txt"],
    );
    assert_eq!(told["suggested"], "many.zip");
    assert_eq!(told["code_is_seen"], true);
    assert_eq!(told["idle_buttons"], 0, "they do nothing without a script");
    let preview = told["preview"].as_str().unwrap();
    assert!(preview.contains("seen without a script"), "{preview}");

    let unzip = |args: &[&str]| {
        let mut command = Command::new(needs("unzip").unwrap());
        command
            .arg("-q")
            .args(args)
            .arg(&into)
            .current_dir(dir.path());
        Running::start(command)
            .unwrap()
            .outcome(Deadline::secs(60))
            .unwrap()
            .success()
            .unwrap();
    };
    unzip(&["-t"]);
    let kept = dir.path().join("kept");
    fs::rename(tree.path(), &kept).unwrap();
    unzip(&[]);
    assert_same_tree(&kept, &dir.path().join("many"), Attributes::All);
}

#[test]
fn a_download_of_two_gigabytes_goes_on_after_a_break() {
    const BYTES: u64 = 2 << 30;
    let mut random = Random::from_env("a_download_of_two_gigabytes");
    let dir = scratch().unwrap();
    let tree = Tree::sparse_file(dir.path(), "disk.img", BYTES, &mut random).unwrap();
    let home = Home::new().unwrap();
    let into = dir.path().join("got.img");
    let mut browser = browser("wait", &["--into", into.to_str().unwrap()]);
    browser.event("open", Deadline::secs(60)).unwrap();
    let share = home.share(tree.path(), &[]).unwrap();
    browser.say(&share.url).unwrap();
    let told = told(&mut browser);
    assert_eq!(told["was_counted"], true, "{told}");
    assert!(told["magnet"].as_str().unwrap().starts_with("magnet:?xt="));
    assert_eq!(told["failure"], Value::Null, "{told}");
    let range = told["ranges"][0]
        .as_str()
        .expect("it did not go on by range");
    let from: u64 = range
        .trim_start_matches(|c: char| !c.is_ascii_digit())
        .trim_end_matches('-')
        .parse()
        .unwrap();
    assert!(from > 0 && from < 80 << 20, "{range}");
    let (got, kept) = (File::open(&into).unwrap(), File::open(tree.path()).unwrap());
    assert_eq!(got.metadata().unwrap().len(), BYTES);
    let (mut one, mut two) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    for at in (0..BYTES).step_by(1 << 20) {
        got.read_exact_at(&mut one, at).unwrap();
        kept.read_exact_at(&mut two, at).unwrap();
        assert!(one == two, "it differs behind {at}");
    }
}

#[test]
fn films_and_sounds_are_played_from_any_moment() {
    let home = Home::new().unwrap();
    let mut random = Random::from_env("films_and_sounds");
    let tree = Tree::folder(home.beside(), "media").unwrap();
    // Ten seconds, red in the first half and blue in the second, made by ffmpeg's `color` source.
    let film = tidy::workspace_root().join("tests/py/red-then-blue.webm");
    fs::copy(film, tree.path().join("film.webm")).unwrap();
    silence(&tree.path().join("sound.wav"), 40 << 20);
    fs::write(tree.path().join("picture.png"), PIXEL).unwrap();
    tree.file("rest.bin", 10, &mut random).unwrap();
    let mut share = home.share(tree.path(), &[]).unwrap();
    share.ready(Deadline::secs(20)).unwrap();
    let told = browse("play", &share.url, &[]);
    let colour = |moment: &str, channel: usize| told[moment][channel].as_u64().unwrap();
    assert!(
        colour("early", 0) > 150 && colour("early", 2) < 100,
        "{told}"
    );
    assert!(colour("late", 2) > 150 && colour("late", 0) < 100, "{told}");
    assert!(
        (told["reached"].as_f64().unwrap() - 0.9).abs() < 0.01,
        "{told}"
    );
    let far = told["ranges"].as_array().unwrap().iter().any(|range| {
        let from = range[0].as_str().unwrap().trim_start_matches("bytes=");
        let from: u64 = from.split('-').next().unwrap().parse().unwrap();
        from > 30 << 20 && range[1] == 206
    });
    assert!(far, "the sound was not asked for from its middle: {told}");
    assert_eq!(told["picture"], 1);
    assert_eq!(told["errors"], Value::Array(vec![]));
}

#[test]
fn a_password_opens_the_page_without_a_script() {
    let mut random = Random::from_env("a_password_opens_the_page");
    let home = Home::new().unwrap();
    let tree = Tree::folder(home.beside(), "behind a door").unwrap();
    fs::write(tree.path().join("note.txt"), "seen by who knows").unwrap();
    tree.file("photo.bin", 70_000, &mut random).unwrap();
    let file = home.beside().join("password");
    fs::write(&file, "open & \u{fc}ber\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let options = ["--password-file", file.to_str().unwrap()];
    let mut share = home.share(tree.path(), &options).unwrap();
    share.ready(Deadline::secs(20)).unwrap();
    let password = "open & \u{fc}ber";
    let told = browse(
        "unlock",
        &share.url,
        &["--password", password, "--name", "note.txt"],
    );
    let text = |moment: &str| told[moment].as_str().unwrap().to_owned();
    for moment in ["before", "wrong"] {
        let shown = text(moment);
        assert!(shown.contains("This link has a password"), "{shown}");
        assert!(
            !shown.contains("door") && !shown.contains("note"),
            "{shown}"
        );
    }
    assert!(text("wrong").contains("not the password"), "{told}");
    let opened = text(password);
    assert!(
        opened.contains("behind a door") && opened.contains("photo.bin"),
        "{opened}"
    );
    assert!(text("preview").contains("seen by who knows"), "{told}");
    let cookie = &told["cookies"][0];
    assert_eq!(
        (&cookie["httpOnly"], &cookie["sameSite"]),
        (&true.into(), &"Lax".into()),
        "{cookie}"
    );
    assert_eq!(told["elsewhere"], 403, "another browser is not let in");
    let mut found = told["violations"].as_array().unwrap().iter();
    assert!(!found.any(is_serious), "{told}");
}

fn is_serious(violation: &Value) -> bool {
    violation["impact"] == "serious" || violation["impact"] == "critical"
}

/// PCM of 8 kHz, 8 bit, one channel.
fn silence(path: &Path, bytes: u32) {
    let mut head = Vec::new();
    head.extend_from_slice(b"RIFF");
    head.extend_from_slice(&(bytes + 36).to_le_bytes());
    head.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    head.extend_from_slice(&8000u32.to_le_bytes());
    head.extend_from_slice(&8000u32.to_le_bytes());
    head.extend_from_slice(b"\x01\0\x08\0data");
    head.extend_from_slice(&bytes.to_le_bytes());
    let mut file = File::create(path).unwrap();
    file.write_all(&head).unwrap();
    file.write_all(&vec![0x80; bytes as usize]).unwrap();
}

/// The smallest PNG: one pixel.
const PIXEL: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx\x9cc\xf8\xcf\xc0\xf0\x1f\0\x05\0\x01\xff\x89\x99=\x1d\0\0\0\0IEND\xaeB`\x82";
