//! Devices that people pair: a home, and the node that runs on it.

use serde_json::Value;

use crate::{Deadline, Home, Outcome, Running, poll};

/// A home whose node runs, and what it is called.
pub struct Device {
    pub home: Home,
    pub node: Option<Running>,
    pub name: String,
}

impl Device {
    /// A new home with a node on loopback.
    pub fn new() -> Device {
        Device::on(Home::new().unwrap())
    }

    /// The node of a home that is there.
    pub fn on(home: Home) -> Device {
        let node = Some(home.up().unwrap());
        let own = home.json(&["devices"]).unwrap();
        let name = own["name"].as_str().unwrap().to_owned();
        Device { home, node, name }
    }

    /// Its key, hexadecimal.
    pub fn key(&self) -> String {
        let own = self.home.json(&["devices"]).unwrap();
        assert_eq!(own["state"], "this");
        own["device"].as_str().unwrap().to_owned()
    }

    /// `shoal pair --json EXTRA...`, up to its invite.
    pub fn invite(&self, extra: &[&str]) -> (Running, Value) {
        let args = [&["pair", "--json"], extra].concat();
        let mut running = self.home.start(&args).unwrap();
        let invite = running.event("invite", Deadline::secs(20)).unwrap();
        (running, invite)
    }

    /// `shoal pair INVITE --yes --json EXTRA...`, to its end.
    pub fn bring(&self, invite: &str, extra: &[&str]) -> Outcome {
        let args = [&["pair", "--json", "--yes", invite], extra].concat();
        self.home.run(&args).unwrap()
    }

    /// Lets `guest` in, by a script.
    pub fn pair_with(&self, guest: &Device) {
        let (mut inviting, invite) = self.invite(&["--yes"]);
        let joined = guest.bring(invite["invite"].as_str().unwrap(), &[]);
        let lines = joined.success().unwrap().lines().unwrap();
        assert_eq!(lines.last().unwrap()["type"], "paired", "{lines:?}");
        let paired = inviting.event("paired", Deadline::secs(20)).unwrap();
        assert_eq!(paired["device"], guest.key());
        let ended = inviting.outcome(Deadline::secs(20)).unwrap();
        assert_eq!(ended.code, Some(0), "{ended:#?}");
    }

    /// Keys and states of the other devices, sorted.
    pub fn others(&self) -> Vec<(String, String)> {
        let lines = self.home.json_lines(&["devices"]).unwrap();
        let others = lines.iter().filter(|line| line["state"] != "this");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mut others: Vec<_> = others
            .map(|line| (text(&line["device"]), text(&line["state"])))
            .collect();
        others.sort();
        others
    }

    /// Waits until the other devices are as `wanted`.
    pub fn waits_for(&self, what: &str, wanted: impl Fn(&[(String, String)]) -> bool) {
        poll(Deadline::secs(20), what, || {
            Ok(wanted(&self.others()).then_some(()))
        })
        .unwrap();
    }

    /// Waits until exactly these are members and connected.
    pub fn is_connected_to(&self, others: &[&Device]) {
        let mut keys: Vec<_> = others.iter().map(|it| it.key()).collect();
        keys.sort();
        self.waits_for("the other devices", |found| {
            found.iter().map(|(key, _)| key).eq(&keys)
                && found.iter().all(|(_, state)| state == "connected")
        });
    }

    /// Ends its node, as a person does.
    pub fn stop(&mut self) {
        self.home.run(&["down"]).unwrap().success().unwrap();
        let mut node = self.node.take().unwrap();
        node.outcome(Deadline::secs(20)).unwrap().success().unwrap();
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.node.take().unwrap().kill().unwrap();
    }

    /// Starts its node again.
    pub fn start(&mut self) {
        self.node = Some(self.home.up().unwrap());
    }
}

impl Default for Device {
    fn default() -> Self {
        Device::new()
    }
}
