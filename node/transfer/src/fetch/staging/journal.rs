//! The journal of a staging folder: which ranges of which files are there.
//!
//! A file of frames: length (u16 LE), payload, check (first four bytes of a keyed BLAKE3 of position
//! and payload). The first frame is the header. Frames are appended after the bytes they speak of
//! were written, so that they are true after a kill at any moment; what is trusted after a power cut
//! is what stands before the last checkpoint, and whatever still has its imprint. The first frame that does
//! not check ends the journal.

use super::super::imprint::Imprint;
use super::super::marks::Proof;
use shoal_protocol::codec::{DecodeError, Reader, Writer};
use shoal_protocol::id::TakerToken;

const VERSION: u8 = 1;
const CHECK_CONTEXT: &str = "shoal 2026 get journal v1";
const FRAME_MAX_BYTES: usize = u16::MAX as usize;

/// What a staging folder is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Snapshot hash, or infohash and zeros: what the files' indices belong to.
    pub(crate) layout: [u8; 32],
    /// By which the taker counts once, over restarts too.
    pub(crate) taker: TakerToken,
    /// The run of the machine and of its file system that wrote what is not behind a checkpoint.
    pub(crate) run: [u8; 16],
}

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record {
    /// Bytes of a file are there.
    Range {
        file: u32,
        start: u64,
        end: u64,
        proof: Proof,
        /// By which the bytes are known again; none where only all of the file can be.
        imprint: Option<Imprint>,
    },
    /// Whole small files are there: first index and how many.
    Whole(Vec<(u32, u32)>),
    /// What stands before this offset of the journal is on the disk.
    Checkpoint { upto: u64 },
    /// Nothing of a file is there any more.
    Forget { file: u32 },
    /// From here on bytes that nobody checked may be anywhere: holes have to be punched.
    Tainted,
}

/// What a journal says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Replayed {
    /// The header.
    pub(crate) header: Header,
    /// Records that are sound, in order.
    pub(crate) records: Vec<Record>,
    /// How many of them the last checkpoint covers.
    pub(crate) durable: usize,
    /// Where the sound part ends and writing goes on.
    pub(crate) end: u64,
}

/// Reads a journal as far as it is sound. `None` when not even its header is.
pub(crate) fn replay(bytes: &[u8]) -> Option<Replayed> {
    let (payload, mut at) = frame_at(bytes, 0)?;
    let header = Header::decode(payload).ok()?;
    let (mut records, mut ends, mut upto) = (Vec::new(), Vec::new(), 0);
    while let Some((payload, next)) = frame_at(bytes, at) {
        // A kind from a newer version ends what can be trusted, like damage does.
        let Ok(record) = Record::decode(payload) else {
            break;
        };
        if let Record::Checkpoint { upto: sound } = record {
            upto = upto.max(sound);
        }
        records.push(record);
        ends.push(next as u64);
        at = next;
    }
    let durable = ends.partition_point(|end| *end <= upto);
    Some(Replayed {
        header,
        records,
        durable,
        end: at as u64,
    })
}

/// Appends the frame of a record; `at` is where `out` begins in the file.
pub(crate) fn append_record(out: &mut Vec<u8>, at: u64, record: &Record) {
    append_frame(out, at, &record.encode());
}

/// Appends the header's frame.
pub(crate) fn append_header(out: &mut Vec<u8>, header: &Header) {
    append_frame(out, 0, &header.encode());
}

fn append_frame(out: &mut Vec<u8>, at: u64, payload: &[u8]) {
    let position = at + out.len() as u64;
    // `Record::whole` keeps payloads below the limit; others are a few bytes.
    let len = u16::try_from(payload.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(payload);
    out.extend_from_slice(&check(position, payload));
}

fn frame_at(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let (len, rest) = bytes.get(at..)?.split_first_chunk::<2>()?;
    let len = u16::from_le_bytes(*len) as usize;
    let (payload, rest) = rest.split_at_checked(len)?;
    let (sum, _) = rest.split_first_chunk::<4>()?;
    (*sum == check(at as u64, payload)).then_some((payload, at + 2 + len + 4))
}

fn check(position: u64, payload: &[u8]) -> [u8; 4] {
    let mut hasher = blake3::Hasher::new_derive_key(CHECK_CONTEXT);
    hasher.update(&position.to_le_bytes());
    hasher.update(payload);
    let [a, b, c, d, ..] = *hasher.finalize().as_bytes();
    [a, b, c, d]
}

impl Header {
    fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u8(VERSION);
        w.raw(&self.layout);
        w.raw(self.taker.as_bytes());
        w.raw(&self.run);
        w.finish()
    }

    fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(payload);
        if r.u8()? != VERSION {
            return Err(DecodeError::Newer);
        }
        let header = Self {
            layout: r.array()?,
            taker: TakerToken(r.array()?),
            run: r.array()?,
        };
        r.finish()?;
        Ok(header)
    }
}

impl Record {
    /// Records for whole files, from indices in any order.
    pub(crate) fn whole(mut files: Vec<u32>) -> Vec<Self> {
        const RUNS_MAX: usize = FRAME_MAX_BYTES / 16;
        files.sort_unstable();
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for file in files {
            match runs.last_mut() {
                Some((first, count)) if first.checked_add(*count) == Some(file) => *count += 1,
                Some((first, count)) if file < *first + *count => {}
                _ => runs.push((file, 1)),
            }
        }
        runs.chunks(RUNS_MAX)
            .map(|runs| Self::Whole(runs.to_vec()))
            .collect()
    }

    fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        match self {
            Self::Range {
                file,
                start,
                end,
                proof,
                imprint,
            } => {
                w.u8(match (proof, imprint) {
                    (Proof::Content, None) => 1,
                    (Proof::Piece, None) => 2,
                    (Proof::Content, Some(_)) => 7,
                    (Proof::Piece, Some(_)) => 8,
                });
                w.uint(u64::from(*file));
                w.uint(*start);
                w.uint(end.saturating_sub(*start));
                if let Some(Imprint(imprint)) = imprint {
                    w.raw(imprint);
                }
            }
            Self::Whole(runs) => {
                w.u8(3);
                w.uint(runs.len() as u64);
                for (first, count) in runs {
                    w.uint(u64::from(*first));
                    w.uint(u64::from(*count));
                }
            }
            Self::Checkpoint { upto } => {
                w.u8(4);
                w.uint(*upto);
            }
            Self::Forget { file } => {
                w.u8(5);
                w.uint(u64::from(*file));
            }
            Self::Tainted => w.u8(6),
        }
        w.finish()
    }

    fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        const OVERFLOW: DecodeError = DecodeError::Invalid("a number is too large");
        let mut r = Reader::new(payload);
        let index = |r: &mut Reader<'_>| u32::try_from(r.uint()?).map_err(|_| OVERFLOW);
        let record = match r.u8()? {
            kind @ (1 | 2 | 7 | 8) => {
                let (file, start) = (index(&mut r)?, r.uint()?);
                let end = start.checked_add(r.uint()?).ok_or(OVERFLOW)?;
                let proof = match kind {
                    1 | 7 => Proof::Content,
                    _ => Proof::Piece,
                };
                let imprint = match kind {
                    1 | 2 => None,
                    _ => Some(Imprint(r.array()?)),
                };
                Self::Range {
                    file,
                    start,
                    end,
                    proof,
                    imprint,
                }
            }
            3 => {
                let count = r.count("runs of files", FRAME_MAX_BYTES)?;
                let runs = (0..count).map(|_| Ok((index(&mut r)?, index(&mut r)?)));
                Self::Whole(runs.collect::<Result<_, DecodeError>>()?)
            }
            4 => Self::Checkpoint { upto: r.uint()? },
            5 => Self::Forget {
                file: index(&mut r)?,
            },
            6 => Self::Tainted,
            _ => return Err(DecodeError::Newer),
        };
        r.finish()?;
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn header() -> Header {
        Header {
            layout: [1; 32],
            taker: TakerToken([2; 16]),
            run: [3; 16],
        }
    }

    fn record() -> impl Strategy<Value = Record> {
        let proof = prop_oneof![Just(Proof::Content), Just(Proof::Piece)];
        prop_oneof![
            (
                any::<u32>(),
                any::<u32>(),
                any::<u32>(),
                proof,
                any::<Option<[u8; 16]>>()
            )
                .prop_map(|(file, start, len, proof, imprint)| Record::Range {
                    file,
                    start: u64::from(start),
                    end: u64::from(start) + u64::from(len),
                    proof,
                    imprint: imprint.map(Imprint),
                }),
            prop::collection::vec((any::<u32>(), any::<u32>()), 0..20).prop_map(Record::Whole),
            (0u64..400).prop_map(|upto| Record::Checkpoint { upto }),
            any::<u32>().prop_map(|file| Record::Forget { file }),
            Just(Record::Tainted),
        ]
    }

    fn written(records: &[Record]) -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        append_header(&mut bytes, &header());
        ends.push(bytes.len());
        for record in records {
            let mut frame = Vec::new();
            append_record(&mut frame, bytes.len() as u64, record);
            bytes.extend(frame);
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    proptest! {
        #[test]
        fn a_cut_journal_says_what_stands_before_the_cut(records in prop::collection::vec(record(), 0..12), cut: prop::sample::Index, mut junk in prop::collection::vec(any::<u8>(), 0..40)) {
            let (bytes, ends) = written(&records);
            let cut = cut.index(bytes.len() + 1);
            // Or the junk might be just the byte that a frame lacks.
            if let (Some(first), Some(lacking)) = (junk.first_mut(), bytes.get(cut))
                && first == lacking
            {
                *first = !*first;
            }
            let mut torn = bytes[..cut].to_vec();
            torn.extend(&junk);
            let whole = ends.iter().take_while(|end| **end <= cut).count();
            let read = replay(&torn);
            // Junk makes a sound frame once in four billion; what it cannot do is change what stands before it.
            match whole.checked_sub(1) {
                None => prop_assert!(read.is_none()),
                Some(whole) => {
                    let read = read.unwrap();
                    prop_assert_eq!(read.header, header());
                    prop_assert_eq!(&read.records, &records[..whole]);
                    prop_assert_eq!(read.end as usize, ends[whole]);
                    let upto = records[..whole].iter().map(|r| if let Record::Checkpoint { upto } = r { *upto } else { 0 });
                    let upto = upto.max().unwrap_or(0) as usize;
                    prop_assert_eq!(read.durable, ends[1..=whole].iter().filter(|end| **end <= upto).count());
                }
            }
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let _ = replay(&bytes);
        }

        #[test]
        fn runs_say_each_file_once(files in prop::collection::btree_set(0u32..200, 0..100)) {
            let mut shuffled: Vec<u32> = files.iter().rev().copied().collect();
            shuffled.extend(files.iter().take(3));
            let mut back = Vec::new();
            for record in Record::whole(shuffled) {
                let Record::Whole(runs) = record else { panic!("not whole") };
                back.extend(runs.iter().flat_map(|(first, count)| *first..first + count));
            }
            prop_assert_eq!(back, files.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_frame_from_elsewhere_in_the_file_is_not_taken() {
        let (bytes, ends) = written(&[Record::Tainted, Record::Checkpoint { upto: 9 }]);
        let mut moved = bytes[..ends[0]].to_vec();
        moved.extend(&bytes[ends[1]..]);
        assert_eq!(replay(&moved).unwrap().records, []);
    }
}
