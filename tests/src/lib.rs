//! Runs the real `shoal` beside real torrent clients, and checks the project's habits.

#![allow(clippy::unwrap_used, missing_docs)]

pub mod tidy;
