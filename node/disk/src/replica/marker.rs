//! `.shoal/marker`: what says that a folder is the root of a fileset, and not the bare mount point under it.

use super::OWN_FOLDER;
use super::root::RootProblem;
use shoal_jail::{Create, Existing, Jail, JailError};
use shoal_protocol::id::FilesetId;
use std::io::{self, Read, Write};

const MARKER: &str = ".shoal/marker";
const NEW_MARKER: &str = ".shoal/marker.new";
const HEAD: &str = "shoal fileset 1\n";
/// Bytes that are read of a marker: more than any has.
const MAX_BYTES: u64 = 256;

/// The fileset that a marker names; none where there is no marker.
pub(super) fn read(jail: &Jail) -> Result<Option<FilesetId>, RootProblem> {
    let file = match jail.open_read(MARKER) {
        Ok(file) => file,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut text = String::new();
    file.take(MAX_BYTES)
        .read_to_string(&mut text)
        .map_err(|source| match source.kind() {
            io::ErrorKind::InvalidData => RootProblem::MarkerDamaged,
            _ => RootProblem::Io(source),
        })?;
    let id = text.strip_prefix(HEAD).map(str::trim_end);
    let id = id.and_then(|hex| FilesetId::from_hex(hex).ok());
    id.map(Some).ok_or(RootProblem::MarkerDamaged)
}

/// Writes a marker so that it survives a power cut.
pub(super) fn write(jail: &Jail, fileset: &FilesetId) -> Result<(), RootProblem> {
    let written = || -> Result<(), JailError> {
        let mut file = jail.create_file(NEW_MARKER, 0o600, Create::OrOpen)?;
        let failed = |source: io::Error| JailError {
            path: jail.path().join(NEW_MARKER),
            kind: source.into(),
        };
        file.set_len(0).map_err(failed)?;
        let hex = fileset.to_hex();
        writeln!(file, "{HEAD}{hex}").map_err(failed)?;
        file.sync_all().map_err(failed)?;
        jail.rename(NEW_MARKER, jail, MARKER, Existing::Replace)?;
        jail.sync_dir(OWN_FOLDER)?;
        jail.sync_dir("")
    };
    Ok(written()?)
}

/// Takes a marker away; one that is not there is no error.
pub(super) fn remove(jail: &Jail) -> Result<(), RootProblem> {
    match jail.remove_file(MARKER) {
        Err(error) if !error.is_not_found() => Err(error.into()),
        _ => Ok(()),
    }
}
