//! All of a share as one ZIP archive, made while it is sent.

mod archive;
mod layout;
mod records;

pub(crate) use archive::{Archives, ZipFile, ZipSeat};
