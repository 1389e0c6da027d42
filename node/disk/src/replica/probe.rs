//! What the file system of a root can do, found by trying it in `.shoal/staging`.

use super::STAGING;
use super::root::RootProblem;
use shoal_jail::{Create, Existing, Jail, JailError};
use shoal_protocol::sync::{self, Case, Features, Forms};

/// Whether the file system has something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// It has.
    Yes,
    /// It has not.
    No,
}

/// Whether names that differ in case are two names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// They are two.
    Exact,
    /// They are one (vfat, exFAT, NTFS, APFS, ext4 with casefold).
    Folding,
}

/// What becomes of a name in composed Unicode form (NFC).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameForm {
    /// It is another name than its decomposed form, and listed as it was written.
    Kept,
    /// It is one name with its decomposed form, listed as it was written (APFS, ext4 with casefold).
    Joined,
    /// It is listed in another form than it was written (HFS+).
    Rewritten,
}

/// What the file system of a root can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Whether names that differ in case are two names.
    pub names: Names,
    /// What becomes of composed names.
    pub form: NameForm,
    /// The step of modification times in nanoseconds: 1 mostly, 2,000,000,000 on FAT.
    pub mtime_step_ns: u64,
    /// Symbolic links.
    pub symlinks: Support,
    /// Execute bits.
    pub exec: Support,
    /// Two names that change places at once (`RENAME_EXCHANGE`).
    pub exchange: Support,
}

impl Capabilities {
    /// What the machine wants to know.
    pub fn features(&self) -> Features {
        Features {
            mode_bits: match self.exec {
                Support::Yes => 0o777,
                Support::No => 0,
            },
            symlinks: self.symlinks == Support::Yes,
            names: sync::Names {
                case: match self.names {
                    Names::Exact => Case::Distinct,
                    Names::Folding => Case::Folded,
                },
                forms: match self.form {
                    NameForm::Kept => Forms::Distinct,
                    NameForm::Joined | NameForm::Rewritten => Forms::Folded,
                },
            },
        }
    }

    /// Whether two different names may be one file here.
    pub fn has_twins(&self) -> bool {
        self.names == Names::Folding || self.form != NameForm::Kept
    }
}

const LOWER: &str = "probe-a";
const UPPER: &str = "PROBE-A";
const COMPOSED: &str = "probe-\u{e9}";
const DECOMPOSED: &str = "probe-e\u{301}";
const OTHER: &str = "probe-b";
const LINK: &str = "probe-l";

/// Tries what cannot be asked. Leaves nothing.
pub(super) fn probe(jail: &Jail) -> Result<Capabilities, RootProblem> {
    let staging = jail.below(STAGING)?;
    clear(&staging)?;
    let found = attempt(&staging);
    clear(&staging)?;
    Ok(found?)
}

fn attempt(staging: &Jail) -> Result<Capabilities, JailError> {
    let make = |name: &str| staging.create_file(name, 0o600, Create::New).map(drop);
    make(LOWER)?;
    let names = match staging.metadata(UPPER) {
        Ok(_) => Names::Folding,
        Err(_) => Names::Exact,
    };
    let exec = match staging.set_mode(LOWER, 0o700) {
        Ok(()) if staging.metadata(LOWER)?.mode & 0o111 == 0o100 => Support::Yes,
        _ => Support::No,
    };
    let symlinks = match staging.symlink_as_it_is(LOWER, LINK) {
        Ok(()) => Support::Yes,
        Err(_) => Support::No,
    };
    let mtime_step_ns = mtime_step(staging)?;
    make(OTHER)?;
    let exchange = match staging.rename(LOWER, staging, OTHER, Existing::Exchange) {
        Ok(()) => Support::Yes,
        Err(_) => Support::No,
    };
    Ok(Capabilities {
        names,
        form: name_form(staging),
        mtime_step_ns,
        symlinks,
        exec,
        exchange,
    })
}

fn name_form(staging: &Jail) -> NameForm {
    // A file system that takes no such name changes none.
    if staging.create_file(COMPOSED, 0o600, Create::New).is_err() {
        return NameForm::Kept;
    }
    let listed = staging.read_dir("").unwrap_or_default();
    if !listed.iter().any(|entry| entry.name == COMPOSED) {
        return NameForm::Rewritten;
    }
    match staging.metadata(DECOMPOSED) {
        Ok(_) => NameForm::Joined,
        Err(_) => NameForm::Kept,
    }
}

/// Sets a time with digits in every place and looks which were kept.
fn mtime_step(staging: &Jail) -> Result<u64, JailError> {
    const ODD_NS: i64 = 1_600_000_001_111_111_111;
    const SECOND_NS: u64 = 1_000_000_000;
    staging.set_mtime(LOWER, ODD_NS)?;
    let kept = staging.metadata(LOWER)?.mtime_ns;
    let lost = kept.abs_diff(ODD_NS);
    let step = (0..=9)
        .map(|digits| 10_u64.pow(digits))
        .find(|step| lost < *step);
    Ok(step.unwrap_or(2 * SECOND_NS))
}

fn clear(staging: &Jail) -> Result<(), RootProblem> {
    for name in [LOWER, UPPER, COMPOSED, DECOMPOSED, OTHER, LINK] {
        match staging.remove_file(name) {
            Err(error) if !error.is_not_found() => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}
