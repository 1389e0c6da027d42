//! Which run of the machine and of a file system this is.

use shoal_jail::Jail;

/// Names the time within which what was written can be read back although it is not on the disk: this start of the
/// machine, this mounting of the file system, this insertion of the disk. A disk that is pulled out takes what was
/// not written along, as a power cut does.
pub(super) fn current(stage: &Jail) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    match boot() {
        Some(boot) => hasher.update(boot.as_bytes()),
        // Unknown: every start counts as a new run, so that nothing is believed unseen.
        None => hasher.update(&random()),
    };
    for part in medium(stage) {
        hasher.update(&part.to_le_bytes());
    }
    let mut run = [0; 16];
    hasher.finalize_xof().fill(&mut run);
    run
}

fn boot() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn random() -> [u8; 16] {
    let mut random = [0; 16];
    // Without randomness it stays zero, which is only ever compared.
    let _ = getrandom::fill(&mut random);
    random
}

/// Device, mounting, and insertion of the disk; zeros for what the system does not tell.
///
/// A mounting has an identity that is never given again since Linux 6.8; before, the number of the mounting may be
/// given to the next one, and only the number of the insertion (Linux 5.15) tells a disk that was pulled out.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn medium(stage: &Jail) -> [u64; 3] {
    use rustix::fs::{AtFlags, StatxFlags, statx};
    const MNT_ID_UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);
    let Ok(folder) = stage.open_dir("") else {
        return [0; 3];
    };
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID | MNT_ID_UNIQUE;
    let Ok(stat) = statx(&folder, "", AtFlags::EMPTY_PATH, wanted) else {
        return [0; 3];
    };
    let (major, minor) = (stat.stx_dev_major, stat.stx_dev_minor);
    // A partition's folder is inside its disk's.
    let block = format!("/sys/dev/block/{major}:{minor}");
    let insertion = ["diskseq", "../diskseq"]
        .into_iter()
        .find_map(|name| std::fs::read_to_string(format!("{block}/{name}")).ok())
        .and_then(|text| text.trim().parse().ok());
    [
        u64::from(major) << 32 | u64::from(minor),
        stat.stx_mnt_id,
        insertion.unwrap_or(0),
    ]
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn medium(stage: &Jail) -> [u64; 3] {
    let device = stage.open_dir("").ok();
    let device = device.and_then(|folder| rustix::fs::fstat(folder).ok());
    [device.map_or(0, |stat| stat.st_dev as u64), 0, 0]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_run_stays_what_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let jail = Jail::open(dir.path()).unwrap();
        assert_eq!(boot().is_some(), cfg!(target_os = "linux"));
        assert_eq!(current(&jail) == current(&jail), boot().is_some());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn file_systems_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let here = medium(&Jail::open(dir.path()).unwrap());
        let proc = medium(&Jail::open(std::path::Path::new("/proc")).unwrap());
        assert_ne!(here[0], proc[0]);
        assert_ne!(here[1], proc[1]);
    }
}
