//! How bytes travel: serving the user's files in place, and fetching a link by every way at once.

pub mod carry;
pub mod fetch;
pub mod serve;
