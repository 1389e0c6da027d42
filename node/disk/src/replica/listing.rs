//! The names of one folder, in path order, in one piece of memory.

use rustix::fd::AsFd;
use rustix::fs::Dir;
use rustix::io::Errno;
use std::ffi::CStr;

/// The names of a folder, sorted by their bytes, given out one by one. Costs the bytes of the names and
/// 8 bytes each, so that a folder of a million files stays small.
#[derive(Debug)]
pub(super) struct Names {
    /// The names, each with its NUL.
    bytes: Vec<u8>,
    spans: Vec<Span>,
    next: usize,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    /// With the NUL.
    len: u16,
}

impl Names {
    /// Lists a folder.
    pub(super) fn list(folder: impl AsFd) -> Result<Self, Errno> {
        let mut bytes: Vec<u8> = Vec::new();
        let mut spans = Vec::new();
        for entry in Dir::read_from(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes_with_nul();
            if matches!(name, b".\0" | b"..\0") {
                continue;
            }
            spans.push(Span {
                start: u32::try_from(bytes.len()).map_err(|_| Errno::OVERFLOW)?,
                len: u16::try_from(name.len()).map_err(|_| Errno::NAMETOOLONG)?,
            });
            bytes.extend_from_slice(name);
        }
        let name = |span: &Span| -> &[u8] {
            let start = span.start as usize;
            bytes
                .get(start..start + usize::from(span.len))
                .unwrap_or_default()
        };
        spans.sort_unstable_by(|a, b| name(a).cmp(name(b)));
        Ok(Self {
            bytes,
            spans,
            next: 0,
        })
    }

    /// The next name.
    pub(super) fn next(&mut self) -> Option<&CStr> {
        let span = *self.spans.get(self.next)?;
        self.next += 1;
        let start = span.start as usize;
        let bytes = self.bytes.get(start..start + usize::from(span.len))?;
        CStr::from_bytes_with_nul(bytes).ok()
    }

    /// Whether all were given out.
    pub(super) fn is_empty(&self) -> bool {
        self.next >= self.spans.len()
    }
}
