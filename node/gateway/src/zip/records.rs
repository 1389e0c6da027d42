//! The records of a ZIP archive, byte by byte (PKWARE APPNOTE 6.3.10).
//!
//! Nothing is compressed. A file's checksum follows its bytes in a data descriptor, because it is
//! known only then; sizes are there in 64 bits where 32 do not hold them, and nowhere else, since
//! some programs read only the old form. Names are UTF-8, times are there in UTC (`UT`) and in the
//! DOS form, and permissions as Unix has them.

use super::layout::Sort;

const LOCAL: u32 = 0x0403_4b50;
const DESCRIPTOR: u32 = 0x0807_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const LOCATOR_64: u32 = 0x0706_4b50;

/// What stands in a field of 32 or 16 bits when the value is elsewhere.
const ELSEWHERE: u32 = u32::MAX;
const ELSEWHERE_16: u16 = u16::MAX;

const FLAG_DESCRIPTOR: u16 = 1 << 3;
const FLAG_UTF8: u16 = 1 << 11;
const VERSION: u16 = 20;
const VERSION_64: u16 = 45;
const MADE_ON_UNIX: u16 = 3 << 8;
const EXTRA_64: u16 = 1;
const EXTRA_TIME: u16 = 0x5455;

/// What an archive says of one entry.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// With `/` between parts; a folder's ends with one.
    pub(crate) name: String,
    pub(crate) sort: Sort,
    /// Bytes of content: a symlink's is its target.
    pub(crate) size: u64,
    pub(crate) mtime_s: i64,
    pub(crate) mode: u32,
}

impl Entry {
    /// Whether the checksum follows the content.
    pub(crate) fn has_descriptor(&self) -> bool {
        self.sort == Sort::File && self.size > 0
    }

    pub(crate) fn descriptor_len(&self) -> u64 {
        match (self.has_descriptor(), self.is_large()) {
            (false, _) => 0,
            (true, false) => 16,
            (true, true) => 24,
        }
    }

    /// What comes before the content. `crc` is left out where a descriptor has it.
    pub(crate) fn local(&self, crc: u32) -> Vec<u8> {
        let mut out = Record::new(64 + self.name.len());
        out.u32(LOCAL);
        out.u16(self.version(self.is_large()));
        self.shared(&mut out, if self.has_descriptor() { 0 } else { crc });
        let size = match (self.is_large(), self.has_descriptor()) {
            (true, _) => ELSEWHERE,
            (false, true) => 0,
            (false, false) => low(self.size),
        };
        out.u32(size);
        out.u32(size);
        out.u16(self.name.len() as u16);
        let mut extra = self.time_extra();
        if self.is_large() {
            extra.u16(EXTRA_64);
            extra.u16(16);
            extra.u64(0);
            extra.u64(0);
        }
        out.u16(extra.0.len() as u16);
        out.0.extend_from_slice(self.name.as_bytes());
        out.0.extend_from_slice(&extra.0);
        out.0
    }

    /// What comes after the content.
    pub(crate) fn descriptor(&self, crc: u32) -> Vec<u8> {
        let mut out = Record::new(24);
        out.u32(DESCRIPTOR);
        out.u32(crc);
        if self.is_large() {
            out.u64(self.size);
            out.u64(self.size);
        } else {
            out.u32(low(self.size));
            out.u32(low(self.size));
        }
        out.0
    }

    /// Its record in the directory at the end.
    pub(crate) fn central(&self, crc: u32, offset: u64) -> Vec<u8> {
        let far = offset >= u64::from(ELSEWHERE);
        let mut out = Record::new(96 + self.name.len());
        out.u32(CENTRAL);
        out.u16(MADE_ON_UNIX | VERSION_64);
        out.u16(self.version(self.is_large() || far));
        self.shared(&mut out, crc);
        out.u32(if self.is_large() {
            ELSEWHERE
        } else {
            low(self.size)
        });
        out.u32(if self.is_large() {
            ELSEWHERE
        } else {
            low(self.size)
        });
        out.u16(self.name.len() as u16);
        let mut extra = self.time_extra();
        if self.is_large() || far {
            extra.u16(EXTRA_64);
            extra.u16(if self.is_large() { 16 } else { 0 } + if far { 8 } else { 0 });
            if self.is_large() {
                extra.u64(self.size);
                extra.u64(self.size);
            }
            if far {
                extra.u64(offset);
            }
        }
        out.u16(extra.0.len() as u16);
        out.u16(0); // comment
        out.u16(0); // disk
        out.u16(0); // internal attributes
        out.u32(self.attributes());
        out.u32(if far { ELSEWHERE } else { low(offset) });
        out.0.extend_from_slice(self.name.as_bytes());
        out.0.extend_from_slice(&extra.0);
        out.0
    }

    fn is_large(&self) -> bool {
        self.size >= u64::from(ELSEWHERE)
    }

    fn version(&self, wide: bool) -> u16 {
        if wide { VERSION_64 } else { VERSION }
    }

    /// What both headers have in common: flags, method, time, checksum.
    fn shared(&self, out: &mut Record, crc: u32) {
        let descriptor = if self.has_descriptor() {
            FLAG_DESCRIPTOR
        } else {
            0
        };
        out.u16(FLAG_UTF8 | descriptor);
        out.u16(0); // stored
        let (date, time) = dos_time(self.mtime_s);
        out.u16(time);
        out.u16(date);
        out.u32(crc);
    }

    /// The time in seconds since 1970, where 32 bits hold it.
    fn time_extra(&self) -> Record {
        let mut extra = Record::new(9);
        if let Ok(mtime_s) = i32::try_from(self.mtime_s) {
            extra.u16(EXTRA_TIME);
            extra.u16(5);
            extra.0.push(1);
            extra.0.extend_from_slice(&mtime_s.to_le_bytes());
        }
        extra
    }

    fn attributes(&self) -> u32 {
        let (kind, dos) = match self.sort {
            Sort::File => (0o100_000, 0),
            Sort::Folder => (0o040_000, 0x10),
            Sort::Symlink => (0o120_000, 0),
        };
        ((kind | (self.mode & 0o777)) << 16) | dos
    }
}

/// What ends an archive, whose directory lies at `at..end` and has `entries`.
pub(crate) fn end_records(entries: u64, at: u64, end: u64) -> Vec<u8> {
    let mut out = Record::new(98);
    let len = end.saturating_sub(at);
    let wide = entries >= u64::from(ELSEWHERE_16)
        || len >= u64::from(ELSEWHERE)
        || at >= u64::from(ELSEWHERE);
    if wide {
        out.u32(END_64);
        out.u64(44);
        out.u16(MADE_ON_UNIX | VERSION_64);
        out.u16(VERSION_64);
        out.u32(0);
        out.u32(0);
        out.u64(entries);
        out.u64(entries);
        out.u64(len);
        out.u64(at);
        out.u32(LOCATOR_64);
        out.u32(0);
        out.u64(end);
        out.u32(1);
    }
    let count = u16::try_from(entries).unwrap_or(ELSEWHERE_16);
    out.u32(END);
    out.u16(0);
    out.u16(0);
    out.u16(count);
    out.u16(count);
    out.u32(low(len));
    out.u32(low(at));
    out.u16(0);
    out.0
}

struct Record(Vec<u8>);

impl Record {
    fn new(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    fn u16(&mut self, value: u16) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }
}

fn low(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(ELSEWHERE)
}

/// Date and time as DOS wrote them, in UTC, within the years that it can write.
fn dos_time(unix_s: i64) -> (u16, u16) {
    const FIRST_S: i64 = 315_532_800; // 1980-01-01
    const LAST_S: i64 = 4_354_819_198; // 2107-12-31 23:59:58
    let unix_s = unix_s.clamp(FIRST_S, LAST_S);
    let (days, second) = (unix_s.div_euclid(86_400), unix_s.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let date = ((year - 1980) << 9) | (month << 5) | day;
    let time = ((second / 3600) << 11) | ((second / 60 % 60) << 5) | (second % 60 / 2);
    (date as u16, time as u16)
}

/// Year, month and day of a number of days since 1970, by Howard Hinnant's `civil_from_days`.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dos_times_are_utc_and_stay_in_their_years() {
        for (unix_s, date, time) in [
            (0, (1980, 1, 1), (0, 0, 0)),
            (951_782_400, (2000, 2, 29), (0, 0, 0)),
            (1_700_000_000, (2023, 11, 14), (22, 13, 20)),
            (i64::MAX, (2107, 12, 31), (23, 59, 58)),
        ] {
            let (year, month, day) = date;
            let (hour, minute, second) = time;
            let expected = (
                ((year - 1980) << 9) | (month << 5) | day,
                (hour << 11) | (minute << 5) | (second / 2),
            );
            assert_eq!(dos_time(unix_s), expected, "{unix_s}");
        }
    }
}
