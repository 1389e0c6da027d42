//! Nodes that are killed again and again while both users work, and not a byte of them is lost.
//!
//! `cargo test --release --workspace --test fileset_kill -- --ignored --nocapture` is the long one, of a hundred rounds.
//!
//! What is checked: files that one user alone works on are in the end, on both sides, what that user made of them. Of files that
//! both change at once, every content is still somewhere in the tree, unless a user took it out of its place with
//! own hands. Nothing is left in staging. What is not: power cuts (`node/disk/tests/apply_crash.rs`, `netsim`).

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Instant;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use shoal_tests::{Deadline, Kept, Random, Seen, poll, seen, two};

/// Rounds of the test that runs always.
const FEW: u64 = 4;
/// Rounds of the long one, where `SHOAL_KILL_ROUNDS` does not say otherwise.
const MANY: u64 = 100;
/// Files that both users change.
const SHARED: u64 = 4;
/// Files that one user has at most; so many that the brake against mass deletion is out of reach.
const OWN_MAX: usize = 2_000;
const PATIENCE_S: u64 = 120;

#[test]
fn killed_nodes_lose_nothing_and_leave_nothing_behind() {
    run(FEW, "killed_nodes_lose_nothing_and_leave_nothing_behind");
}

#[test]
#[ignore = "takes minutes"]
fn a_hundred_rounds_of_kill() {
    let rounds = std::env::var("SHOAL_KILL_ROUNDS").ok();
    let rounds = rounds.and_then(|text| text.parse().ok()).unwrap_or(MANY);
    run(rounds, "a_hundred_rounds_of_kill");
}

/// One person, at one side.
struct User {
    kept: Kept,
    prefix: &'static str,
    /// What this user's files are.
    own: BTreeMap<String, Vec<u8>>,
}

fn run(rounds: u64, name: &str) {
    let mut random = Random::from_env(name);
    let (one, two) = two();
    let mut users = [User::new(one, "one"), User::new(two, "two")];
    let mut shared = BTreeSet::new();
    for number in 0..SHARED {
        let content = random.bytes(100);
        users[0].kept.write(&shared_path(number), &content);
        shared.insert(content);
    }
    settle(&users, &shared);
    for round in 0..rounds {
        let begun = Instant::now();
        work(&mut users, &mut shared, round, &mut random);
        let victims: &[usize] = match random.below(5) {
            0 => &[0, 1],
            number if number % 2 == 0 => &[0],
            _ => &[1],
        };
        let so_far = random.below(100) as usize;
        let arrived = |user: &User, other: &User| {
            let at = other.kept.at(&format!("{}/{round}", user.prefix));
            fs::read_dir(at).map_or(0, Iterator::count)
        };
        let waited = poll(Deadline::secs(PATIENCE_S), "some of it", || {
            let there = arrived(&users[0], &users[1]) + arrived(&users[1], &users[0]);
            Ok((there >= so_far).then_some(()))
        });
        if let Err(error) = waited {
            users.iter().for_each(User::tell);
            panic!("{error} in round {round}");
        }
        victims.iter().for_each(|at| users[*at].kept.device.kill());
        // What happens while it is away counts, too.
        let (victim, content) = (victims[0], random.bytes(200));
        users[victim].write(&format!("{round}/meanwhile"), content);
        users[victim].change_shared(&mut shared, random.below(SHARED), &mut random);
        for at in victims {
            users[*at].kept.device.start();
            // And sometimes it dies again, while it looks at what it missed.
            if random.below(4) == 0 {
                users[*at].kept.device.kill();
                users[*at].kept.device.start();
            }
        }
        if round % 10 == 9 {
            settle(&users, &shared);
        }
        eprintln!("round {round}: {} ms", begun.elapsed().as_millis());
    }
    settle(&users, &shared);
}

/// Both users work.
fn work(users: &mut [User; 2], shared: &mut BTreeSet<Vec<u8>>, round: u64, random: &mut Random) {
    for user in users {
        for number in 0..50 {
            let len = 1 + random.below(20_000) as usize;
            let content = random.bytes(len);
            user.write(&format!("{round}/{number}"), content);
        }
        let content = random.bytes(3 << 20);
        user.write(&format!("{round}/big"), content);
        for _ in 0..10 {
            let content = random.bytes(3_000);
            user.edit(content, random);
        }
        if round > 0 {
            user.rename_folder(round - 1, random);
            user.delete_some(random);
        }
        user.change_shared(shared, random.below(SHARED), random);
    }
}

impl User {
    fn new(kept: Kept, prefix: &'static str) -> User {
        User {
            kept,
            prefix,
            own: BTreeMap::new(),
        }
    }

    fn write(&mut self, path: &str, content: Vec<u8>) {
        let path = format!("{}/{path}", self.prefix);
        self.kept.write(&path, &content);
        self.own.insert(path, content);
    }

    fn any(&self, random: &mut Random) -> Option<String> {
        let at = random.below(self.own.len() as u64) as usize;
        self.own.keys().nth(at).cloned()
    }

    /// Writes over an own file: in place, or as editors save.
    fn edit(&mut self, content: Vec<u8>, random: &mut Random) {
        let Some(path) = self.any(random) else {
            return;
        };
        if random.below(2) == 0 {
            self.kept.write(&path, &content);
        } else {
            let new = format!("{path}.new");
            self.kept.write(&new, &content);
            fs::rename(self.kept.at(&new), self.kept.at(&path)).unwrap();
        }
        self.own.insert(path, content);
    }

    fn rename_folder(&mut self, round: u64, random: &mut Random) {
        let from = format!("{}/{round}", self.prefix);
        let to = format!("{from}-{}", random.below(1000));
        fs::rename(self.kept.at(&from), self.kept.at(&to)).unwrap();
        let old = std::mem::take(&mut self.own);
        self.own = old
            .into_iter()
            .map(
                |(path, content)| match path.strip_prefix(&format!("{from}/")) {
                    Some(rest) => (format!("{to}/{rest}"), content),
                    None => (path, content),
                },
            )
            .collect();
    }

    fn delete_some(&mut self, random: &mut Random) {
        let many = if self.own.len() > OWN_MAX { 60 } else { 5 };
        for _ in 0..many {
            if let Some(path) = self.any(random) {
                fs::remove_file(self.kept.at(&path)).unwrap();
                self.own.remove(&path);
            }
        }
    }

    /// Puts a new content in the place of whatever is there at this very moment.
    fn change_shared(&self, shared: &mut BTreeSet<Vec<u8>>, number: u64, random: &mut Random) {
        let beside = self.kept.device.home.beside().join("in hand");
        let content = random.bytes(100);
        fs::write(&beside, &content).unwrap();
        let path = self.kept.at(&shared_path(number));
        renameat_with(CWD, &beside, CWD, &path, RenameFlags::EXCHANGE).unwrap();
        shared.remove(&fs::read(&beside).unwrap());
        shared.insert(content);
    }

    fn tell(&self) {
        eprintln!("--- {}: {}", self.prefix, self.kept.view());
    }
}

/// Waits until both sides are the same, and checks what is there.
fn settle(users: &[User; 2], shared: &BTreeSet<Vec<u8>>) {
    let folders = || users.each_ref().map(|user| seen(&user.kept.folder).ok());
    let waited = poll(Deadline::secs(PATIENCE_S), "equal folders", || {
        let quiet = || users.iter().all(|user| user.kept.is_up_to_date());
        if !quiet() {
            return Ok(None);
        }
        let [one, two] = folders();
        Ok((one.is_some() && one == two && quiet()).then_some(()))
    });
    if let Err(error) = waited {
        users.iter().for_each(User::tell);
        let [one, two] = folders().map(Option::unwrap);
        for path in one.keys().chain(two.keys()) {
            if one.get(path) != two.get(path) {
                eprintln!("{path:?}: {:?} and {:?}", one.get(path), two.get(path));
            }
        }
        panic!("{error}");
    }
    for user in users {
        let there = files(&user.kept.folder);
        for owner in users {
            let of = |path: &&String| path.starts_with(&format!("{}/", owner.prefix));
            let paths: Vec<_> = there.keys().filter(of).collect();
            let expected: Vec<_> = owner.own.keys().collect();
            assert_eq!(
                paths, expected,
                "files of {} at {}",
                owner.prefix, user.prefix
            );
            for (path, content) in &owner.own {
                assert!(
                    there[path] == *content,
                    "{path} at {} is not what was written",
                    user.prefix
                );
            }
        }
        let contents: BTreeSet<_> = there.values().collect();
        let lost: Vec<_> = shared.iter().filter(|it| !contents.contains(it)).collect();
        assert!(
            lost.is_empty(),
            "{} contents are lost at {}",
            lost.len(),
            user.prefix
        );
        assert_eq!(user.kept.staged(), [""; 0]);
        assert!(!user.kept.at(".shoal/rescued").exists());
    }
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let all = seen(folder).unwrap();
    all.into_iter()
        .filter(|(_, what)| matches!(what, Seen::File { .. }))
        .map(|(path, _)| {
            let content = fs::read(folder.join(&path)).unwrap();
            (path, content)
        })
        .collect()
}

fn shared_path(number: u64) -> String {
    format!("shared/{number}.txt")
}
