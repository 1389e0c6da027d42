//! How file systems think of names: case and normal form, for the few letters that the simulated users type.

use shoal_protocol::path::RelPath;
use shoal_protocol::sync::conflict::{copied_from, cut_from};

/// What a file system thinks of upper and lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// `a` and `A` are two names.
    Sensitive,
    /// They are one; the first form stays.
    Preserving,
}

/// What a file system thinks of composed and decomposed letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forms {
    /// They are different names (Linux).
    Distinct,
    /// They are one name, kept as it was given (APFS).
    Preserving,
    /// They are one name, kept decomposed (HFS+).
    Decomposing,
}

/// The composed form. Only `é` and `É` are known: the users of the simulation type no other.
pub fn composed(name: &str) -> String {
    name.replace("e\u{301}", "é").replace("E\u{301}", "É")
}

/// The decomposed form.
pub fn decomposed(name: &str) -> String {
    name.replace('é', "e\u{301}").replace('É', "E\u{301}")
}

/// Two names are one on this file system when these are equal.
pub fn folded(name: &str, case: Case, forms: Forms) -> String {
    let name = match forms {
        Forms::Distinct => name.to_owned(),
        Forms::Preserving | Forms::Decomposing => composed(name),
    };
    match case {
        Case::Sensitive => name,
        Case::Preserving => name.to_lowercase(),
    }
}

/// Whether this may be the name of a copy of the other path, as far as that can be told where it had to be cut.
pub(crate) fn may_be_copy(copy: &RelPath, of: &RelPath) -> bool {
    let cut = cut_from(copy).is_some_and(|(stem, extension)| {
        let begins = of.as_str().starts_with(stem.as_str());
        begins && of.parent() == copy.parent() && of.name().ends_with(&extension)
    });
    cut || copied_from(copy).as_ref() == Some(of)
}
