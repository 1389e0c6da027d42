//! tracker-lite
