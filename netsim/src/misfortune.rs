//! What goes wrong: crashes, power cuts, broken networks, wrong clocks, restored homes, lost roots.

use crate::disk::Mount;
use crate::network::pair;
use crate::plan::Fault;
use crate::world::{Step, Weather, World};
use shoal_protocol::sync::{Command, Event, Index};

impl World {
    /// One of the misfortunes of the plan happens to a host.
    pub(crate) fn misfortune(&mut self, host: usize) {
        let faults: Vec<Fault> = self.plan.faults.iter().copied().collect();
        match self.luck.pick(&faults) {
            Some(Fault::Crash) => {
                self.crash(host);
                let delay = self.luck.between(1, 4_000);
                self.later_any(host, delay, Step::Start);
            }
            Some(Fault::Network) => self.network_trouble(host),
            Some(Fault::Clock) => {
                let jump_ms = self.luck.below(86_400_000) as i64 - 43_200_000;
                self.hosts[host].clock_offset_ns += jump_ms * 1_000_000;
            }
            Some(Fault::Restore) => self.restore_home(host),
            Some(Fault::Root) => self.lose_root(host),
            // These are not events: they are asked for where they matter.
            Some(
                Fault::Disk
                | Fault::Coarse
                | Fault::Names
                | Fault::Watch
                | Fault::Topology
                | Fault::Removal,
            )
            | None => {}
            Some(Fault::People) if self.luck.chance(500) => self.pause(host),
            Some(Fault::People) => self.settle_conflict(host),
        }
    }

    fn pause(&mut self, host: usize) {
        if self.hosts[host].is_up() {
            let delay = self.luck.between(100, 5_000);
            for (delay, command) in [(0, Command::Pause), (delay, Command::Resume)] {
                self.later(host, delay, Step::Handle(Event::Command(command)));
            }
        }
    }

    /// The last device is removed, at rest: everybody has what it wrote, and accepts no more of it. Nobody talks to it again.
    ///
    /// What others had of it that was not known when it was removed is not simulated; nor is a removal where names fold, because it
    /// may be the only one with room for a name.
    pub(crate) fn remove_a_device(&mut self) {
        let last = self.hosts.len() - 1;
        let goes = self.plan.has(Fault::Removal) && !self.plan.has(Fault::Names);
        if last < 2 || self.removed.is_some() || !goes {
            return;
        }
        let device = self.hosts[last].device;
        let heads = self.hosts[0].visible.heads().unwrap_or_default();
        let accepted: Vec<_> = heads
            .into_iter()
            .filter(|(author, _)| author.device == device)
            .collect();
        let removed = Command::Removed { device, accepted };
        self.removed = Some(removed.clone());
        for host in 0..last {
            self.cut(host, last);
            self.network.strangers.insert(pair(host, last));
            if self.hosts[host].is_up() {
                let event = Event::Command(removed.clone());
                self.later(host, 0, Step::Handle(event));
            }
        }
    }

    /// The program ends at once; batches that were not flushed survive up to some point, and with the power goes what the
    /// disk had not made durable.
    pub fn crash(&mut self, number: usize) {
        if !self.hosts[number].is_up() {
            return;
        }
        for other in 0..self.hosts.len() {
            self.cut(number, other);
        }
        let power_cut = self.luck.chance(500);
        let survive = self.luck.below(self.hosts[number].pending.len() as u64 + 1);
        let host = &mut self.hosts[number];
        host.machine = None;
        host.life += 1;
        for batch in host.pending.drain(..).take(survive as usize) {
            host.durable.write(&batch);
        }
        host.pending.clear();
        host.visible = host.durable.clone();
        // What was being fetched is not whole, and goes.
        host.fetching.clear();
        host.links.clear();
        host.looks.clear();
        host.look = None;
        host.tick_at_ms = None;
        host.look_at_ms = None;
        host.problems.clear();
        host.halted = None;
        let running = host.applies.pop_front();
        host.applies.clear();
        if let Some(mut apply) = running.filter(|_| power_cut)
            && apply.user_writes == host.user_writes
        {
            let kept = self.luck.below(apply.before.len() as u64 + 1) as usize;
            if kept < apply.before.len() {
                let mount = host.disk.mount;
                (host.disk, host.staging) = apply.before.swap_remove(kept);
                host.disk.mount = mount;
            }
        }
    }

    fn network_trouble(&mut self, host: usize) {
        let other = self.luck.below(self.hosts.len() as u64) as usize;
        if other == host {
            // Off the network altogether.
            for other in 0..self.hosts.len() {
                self.network.partitioned.insert(pair(host, other));
                self.cut(host, other);
            }
        } else if self.luck.chance(500) {
            self.network.partitioned.insert(pair(host, other));
            self.cut(host, other);
        } else if let Some(pair) = self.luck.pick(&self.network.pairs()).copied() {
            self.cut(pair.0, pair.1);
        }
        if self.luck.chance(300) {
            self.network.partitioned.clear();
            for host in 0..self.hosts.len() {
                self.reach_out(host);
            }
        }
    }

    /// First a backup is taken; the next time, the home (not the folder) is what it was then.
    pub fn restore_home(&mut self, number: usize) {
        match self.hosts[number].backup.take() {
            None => self.hosts[number].backup = Some(self.hosts[number].durable.clone()),
            Some(backup) => {
                self.crash(number);
                self.ledger.brought_back();
                let host = &mut self.hosts[number];
                host.visible = backup.clone();
                host.durable = backup;
                self.later_any(number, 100, Step::Start);
            }
        }
    }

    fn lose_root(&mut self, number: usize) {
        let mount = match self.hosts[number].disk.mount {
            Mount::There if self.weather == Weather::Calm => return,
            Mount::There if self.luck.chance(500) => Mount::Missing,
            Mount::There => Mount::Unmarked,
            Mount::Missing | Mount::Unmarked => Mount::There,
        };
        self.hosts[number].disk.mount = mount;
        self.hosts[number].user_writes += 1;
        if self.hosts[number].is_up() {
            self.look_everywhere(number);
            if mount == Mount::There {
                self.later(number, 50, Step::Handle(Event::Command(Command::Retry)));
            }
        }
    }
}
