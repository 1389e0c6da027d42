//! Bugs that other programs had, each as a short story. After every story all promises are checked by `settle`.
#![allow(clippy::unwrap_used)]

mod own;
mod syncthing;
mod various;

use netsim::disk::{Disk, Manners};
use netsim::names::{Case, Forms};
use netsim::{Fault, Keep, Plan, Sabotage, World};
use shoal_protocol::path::RelPath;
use shoal_protocol::sync::{self, Features, Names};

/// A Mac: `a` and `A` are one name, and so are the forms of `é`, which are kept decomposed.
const MAC: Manners = Manners {
    case: Case::Preserving,
    forms: Forms::Decomposing,
    features: Features {
        names: Names {
            case: sync::Case::Folded,
            forms: sync::Forms::Folded,
        },
        ..Manners::LINUX.features
    },
    ..Manners::LINUX
};

fn path(text: &str) -> RelPath {
    RelPath::new(text).unwrap()
}

/// A world at rest with these files (and the folders above them) everywhere.
fn world(hosts: usize, files: &[(&str, &str)]) -> World {
    filled(
        World::new(Plan::scenario(hosts), Sabotage::None, Keep::Hash),
        files,
    )
}

/// The same with two machines, a Linux and another file system.
fn linux_and(manners: Manners, files: &[(&str, &str)]) -> World {
    let mut plan = Plan::scenario(2);
    if manners.folds() {
        plan.faults.insert(Fault::Names);
    }
    if manners.mtime_step_ns > 1 {
        plan.faults.insert(Fault::Coarse);
    }
    let mut world = World::new(plan, Sabotage::None, Keep::Hash);
    world.hosts[0].disk = Disk::new(Manners::LINUX);
    world.hosts[1].disk = Disk::new(manners);
    filled(world, files)
}

fn filled(mut world: World, files: &[(&str, &str)]) -> World {
    for (name, bytes) in files {
        make_folders(&mut world, 0, name);
        world.write(0, &path(name), bytes.as_bytes());
    }
    world.settle().unwrap();
    world
}

fn make_folders(world: &mut World, host: usize, name: &str) {
    let above = std::iter::successors(path(name).parent(), RelPath::parent);
    let folders: Vec<_> = above.collect();
    for folder in folders.iter().rev() {
        world.mkdir(host, folder);
    }
}

/// Settles, and gives the one tree that all have.
fn settled(mut world: World) -> Vec<String> {
    world.settle().unwrap();
    let tree = world.tree(0);
    for host in 1..world.hosts.len() {
        assert_eq!(world.tree(host), tree);
    }
    tree
}

fn has(tree: &[String], row: &str) -> bool {
    tree.iter().any(|it| it == row)
}

/// Some copy of a conflict has these bytes.
fn has_copy(tree: &[String], bytes: &str) -> bool {
    let end = format!("file {bytes:?}");
    tree.iter()
        .any(|it| it.contains(".conflict-") && it.ends_with(&end))
}
