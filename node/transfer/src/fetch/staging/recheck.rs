//! Reading again what an earlier run wrote, where its page cache may be lost: what no checkpoint covers is believed
//! only when its bytes are what the journal says.

use super::super::error::GetError;
use super::super::imprint::Imprint;
use super::super::layout::{FileSpec, Layout};
use super::super::marks::{Marks, Proof};
use super::files::Files;
use super::journal::{Record, Replayed};
use shoal_protocol::id::ContentHash;
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::FileExt;
use tokio_util::sync::CancellationToken;

/// What is needed to read it again.
pub(super) struct Recheck<'a> {
    pub(super) files: &'a Files,
    pub(super) layout: &'a Layout,
    pub(super) marks: &'a Marks,
    pub(super) cancel: &'a CancellationToken,
    /// Called before the first byte is read.
    pub(super) begun: &'a dyn Fn(),
}

/// What a journal says of a file.
#[derive(Debug, Clone, Copy)]
struct Claim {
    start: u64,
    end: u64,
    proof: Proof,
    standing: Standing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// A checkpoint covers it.
    Durable,
    /// It has to have this imprint.
    Imprinted(Imprint),
    /// The file has to have the hash that the manifest says.
    Whole,
}

impl Recheck<'_> {
    /// Marks what is there.
    ///
    /// # Errors
    /// `Cancelled`; `Io` when the journal's files cannot be opened.
    pub(super) fn run(&self, read: &Replayed) -> Result<(), GetError> {
        let claims = self.claims(read);
        let unsure = |claim: &Claim| claim.standing != Standing::Durable;
        if claims.values().flatten().any(unsure) {
            (self.begun)();
        }
        for (file, claims) in claims {
            let Some(spec) = self.layout.spec(file) else {
                continue;
            };
            // A file that is gone or cut says nothing.
            if spec.size > 0 && self.files.size(spec) == Some(spec.size) {
                self.file(file, spec, &claims)?;
            }
        }
        Ok(())
    }

    fn claims(&self, read: &Replayed) -> BTreeMap<u32, Vec<Claim>> {
        let mut claims: BTreeMap<u32, Vec<Claim>> = BTreeMap::new();
        for (at, record) in read.records.iter().enumerate() {
            let standing = |other| match at < read.durable {
                true => Standing::Durable,
                false => other,
            };
            match record {
                Record::Range {
                    file,
                    start,
                    end,
                    proof,
                    imprint,
                } => claims.entry(*file).or_default().push(Claim {
                    start: *start,
                    end: *end,
                    proof: *proof,
                    standing: standing(imprint.map_or(Standing::Whole, Standing::Imprinted)),
                }),
                Record::Whole(runs) => {
                    for file in runs.iter().flat_map(|run| self.layout.run(*run)) {
                        claims.entry(file).or_default().push(Claim {
                            start: 0,
                            end: self.layout.spec(file).map_or(0, |spec| spec.size),
                            proof: Proof::Content,
                            standing: standing(Standing::Whole),
                        });
                    }
                }
                Record::Forget { file } => {
                    claims.remove(file);
                }
                Record::Checkpoint { .. } | Record::Tainted => {}
            }
        }
        claims
    }

    fn file(&self, file: u32, spec: &FileSpec, claims: &[Claim]) -> Result<(), GetError> {
        if claims.iter().any(|claim| claim.standing == Standing::Whole)
            && spec.content.is_some()
            && self.hash(file, spec)? == spec.content
        {
            self.marks.add(file, 0, spec.size, Proof::Content, None);
            return Ok(());
        }
        for claim in claims {
            let (start, end) = (claim.start, claim.end.min(spec.size));
            let sound = start < end
                && match claim.standing {
                    Standing::Durable => true,
                    Standing::Imprinted(imprint) => {
                        self.imprint(file, spec, (start, end))? == Some(imprint)
                    }
                    Standing::Whole => false,
                };
            if sound {
                self.marks.add(file, start, end, claim.proof, None);
                if (start, end, claim.proof) == (0, spec.size, Proof::Content) {
                    self.marks.proven(file);
                }
            }
        }
        Ok(())
    }

    fn hash(&self, file: u32, spec: &FileSpec) -> Result<Option<ContentHash>, GetError> {
        let handle = self.files.open(file, spec)?;
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; spec.size.min(1 << 20) as usize];
        let mut at = 0;
        while at < spec.size {
            let len = (spec.size - at).min(buffer.len() as u64);
            let part = buffer.get_mut(..len as usize).unwrap_or_default();
            if self.read(&handle, at, part)?.is_err() {
                return Ok(None);
            }
            hasher.update(part);
            at += len;
        }
        Ok(Some(ContentHash(*hasher.finalize().as_bytes())))
    }

    fn imprint(
        &self,
        file: u32,
        spec: &FileSpec,
        range: (u64, u64),
    ) -> Result<Option<Imprint>, GetError> {
        let handle = self.files.open(file, spec)?;
        let mut ended = None;
        let read = |at: u64, into: &mut [u8]| match self.read(&handle, at, into) {
            Ok(read) => read,
            Err(error) => {
                ended = Some(error);
                Err(io::ErrorKind::Interrupted.into())
            }
        };
        let imprint = Imprint::of(spec.size, range, read);
        ended.map_or(Ok(imprint.ok()), Err)
    }

    /// A disk that cannot read a range has not got it; it is written anew.
    fn read(
        &self,
        handle: &std::fs::File,
        at: u64,
        into: &mut [u8],
    ) -> Result<io::Result<()>, GetError> {
        match self.cancel.is_cancelled() {
            true => Err(GetError::Cancelled),
            false => Ok(handle.read_exact_at(into, at)),
        }
    }
}
