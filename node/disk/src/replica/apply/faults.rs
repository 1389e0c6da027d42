//! Where tests make the system fail or the process die: right before each step that changes the disk.

use std::io;

/// A step of [`crate::replica::Replica::apply`], about to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Step {
    /// A file, folder or link is made in staging.
    Stage,
    /// Bytes are written or copied into it.
    Fill,
    /// It gets its mode and times.
    Dress,
    /// What was staged is made durable.
    SyncStaged,
    /// Something gets its name, where nothing is.
    Name,
    /// Something changes places with what has its name.
    Exchange,
    /// What was displaced is looked at.
    LookDisplaced,
    /// A file is moved within the tree.
    Move,
    /// A file goes from the tree to staging, to be removed.
    Displace,
    /// A folder is made.
    MakeFolder,
    /// An empty folder is removed.
    RemoveFolder,
    /// Mode or times of a file in its place are set.
    SetAttributes,
    /// The names in the folders are made durable.
    SyncParents,
    /// What was displaced is removed for good.
    Unlink,
}

/// Decides whether a step fails. `()` never does.
pub trait Faults: Sync {
    /// Called before a step; an error is taken for the system's answer to it.
    ///
    /// # Errors
    /// What the step shall fail with.
    fn before(&self, step: Step) -> io::Result<()>;
}

impl Faults for () {
    fn before(&self, _step: Step) -> io::Result<()> {
        Ok(())
    }
}
