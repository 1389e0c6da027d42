//! Twelve words for 128 bits and a checksum of four (BIP-39, the English list).

use super::InviteSecret;
use sha2::{Digest, Sha256};

/// The English list of BIP-39: 2,048 words, sorted, told apart by their first four letters.
const LIST: &str = include_str!("english.txt");
const COUNT: usize = 12;
/// How many letters tell a word from all others.
const ENOUGH_LETTERS: usize = 4;
/// A word that differs by more is no typing error.
const TYPO_MAX: usize = 2;

/// Why words are no invite.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// Too few or too many.
    #[error("an invite has twelve words, and these are {found}; read them again")]
    Count {
        /// Words found.
        found: usize,
    },
    /// Not in the list, but close to one that is.
    #[error("word {number} is \"{word}\", which is none of the words; did you mean \"{likely}\"?")]
    Typo {
        /// Which, from 1 on.
        number: usize,
        /// What was typed.
        word: String,
        /// What was probably meant.
        likely: &'static str,
    },
    /// Not in the list.
    #[error("word {number} is \"{word}\", which is none of the words; read it again")]
    Unknown {
        /// Which, from 1 on.
        number: usize,
        /// What was typed.
        word: String,
    },
    /// All known, but they do not belong together.
    #[error(
        "these twelve words do not belong together: one of them is another word, or two are swapped; read them again"
    )]
    Checksum,
}

/// The words of a secret, separated by spaces.
pub(super) fn write(secret: &InviteSecret) -> String {
    let list = list();
    // 128 bits, then the four of the checksum: twelve times eleven.
    let bits = u128::from_be_bytes(secret.0);
    let index = |number: usize| match number {
        11 => (bits & 0x7f) << 4 | u128::from(checksum(secret)),
        _ => bits >> (117 - 11 * number) & 0x7ff,
    };
    let words = (0..COUNT).filter_map(|number| list.get(index(number) as usize).copied());
    words.collect::<Vec<_>>().join(" ")
}

/// The secret of words; what stands between them, such as numbers and commas, does not matter.
pub(super) fn read(text: &str) -> Result<InviteSecret, WordsError> {
    let list = list();
    let typed: Vec<String> = text
        .split(|c: char| !c.is_alphabetic())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    if typed.len() != COUNT {
        return Err(WordsError::Count { found: typed.len() });
    }
    let (mut bits, mut last) = (0u128, 0u8);
    for (number, word) in typed.iter().enumerate() {
        let index = find(&list, word).ok_or_else(|| unknown(&list, number + 1, word))? as u128;
        if number + 1 < COUNT {
            bits = bits << 11 | index;
        } else {
            bits = bits << 7 | index >> 4;
            last = (index & 0xf) as u8;
        }
    }
    let secret = InviteSecret(bits.to_be_bytes());
    if checksum(&secret) == last {
        Ok(secret)
    } else {
        Err(WordsError::Checksum)
    }
}

fn list() -> Vec<&'static str> {
    LIST.lines().collect()
}

/// The first four bits of SHA-256, as BIP-39 has it.
fn checksum(secret: &InviteSecret) -> u8 {
    let hash: [u8; 32] = Sha256::digest(secret.0).into();
    hash[0] >> 4
}

fn find(list: &[&str], word: &str) -> Option<usize> {
    if let Ok(at) = list.binary_search(&word) {
        return Some(at);
    }
    if word.chars().count() < ENOUGH_LETTERS {
        return None;
    }
    list.iter().position(|known| known.starts_with(word))
}

fn unknown(list: &[&'static str], number: usize, word: &str) -> WordsError {
    let near = list
        .iter()
        .map(|known| (distance(known, word), *known))
        .min();
    match near {
        Some((typos, likely)) if typos <= TYPO_MAX => WordsError::Typo {
            number,
            word: word.to_owned(),
            likely,
        },
        _ => WordsError::Unknown {
            number,
            word: word.to_owned(),
        },
    }
}

/// Letters added, left out, changed or swapped with their neighbour, to come from one word to the other.
fn distance(one: &str, two: &str) -> usize {
    let (one, two): (Vec<char>, Vec<char>) = (one.chars().collect(), two.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=two.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, b) in two.iter().enumerate() {
            let mut best = (row[j + 1] + 1)
                .min(next[j] + 1)
                .min(row[j] + usize::from(a != b));
            if i > 0 && j > 0 && *a == two[j - 1] && one[i - 1] == *b {
                best = best.min(before[j - 1] + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const WORDS: &str =
        "legal winner thank year wave sausage worth useful legal winner thank yellow";

    #[test]
    fn the_list_is_that_of_bip_39() {
        let list = list();
        assert_eq!(list.len(), 2048);
        assert!(list.is_sorted());
        let hash: [u8; 32] = Sha256::digest(LIST).into();
        assert_eq!(hash[..4], [0x2f, 0x5e, 0xed, 0x53]);
    }

    #[test]
    fn vectors_of_bip_39() {
        for (secret, words) in [
            (
                [0; 16],
                "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about",
            ),
            (
                [0x80; 16],
                "letter advice cage absurd amount doctor acoustic avoid letter advice cage above",
            ),
            (
                [0xff; 16],
                "zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo wrong",
            ),
        ] {
            assert_eq!(write(&InviteSecret(secret)), words);
            assert_eq!(read(words), Ok(InviteSecret(secret)));
        }
    }

    #[test]
    fn what_people_type_is_understood() {
        let secret = read(WORDS).unwrap();
        let short = WORDS.split(' ').map(|word| word.get(..4).unwrap_or(word));
        let short = short.collect::<Vec<_>>().join(" ");
        for text in [
            WORDS.to_uppercase(),
            WORDS.replace(' ', ",\n"),
            WORDS.replace(' ', " 7. "),
            short,
        ] {
            assert_eq!(read(&text), Ok(secret.clone()), "{text}");
        }
    }

    #[test]
    fn a_typing_error_gives_the_likely_word() {
        for (typed, likely) in [
            ("sausge", "sausage"),
            ("suasage", "sausage"),
            ("sausagee", "sausage"),
            ("ssusage", "sausage"),
        ] {
            let text = WORDS.replace("sausage", typed);
            let expected = WordsError::Typo {
                number: 6,
                word: typed.to_owned(),
                likely,
            };
            assert_eq!(read(&text), Err(expected));
        }
        let text = WORDS.replace("sausage", "xxxxxxxxx");
        assert!(matches!(
            read(&text),
            Err(WordsError::Unknown { number: 6, .. })
        ));
    }

    #[test]
    fn words_that_do_not_belong_together_are_refused() {
        assert_eq!(read("legal winner"), Err(WordsError::Count { found: 2 }));
        let swapped = "winner legal thank year wave sausage worth useful legal winner thank yellow";
        assert_eq!(read(swapped), Err(WordsError::Checksum));
    }
}
