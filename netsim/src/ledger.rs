//! What the users did, kept apart from everything that the machine knows: the checkers compare against it.
//!
//! Everything that users write consists of *tokens*, each typed once. A token is *covered* once a user removed it from some
//! file (by deleting the file, or writing it anew without the token).

use crate::names::{Case, Forms, folded};
use shoal_protocol::path::RelPath;
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of a token: `[` and eight digits and `]`.
const TOKEN_BYTES: usize = 10;

/// What users did.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// Whether some file system folds names, so that deeds are remembered by the folded form.
    folds: bool,
    next_token: u64,
    tokens: BTreeMap<Vec<u8>, Token>,
    /// In the present round.
    pub(crate) round: Deeds,
    /// Since the beginning.
    pub(crate) ever: Deeds,
}

/// Which paths users touched.
#[derive(Debug, Clone, Default)]
pub(crate) struct Deeds {
    /// Where something was made, changed or moved to; with all folders above.
    pub(crate) wrote: BTreeSet<RelPath>,
    /// Where a folder was made.
    pub(crate) folders: BTreeSet<RelPath>,
    /// Where something was deleted, moved away or replaced by another type.
    pub(crate) removed: BTreeSet<RelPath>,
    /// Whether a person asked for deleted files to come back, or restored a home.
    pub(crate) brought_back: bool,
}

#[derive(Debug, Clone)]
struct Token {
    host: usize,
    path: RelPath,
    covered: bool,
}

impl Ledger {
    pub(crate) fn new(folds: bool) -> Self {
        Self {
            folds,
            ..Self::default()
        }
    }

    /// A token that was never typed before.
    pub(crate) fn token(&mut self) -> Vec<u8> {
        self.next_token += 1;
        format!("[{:08}]", self.next_token).into_bytes()
    }

    /// A user of a host changed the bytes at a path.
    pub(crate) fn wrote(&mut self, host: usize, path: &RelPath, old: &[u8], new: &[u8]) {
        self.touched(path);
        let kept: BTreeSet<&[u8]> = tokens(new).collect();
        for token in tokens(old).filter(|token| !kept.contains(token)) {
            self.cover(token);
        }
        for token in kept {
            self.tokens.entry(token.to_vec()).or_insert(Token {
                host,
                path: path.clone(),
                covered: false,
            });
        }
    }

    /// A user made or changed something without bytes.
    pub(crate) fn touched(&mut self, path: &RelPath) {
        let mut at = Some(self.canonical(path));
        while let Some(path) = at {
            at = path.parent();
            if let Some(folder) = &at {
                self.ever.folders.insert(folder.clone());
            }
            self.round.wrote.insert(path.clone());
            self.ever.wrote.insert(path);
        }
    }

    /// A user made a folder.
    pub(crate) fn made_folder(&mut self, path: &RelPath) {
        self.touched(path);
        let path = self.canonical(path);
        self.ever.folders.insert(path);
    }

    /// A user removed what was at a path, with its bytes if it had any.
    pub(crate) fn removed(&mut self, path: &RelPath, bytes: &[u8]) {
        self.moved_away(path);
        for token in tokens(bytes) {
            self.cover(token);
        }
    }

    /// A user moved what was at a path.
    pub(crate) fn moved_away(&mut self, path: &RelPath) {
        let path = self.canonical(path);
        self.round.removed.insert(path.clone());
        self.ever.removed.insert(path);
    }

    /// A person asked for something back.
    pub(crate) fn brought_back(&mut self) {
        self.round.brought_back = true;
        self.ever.brought_back = true;
    }

    /// All is at rest; a new round begins.
    pub(crate) fn next_round(&mut self) {
        self.round = Deeds::default();
    }

    /// Tokens that must be somewhere and are not in `there`, with the host and path where they were typed.
    pub(crate) fn lost<'a>(
        &'a self,
        there: &BTreeSet<Vec<u8>>,
    ) -> Vec<(String, usize, &'a RelPath)> {
        let text = |token: &[u8]| String::from_utf8_lossy(token).into_owned();
        self.tokens
            .iter()
            .filter(|(token, what)| !what.covered && !there.contains(*token))
            .map(|(token, what)| (text(token), what.host, &what.path))
            .collect()
    }

    /// The form of a path by which deeds are remembered.
    pub(crate) fn canonical(&self, path: &RelPath) -> RelPath {
        if !self.folds {
            return path.clone();
        }
        let text = folded(path.as_str(), Case::Preserving, Forms::Preserving);
        RelPath::new(&text).unwrap_or_else(|_| path.clone())
    }

    fn cover(&mut self, token: &[u8]) {
        if let Some(token) = self.tokens.get_mut(token) {
            token.covered = true;
        }
    }
}

/// The tokens of some bytes.
pub(crate) fn tokens(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes
        .chunks(TOKEN_BYTES)
        .filter(|chunk| chunk.len() == TOKEN_BYTES && chunk.starts_with(b"["))
}
