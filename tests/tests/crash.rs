//! kill -9 at random moments: never a wrong byte, and it always finishes.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Instant;

use shoal_tests::{
    Attributes, Deadline, Home, Random, Running, Tree, assert_same_tree, poll, scratch,
};

const ROUNDS: u32 = 50;

/// Files of all sizes, so that a kill hits batches of small files as well as the middle of a big one.
fn tree_to_kill(parent: &Path, random: &mut Random) -> Tree {
    let tree = Tree::many_files(parent, "wanted", 300, 3000, random).unwrap();
    for number in 0..4 {
        tree.file(&format!("big-{number}"), 24 << 20, random)
            .unwrap();
    }
    tree.with_attributes(random).unwrap()
}

#[test]
fn fifty_kills_in_get() {
    let mut random = Random::from_env("fifty_kills_in_get");
    let dir = scratch().unwrap();
    let tree = tree_to_kill(dir.path(), &mut random);
    let home = Home::new().unwrap();
    let mut share = home.share(tree.path(), &[]).unwrap();
    share.ready(Deadline::secs(60)).unwrap();

    let started = Instant::now();
    let whole = scratch().unwrap();
    home.get(&share.url, whole.path(), &[])
        .unwrap()
        .success()
        .unwrap();
    // A run that goes on where another was killed is shorter: most moments are to lie within it.
    let span_ms = started.elapsed().as_millis() as u64;

    let (mut kills, mut completed) = (0, 0);
    while kills < ROUNDS {
        let target = scratch().unwrap();
        let ways: &[&str] = match completed % 4 {
            0 => &[],
            1 => &["--via", "iroh"],
            2 => &["--via", "http"],
            _ => &["--via", "torrent"],
        };
        // Ten kills into one target, then it is to finish.
        for round in 0.. {
            let mut args = vec![
                "get",
                "--json",
                &share.url,
                "-o",
                target.path().to_str().unwrap(),
            ];
            args.extend(ways);
            let mut running = home.start(&args).unwrap();
            if round < 10 && kills < ROUNDS {
                let moment = Deadline::millis(random.below(span_ms));
                if killed_at(&mut running, moment) {
                    kills += 1;
                    continue;
                }
            }
            let outcome = running.outcome(Deadline::secs(60)).unwrap();
            assert_eq!(outcome.code, Some(0), "after {kills} kills: {outcome:#?}");
            break;
        }
        assert_same_tree(tree.path(), &target.path().join("wanted"), Attributes::All);
        let left: Vec<_> = std::fs::read_dir(target.path())
            .unwrap()
            .flatten()
            .map(|entry| entry.file_name())
            .filter(|name| name != "wanted")
            .collect();
        assert!(left.is_empty(), "left behind: {left:?}");
        completed += 1;
    }
    eprintln!("{kills} kills, {completed} targets, each complete and exact");
}

/// The node is killed while it hashes, serves, logs and ends; links stay, and what is fetched is exact.
#[test]
fn fifty_kills_in_share() {
    let mut random = Random::from_env("fifty_kills_in_share");
    let dir = scratch().unwrap();
    let tree = tree_to_kill(dir.path(), &mut random);
    let home = Home::new().unwrap();
    let mut links: Vec<String> = Vec::new();
    for round in 0..ROUNDS {
        // A new share every fifth round, so that hashing is killed too; otherwise the node alone.
        let mut node = if round % 5 == 0 {
            let share = home.share(tree.path(), &[]).unwrap();
            links.push(share.url);
            share.running
        } else {
            home.up().unwrap()
        };
        let link = &links[random.below(links.len() as u64) as usize];
        let target = scratch().unwrap();
        let mut taker = home
            .start(&["get", "--json", link, "-o", target.path().to_str().unwrap()])
            .unwrap();
        let moment = Deadline::millis(random.below(600));
        assert!(killed_at(&mut node, moment), "the node ended by itself");
        // Without the node the taker ends or waits; either way it has no wrong byte.
        taker.kill().unwrap();
        drop(node);

        let again = home.up().unwrap();
        poll(Deadline::secs(60), "every share to be hashed", || {
            let shares = home.json_lines(&["shares"])?;
            anyhow::ensure!(shares.len() == links.len(), "a link was lost: {shares:#?}");
            Ok(shares
                .iter()
                .all(|share| share["state"]["type"] == "ready")
                .then_some(()))
        })
        .unwrap();
        home.get(link, target.path(), &[])
            .unwrap()
            .success()
            .unwrap();
        assert_same_tree(tree.path(), &target.path().join("wanted"), Attributes::All);
        drop(again);
    }
}

/// Waits for the moment; kills the process then unless it has ended before.
fn killed_at(running: &mut Running, moment: Deadline) -> bool {
    while !moment.passed() {
        match running.line(moment) {
            Ok(Some(_)) => {}
            // Its output has ended: so will it.
            Ok(None) => return false,
            Err(_) => break,
        }
    }
    if !running.is_running() {
        return false;
    }
    running.kill().is_ok()
}
