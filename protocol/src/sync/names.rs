//! Names that a file system takes for one: upper and lower case, composed and decomposed letters.
//!
//! Every file system has tables of its own for this. What is here is close to all of them, so that twins are known before
//! anything is fetched for them; the last word has the disk ([`Outcome::Taken`](super::Outcome::Taken)).

use crate::path::RelPath;
use icu_normalizer::ComposingNormalizerBorrowed;

/// Whether names that differ in case alone are two names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Case {
    /// They are two.
    #[default]
    Distinct,
    /// They are one.
    Folded,
}

/// Whether a name and its composed or decomposed form (Unicode NFC and NFD) are two names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Forms {
    /// They are two.
    #[default]
    Distinct,
    /// They are one, however the file system lists it.
    Folded,
}

/// Which names a file system takes for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Names {
    /// Upper and lower case.
    pub case: Case,
    /// Composed and decomposed letters.
    pub forms: Forms,
}

/// What *twins* have in common: two paths are one to the file system when these are equal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Folded(Box<str>);

impl Names {
    /// Whether two names can be one.
    pub fn fold_at_all(&self) -> bool {
        *self != Self::default()
    }

    /// What a path has in common with its twins; none where every name is one of its own.
    pub fn folded(&self, path: &RelPath) -> Option<Folded> {
        if !self.fold_at_all() {
            return None;
        }
        let cased = match self.case {
            Case::Distinct => path.as_str().to_owned(),
            Case::Folded => path.as_str().chars().flat_map(lower).collect(),
        };
        let text = match self.forms {
            Forms::Distinct => cased,
            Forms::Folded => ComposingNormalizerBorrowed::new_nfc()
                .normalize(&cased)
                .into_owned(),
        };
        Some(Folded(text.into()))
    }
}

impl Folded {
    /// The text: no path, since folding can make it longer than a path may be.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Lower case by way of upper case, which unites the letters of which one upper case letter has two (`σ` and `ς`). What becomes
/// more than one letter in upper case (`ß`) stays: file systems do not agree on it.
fn lower(letter: char) -> impl Iterator<Item = char> {
    let mut upper = letter.to_uppercase();
    let one = match (upper.next(), upper.next()) {
        (Some(one), None) => one,
        _ => letter,
    };
    one.to_lowercase()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::sync::testing::path;

    #[test]
    fn twins_by_table() {
        for (one, other, by_case, by_form) in [
            ("a/b", "A/b", true, false),
            ("caf\u{e9}", "cafe\u{301}", false, true),
            (
                "\u{39f}\u{394}\u{39f}\u{3a3}",
                "\u{3bf}\u{3b4}\u{3bf}\u{3c2}",
                true,
                false,
            ),
            ("stra\u{df}e", "strasse", false, false),
            ("a.txt", "a-txt", false, false),
        ] {
            let twins = |case, forms| {
                let names = Names { case, forms };
                names.folded(&path(one)) == names.folded(&path(other))
            };
            assert_eq!(
                twins(Case::Folded, Forms::Distinct),
                by_case,
                "{one} {other}"
            );
            assert_eq!(
                twins(Case::Distinct, Forms::Folded),
                by_form,
                "{one} {other}"
            );
            assert_eq!(twins(Case::Folded, Forms::Folded), by_case || by_form);
        }
        let both = Names {
            case: Case::Folded,
            forms: Forms::Folded,
        };
        assert_eq!(
            both.folded(&path("CAFE\u{301}")),
            both.folded(&path("caf\u{e9}"))
        );
        assert_eq!(Names::default().folded(&path("a")), None);
    }
}
