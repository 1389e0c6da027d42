//! Many at once, and slow ones: nobody waits for them, and the node stays small.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Barrier;
use std::time::Duration;

use shoal_tests::{
    Attributes, Deadline, Home, Random, Share, Tree, assert_same_tree, http, needs, poll,
};

fn shared(test: &str, file: &str, bytes: u64) -> (Home, Share, Tree) {
    let mut random = Random::from_env(test);
    let home = Home::new().unwrap();
    let tree = Tree::folder(home.beside(), "tree").unwrap();
    tree.file(file, bytes, &mut random).unwrap();
    let mut share = home.share(tree.path(), &[]).unwrap();
    share.ready(Deadline::secs(30)).unwrap();
    (home, share, tree)
}

fn path_of(url: &str) -> &str {
    &url[url.find("/s/").unwrap()..]
}

/// Hundreds of clients that say almost nothing: others are answered at once, and the silent ones are let go.
#[test]
fn slow_clients_hold_nobody_up() {
    const SLOW: usize = 300;
    let (_home, share, _tree) = shared("slow_clients_hold_nobody_up", "a.bin", 8 << 20);
    let address = share.address().unwrap();
    let path = path_of(&share.url);
    let mut slow: Vec<TcpStream> = (0..SLOW)
        .map(|n| {
            let mut stream = TcpStream::connect(&address).unwrap();
            match n % 4 {
                0 => {}
                1 => stream.write_all(b"G").unwrap(),
                2 => stream
                    .write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nX: ").as_bytes())
                    .unwrap(),
                // Asks for eight megabytes and reads none of them.
                _ => stream
                    .write_all(format!("GET {path}/f/a.bin HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
                    .unwrap(),
            }
            stream
        })
        .collect();
    let before = std::time::Instant::now();
    for _ in 0..5 {
        assert_eq!(
            http::get(&format!("{}/f/a.bin", share.url))
                .unwrap()
                .bytes()
                .unwrap()
                .len(),
            8 << 20
        );
    }
    assert!(
        before.elapsed() < Duration::from_secs(10),
        "others waited {:?}",
        before.elapsed()
    );
    // Those who never finish a request are closed after twenty seconds.
    for stream in slow.iter_mut().take(3) {
        stream
            .set_read_timeout(Some(Duration::from_secs(40)))
            .unwrap();
        let mut heard = Vec::new();
        match stream.read_to_end(&mut heard) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
        }
    }
}

/// One address cannot take all places.
#[test]
fn connections_of_one_address_are_bounded() {
    let (_home, share, _tree) = shared("connections_of_one_address_are_bounded", "a.txt", 100);
    let address = share.address().unwrap();
    let mut held = Vec::new();
    let closed = poll(Deadline::secs(20), "a connection too many", || {
        let stream = TcpStream::connect(&address)?;
        stream.set_read_timeout(Some(Duration::from_millis(5)))?;
        let is_closed = matches!((&stream).read(&mut [0]), Ok(0)) || held.len() > 2_000;
        held.push(stream);
        Ok(is_closed.then_some(held.len()))
    })
    .unwrap();
    assert!(
        (256..2_000).contains(&closed),
        "{closed} connections of one address"
    );
    let elsewhere = Command::new(needs("curl").unwrap())
        .args([
            "-s",
            "--max-time",
            "10",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "--interface",
            "127.0.0.2",
            &share.url,
        ])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&elsewhere.stdout), "200");
}

/// 200 browsers' worth at once: none fails, and the node stays small.
#[test]
fn two_hundred_downloads_at_once() {
    const TAKERS: usize = 200;
    const SIZE: usize = 3 << 20;
    let (_home, share, tree) = shared("two_hundred_downloads_at_once", "film.mp4", SIZE as u64);
    let url = format!("{}/f/film.mp4", share.url);
    let content = fs::read(tree.path().join("film.mp4")).unwrap();
    at_once(TAKERS, || {
        let mut answer = http::get(&url)?;
        let (mut buffer, mut at) = (vec![0; 64 << 10], 0);
        loop {
            let read = answer.reader().read(&mut buffer)?;
            anyhow::ensure!(
                content.get(at..at + read) == Some(&buffer[..read]),
                "other bytes at {at}"
            );
            at += read;
            if read == 0 {
                anyhow::ensure!(at == SIZE, "{at} bytes");
                return Ok(());
            }
        }
    });
    stays_small(&share, "200 downloads");
}

/// Nobody has asked for the archive before, so that all of them count its checksums at the same time.
#[test]
fn fifty_archives_at_once() {
    const TAKERS: usize = 50;
    let mut random = Random::from_env("fifty_archives_at_once");
    let home = Home::new().unwrap();
    let tree = Tree::many_files(home.beside(), "many", 250, 32 << 10, &mut random).unwrap();
    tree.file("large.bin", 2_000_003, &mut random).unwrap();
    tree.file("empty", 0, &mut random).unwrap();
    let mut share = home.share(tree.path(), &[]).unwrap();
    share.ready(Deadline::secs(30)).unwrap();
    let url = format!("{}/many.zip", share.url);
    let archives = at_once(TAKERS, || http::get(&url)?.bytes());
    stays_small(&share, "50 archives");
    // All are the same to the byte, so one that unpacks right stands for them.
    let (first, rest) = archives.split_first().unwrap();
    assert!(rest.iter().all(|archive| archive == first));
    let into = home.beside().join("unpacked");
    let file = home.beside().join("many.zip");
    fs::write(&file, first).unwrap();
    let unzip = Command::new(needs("unzip").unwrap())
        .arg("-q")
        .arg(&file)
        .arg("-d")
        .arg(&into)
        .output()
        .unwrap();
    assert!(unzip.status.success(), "{unzip:?}");
    assert_same_tree(tree.path(), &into.join("many"), Attributes::BytesOnly);
}

/// What each of many got who begin at the same moment; none fails.
fn at_once<T: Send>(takers: usize, take: impl Fn() -> anyhow::Result<T> + Sync) -> Vec<T> {
    let begin = Barrier::new(takers);
    let ended: Vec<anyhow::Result<T>> = std::thread::scope(|scope| {
        let taker = || {
            begin.wait();
            take()
        };
        let takers: Vec<_> = (0..takers).map(|_| scope.spawn(taker)).collect();
        let ended = takers.into_iter().map(|taker| taker.join().unwrap());
        ended.collect()
    });
    let (got, failed): (Vec<_>, Vec<_>) = ended.into_iter().partition(Result::is_ok);
    let failed: Vec<_> = failed.into_iter().filter_map(Result::err).collect();
    assert!(failed.is_empty(), "{} failed: {failed:?}", failed.len());
    got.into_iter().flatten().collect()
}

fn stays_small(share: &Share, what: &str) {
    let most = peak_rss_bytes(share.running.id());
    eprintln!("{what} at once: {} MiB at most", most >> 20);
    assert!(most < 150_000_000, "{what}: the node took {most} bytes");
}

fn peak_rss_bytes(pid: u32) -> u64 {
    let text = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().next().unwrap().parse().unwrap();
    kib * 1024
}
