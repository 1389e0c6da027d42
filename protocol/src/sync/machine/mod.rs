//! The machine itself.

use super::action::Action;
use super::applied::Features;
use super::event::{Event, Now};
use super::index::{Index, Read};
use crate::id::{DeviceId, FilesetId};

/// What does not change while a machine lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The fileset.
    pub fileset: FilesetId,
    /// This device.
    pub device: DeviceId,
    /// What the file system of the replica can keep.
    pub features: Features,
    /// A random number, new whenever a machine is made.
    pub nonce: u64,
}

/// Keeps one replica of one fileset. See the [module](super) for the contract with its driver.
#[derive(Debug)]
pub struct Machine {
    config: Config,
}

impl Machine {
    /// A machine that goes on from what the index holds. The driver then looks at everything, and tells of connected peers.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn new(config: Config, _index: &impl Index) -> Read<Self> {
        Ok(Self { config })
    }

    /// Takes an event in, and says what to do.
    ///
    /// # Errors
    /// When the index cannot be read. The machine must not be used any more then, and nothing of this call was asked for.
    pub fn handle(&mut self, _now: Now, _event: Event, _index: &impl Index) -> Read<Vec<Action>> {
        let _ = &self.config;
        Ok(Vec::new())
    }

    /// When [`Event::Tick`] is due, in milliseconds of [`Now::monotonic_ms`]; a time that has passed means at once.
    pub fn next_tick(&self) -> Option<u64> {
        None
    }
}
