//! Who is talked to: one connection to every member that can be reached.

use super::Filesets;
use super::links::{Side, talk};
use crate::group::MemberDoor;
use futures::future::BoxFuture;
use iroh::endpoint::Connection;
use shoal_protocol::id::DeviceId;
use shoal_transfer::carry::ALPN;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the device with the greater key leaves it to the other one to call: two that call at once undo each other's work.
const PATIENCE: Duration = Duration::from_secs(3);
/// Waits before a member that hung up is called again; the last one goes on.
const RETRY_AFTER: [Duration; 5] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(10),
    Duration::from_secs(30),
];
/// A conversation that lasted so long was a good one.
const GOOD: Duration = Duration::from_secs(10);

/// Takes connections of members in.
pub(super) struct Door(pub(super) Arc<Filesets>);

impl MemberDoor for Door {
    fn open(&self, device: DeviceId, connection: Connection) -> BoxFuture<'static, ()> {
        Box::pin(talk(self.0.clone(), connection, device, Side::Called))
    }
}

#[derive(Default)]
struct Calls {
    /// Since when a member is there and not talked to.
    alone_since: HashMap<DeviceId, Instant>,
    failures: HashMap<DeviceId, usize>,
    not_before: HashMap<DeviceId, Instant>,
    calling: BTreeSet<DeviceId>,
}

/// Calls members until the node ends.
pub(super) async fn meet_members(filesets: Arc<Filesets>) {
    let mut changes = filesets.members.changes();
    let mut links = filesets.links_changed.subscribe();
    let (hung_up, mut ended) = tokio::sync::mpsc::unbounded_channel();
    let mut calls = Calls::default();
    loop {
        changes.mark_unchanged();
        links.mark_unchanged();
        let wait = calls.call_those_alone(&filesets, &hung_up);
        tokio::select! {
            _ = changes.changed() => filesets.group_changed(),
            _ = links.changed() => {}
            Some((device, lasted)) = ended.recv() => calls.ended(device, lasted),
            () = tokio::time::sleep(wait) => {}
            () = filesets.stopping().cancelled() => return,
        }
    }
}

impl Calls {
    /// Says after how long it is time again.
    fn call_those_alone(
        &mut self,
        filesets: &Arc<Filesets>,
        hung_up: &tokio::sync::mpsc::UnboundedSender<(DeviceId, Duration)>,
    ) -> Duration {
        let now = Instant::now();
        let own = filesets.members.own();
        let members = filesets.members.list();
        let there: BTreeSet<DeviceId> = members
            .iter()
            .filter(|member| member.connected && !filesets.is_linked(&member.device))
            .map(|member| member.device)
            .collect();
        self.alone_since.retain(|device, _| there.contains(device));
        let mut wait = Duration::from_secs(60);
        for device in there {
            let since = *self.alone_since.entry(device).or_insert(now);
            let polite = if own < device {
                since
            } else {
                since + PATIENCE
            };
            let at = self
                .not_before
                .get(&device)
                .map_or(polite, |later| polite.max(*later));
            if at > now {
                wait = wait.min(at - now);
                continue;
            }
            if !self.calling.insert(device) {
                continue;
            }
            let (filesets, hung_up) = (filesets.clone(), hung_up.clone());
            tokio::spawn(async move {
                let begun = Instant::now();
                match filesets.members.connect(device, ALPN).await {
                    Ok(connection) => talk(filesets, connection, device, Side::Caller).await,
                    Err(error) => tracing::debug!(%device, %error, "a member cannot be called"),
                }
                let _ = hung_up.send((device, begun.elapsed()));
            });
        }
        wait
    }

    fn ended(&mut self, device: DeviceId, lasted: Duration) {
        self.calling.remove(&device);
        let failures = self.failures.entry(device).or_default();
        *failures = if lasted < GOOD { *failures + 1 } else { 0 };
        let after = RETRY_AFTER[(*failures).min(RETRY_AFTER.len() - 1)];
        self.not_before.insert(device, Instant::now() + after);
    }
}
