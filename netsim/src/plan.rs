//! What a seed means: how many machines, how much work, and which misfortunes.

use crate::disk::Manners;
use crate::names::{Case, Forms};
use crate::random::Random;
use shoal_protocol::id::DeviceId;
use shoal_protocol::sync::{Features, Policy};
use std::collections::BTreeSet;

/// A kind of misfortune that a run may have, and that shrinking may take away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Programs are killed, and power is cut.
    Crash,
    /// Connections break, and machines cannot reach each other for a while.
    Network,
    /// Disks are full, or fail to read and write.
    Disk,
    /// Clocks are wrong, and jump.
    Clock,
    /// File systems have coarse times, no modes, no links.
    Coarse,
    /// File systems fold names, and users type such names.
    Names,
    /// Homes are restored from old backups.
    Restore,
    /// Roots are unmounted for a while.
    Root,
    /// Watchers miss changes.
    Watch,
    /// Not every machine talks to every other.
    Topology,
    /// People settle conflicts, and let filesets rest for a while.
    People,
    /// A device is removed from the group.
    Removal,
}

/// All of them, with their names on the command line.
pub const FAULTS: [(Fault, &str); 12] = [
    (Fault::Crash, "crash"),
    (Fault::Network, "network"),
    (Fault::Disk, "disk"),
    (Fault::Clock, "clock"),
    (Fault::Coarse, "coarse"),
    (Fault::Names, "names"),
    (Fault::Restore, "restore"),
    (Fault::Root, "root"),
    (Fault::Watch, "watch"),
    (Fault::Topology, "topology"),
    (Fault::People, "people"),
    (Fault::Removal, "removal"),
];

/// One run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// All chance follows from it.
    pub seed: u64,
    /// Number of machines, 2 to 50.
    pub hosts: usize,
    /// How often everybody works, and all comes to rest again.
    pub rounds: u64,
    /// What users do in a round, all together.
    pub deeds: u64,
    /// How long the users of a round take, in milliseconds; their deeds fall within it.
    pub span_ms: u64,
    /// Which misfortunes happen.
    pub faults: BTreeSet<Fault>,
    /// Deeds that are left out, by their numbers.
    pub skipped: BTreeSet<u64>,
    /// Which edit wins.
    pub policy: Policy,
}

impl Plan {
    /// The plan of a seed.
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed, "plan");
        let hosts = match random.below(100) {
            0..50 => 2,
            50..90 => random.between(3, 5),
            90..99 => random.between(6, 9),
            _ => random.between(10, 50),
        };
        // A third of the runs have no misfortune: what fails there is simplest to understand.
        let likely = *random.pick(&[0, 150, 500]).unwrap_or(&0);
        let faults = FAULTS.iter().map(|(fault, _)| *fault);
        Self {
            seed,
            hosts: hosts as usize,
            rounds: random.between(1, 4),
            deeds: match random.below(3) {
                0 => random.between(2, 6),
                1 => random.between(5, 20),
                _ => random.between(20, 60),
            },
            span_ms: *random.pick(&[200, 2_000, 30_000]).unwrap_or(&200),
            faults: faults.filter(|_| random.chance(likely)).collect(),
            skipped: BTreeSet::new(),
            policy: policy(seed),
        }
    }

    /// No deeds and no misfortunes: for scenarios that do everything themselves.
    pub fn scenario(hosts: usize) -> Self {
        Self {
            hosts,
            rounds: 0,
            deeds: 0,
            faults: BTreeSet::new(),
            policy: Policy::Newer,
            ..Self::new(1)
        }
    }

    /// Whether a misfortune may happen.
    pub fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    /// The command that runs it again.
    pub fn command(&self) -> String {
        let usual = Plan::new(self.seed);
        let mut command = format!(
            "cargo run --release -p netsim -- --seed {} --trace",
            self.seed
        );
        for (name, value, was) in [
            ("hosts", self.hosts as u64, usual.hosts as u64),
            ("rounds", self.rounds, usual.rounds),
            ("deeds", self.deeds, usual.deeds),
        ] {
            if value != was {
                command.push_str(&format!(" --{name} {value}"));
            }
        }
        for deed in &self.skipped {
            command.push_str(&format!(" --skip {deed}"));
        }
        for (fault, name) in FAULTS {
            if usual.has(fault) && !self.has(fault) {
                command.push_str(&format!(" --without {name}"));
            }
        }
        command
    }

    /// Plans that are a little less than this one, the boldest first.
    pub fn smaller(&self) -> Vec<Plan> {
        let mut plans = Vec::new();
        plans.push(Plan {
            rounds: self.rounds.saturating_sub(1),
            ..self.clone()
        });
        for hosts in [2, self.hosts - 1] {
            plans.push(Plan {
                hosts,
                ..self.clone()
            });
        }
        for fault in &self.faults {
            let mut plan = self.clone();
            plan.faults.remove(fault);
            plans.push(plan);
        }
        let left: Vec<u64> = (0..self.rounds * self.deeds)
            .filter(|deed| !self.skipped.contains(deed))
            .collect();
        for size in [left.len() / 2, left.len() / 8, 1] {
            for part in left.chunks(size.max(1)) {
                let mut plan = self.clone();
                plan.skipped.extend(part);
                plans.push(plan);
            }
        }
        plans.retain(|plan| plan != self && plan.rounds > 0 && plan.hosts > 1 && plan.deeds > 0);
        plans
    }

    /// The file system of a machine.
    pub(crate) fn manners(&self, host: usize) -> Manners {
        let mut random = Random::new(self.seed.wrapping_add(host as u64), "manners");
        let mut manners = Manners::LINUX;
        if self.has(Fault::Names) {
            manners.case = *random
                .pick(&[Case::Sensitive, Case::Preserving])
                .unwrap_or(&Case::Sensitive);
            let forms = [Forms::Distinct, Forms::Preserving, Forms::Decomposing];
            manners.forms = *random.pick(&forms).unwrap_or(&Forms::Distinct);
        }
        if self.has(Fault::Coarse) {
            manners.mtime_step_ns = *random
                .pick(&[1, 100, 1_000_000_000, 2_000_000_000])
                .unwrap_or(&1);
            let modes = [0o777, 0o777, 0o200, 0];
            manners.features = Features {
                mode_bits: *random.pick(&modes).unwrap_or(&0o777),
                symlinks: random.chance(700),
                ..manners.features
            };
        }
        manners.features.names = manners.names();
        manners
    }
}

/// Mostly the one that people get without asking.
fn policy(seed: u64) -> Policy {
    match Random::new(seed, "policy").below(10) {
        0 => Policy::Older,
        1 => Policy::Larger,
        2 => Policy::Smaller,
        3 => Policy::Prefer(DeviceId([2; 32])),
        _ => Policy::Newer,
    }
}
