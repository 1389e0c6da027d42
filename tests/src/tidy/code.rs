//! A light reading of Rust source: enough to tell code from comments and strings, tests from the rest, and where a
//! function begins and ends.

use std::path::{Path, PathBuf};

/// One source file, with a second text of the same shape in which comments, strings and test modules are blank.
pub struct SourceFile {
    /// Path relative to the workspace root.
    pub path: PathBuf,
    /// The file as it is.
    pub text: String,
    /// The file with comments and strings blanked.
    pub code: String,
    /// `code` with `#[cfg(test)]` items blanked as well; empty if the whole file is a test.
    pub production: String,
}

impl SourceFile {
    /// Reads `root/path`.
    pub fn read(root: &Path, path: &Path) -> std::io::Result<SourceFile> {
        let text = std::fs::read_to_string(root.join(path))?;
        Ok(SourceFile::new(path, text))
    }

    /// A file with the given text.
    pub fn new(path: &Path, text: String) -> SourceFile {
        let code = mask_comments_and_strings(&text);
        let production = if is_test_path(path) {
            blank(&code)
        } else {
            blank_test_items(&code)
        };
        SourceFile {
            path: path.to_path_buf(),
            text,
            code,
            production,
        }
    }

    /// The crate's folder, `node/store` or `cli`, by the `src` or `tests` component of the path.
    pub fn crate_folder(&self) -> String {
        let parts: Vec<_> = self
            .path
            .iter()
            .map(|part| part.to_string_lossy().into_owned())
            .collect();
        let end = parts
            .iter()
            .position(|part| {
                matches!(
                    part.as_str(),
                    "src" | "benches" | "examples" | "fuzz_targets"
                )
            })
            .or_else(|| {
                // `tests` is a crate at the root and a folder of integration tests elsewhere.
                (1..parts.len()).find(|&index| parts[index] == "tests")
            })
            .unwrap_or(parts.len().saturating_sub(1));
        parts[..end].join("/")
    }

    /// Whether the file is a binary's root: it may print and read the environment.
    pub fn is_binary(&self) -> bool {
        self.path.ends_with("src/main.rs")
            || self
                .path
                .iter()
                .any(|part| part == "bin" || part == "examples")
    }
}

/// A function with a body.
pub struct Function {
    /// Its name.
    pub name: String,
    /// First line, counted from 1.
    pub line: usize,
    /// Lines from `fn` to the closing brace.
    pub lines: usize,
}

/// The functions of `code`, which must be masked.
pub fn functions(code: &str) -> Vec<Function> {
    let bytes = code.as_bytes();
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(offset) = code[from..].find("fn ") {
        let start = from + offset;
        from = start + 3;
        if start > 0 && is_word(bytes[start - 1]) {
            continue;
        }
        let name: String = code[from..]
            .chars()
            .take_while(|char| char.is_alphanumeric() || *char == '_')
            .collect();
        if name.is_empty() {
            continue;
        }
        let Some(open) = body_start(bytes, from) else {
            continue;
        };
        let Some(close) = matching_brace(bytes, open) else {
            continue;
        };
        found.push(Function {
            name,
            line: line_of(code, start),
            lines: line_of(code, close) - line_of(code, start) + 1,
        });
    }
    found
}

/// The line, counted from 1, of a byte offset.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count()
        + 1
}

/// Blanks comments and the insides of strings and characters; newlines and quotes stay, so that lines and columns
/// (in bytes) are the same.
pub fn mask_comments_and_strings(text: &str) -> String {
    let source = text.as_bytes();
    let mut masked = source.to_vec();
    let mut at = 0;
    while at < source.len() {
        let end = match source[at] {
            b'/' if source[at..].starts_with(b"//") => end_of_line(source, at),
            b'/' if source[at..].starts_with(b"/*") => end_of_block_comment(source, at),
            b'"' => {
                let end = end_of_string(source, at);
                blank_range(&mut masked, at + 1, end.saturating_sub(1));
                at = end;
                continue;
            }
            b'r' if !(at > 0 && is_word(source[at - 1]) && source[at - 1] != b'b') => {
                match raw_string(source, at) {
                    Some((inner, end, after)) => {
                        blank_range(&mut masked, inner, end);
                        at = after;
                        continue;
                    }
                    None => {
                        at += 1;
                        continue;
                    }
                }
            }
            b'\'' => {
                let end = end_of_char(source, at);
                if end > at + 1 {
                    blank_range(&mut masked, at + 1, end - 1);
                }
                at = end;
                continue;
            }
            _ => {
                at += 1;
                continue;
            }
        };
        blank_range(&mut masked, at, end);
        at = end;
    }
    String::from_utf8(masked).unwrap_or_default()
}

/// Tests live in `tests/` crates and folders, in `tests.rs`, and in the bench and fuzz crates' own harness.
fn is_test_path(path: &Path) -> bool {
    let first = path
        .iter()
        .next()
        .map(|part| part.to_string_lossy().into_owned());
    first.as_deref() == Some("tests")
        || path.iter().any(|part| part == "tests")
        || path
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
            .is_some_and(|stem| stem == "tests" || stem.ends_with("_tests"))
}

fn blank_test_items(code: &str) -> String {
    let mut bytes = code.as_bytes().to_vec();
    for marker in ["#[cfg(test)]", "#[test]", "#[cfg(all(test"] {
        let mut from = 0;
        while let Some(offset) = code[from..].find(marker) {
            let start = from + offset;
            from = start + marker.len();
            let Some(open) = body_start(code.as_bytes(), from) else {
                continue;
            };
            let Some(close) = matching_brace(code.as_bytes(), open) else {
                continue;
            };
            blank_range(&mut bytes, start, close + 1);
            from = close;
        }
    }
    String::from_utf8(bytes).unwrap_or_default()
}

fn blank(code: &str) -> String {
    let mut bytes = code.as_bytes().to_vec();
    let len = bytes.len();
    blank_range(&mut bytes, 0, len);
    String::from_utf8(bytes).unwrap_or_default()
}

fn blank_range(bytes: &mut [u8], from: usize, to: usize) {
    if let Some(range) = bytes.get_mut(from..to) {
        for byte in range {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    }
}

/// The opening brace of the item whose signature starts at `from`; none if the item ends with a semicolon.
fn body_start(code: &[u8], from: usize) -> Option<usize> {
    let mut depth = 0_i32;
    for (at, byte) in code.iter().enumerate().skip(from) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b';' if depth == 0 => return None,
            b'{' if depth == 0 => return Some(at),
            _ => {}
        }
    }
    None
}

fn matching_brace(code: &[u8], open: usize) -> Option<usize> {
    let mut depth = 0_i32;
    for (at, byte) in code.iter().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn end_of_line(source: &[u8], at: usize) -> usize {
    source[at..]
        .iter()
        .position(|byte| *byte == b'\n')
        .map_or(source.len(), |offset| at + offset)
}

fn end_of_block_comment(source: &[u8], at: usize) -> usize {
    let mut depth = 0;
    let mut cursor = at;
    while cursor < source.len() {
        if source[cursor..].starts_with(b"/*") {
            depth += 1;
            cursor += 2;
        } else if source[cursor..].starts_with(b"*/") {
            depth -= 1;
            cursor += 2;
            if depth == 0 {
                return cursor;
            }
        } else {
            cursor += 1;
        }
    }
    source.len()
}

fn end_of_string(source: &[u8], at: usize) -> usize {
    let mut cursor = at + 1;
    while cursor < source.len() {
        match source[cursor] {
            b'\\' => cursor += 2,
            b'"' => return cursor + 1,
            _ => cursor += 1,
        }
    }
    source.len()
}

/// For `r"..."` and `r#"..."#`: where the inside starts, where it ends, and where the literal ends.
fn raw_string(source: &[u8], at: usize) -> Option<(usize, usize, usize)> {
    let hashes = source[at + 1..]
        .iter()
        .take_while(|byte| **byte == b'#')
        .count();
    let quote = at + 1 + hashes;
    if source.get(quote) != Some(&b'"') {
        return None;
    }
    let mut closing = vec![b'"'];
    closing.extend(std::iter::repeat_n(b'#', hashes));
    let inner = quote + 1;
    let length = source[inner..]
        .windows(closing.len())
        .position(|window| window == closing)?;
    Some((inner, inner + length, inner + length + closing.len()))
}

/// The end of a character literal, or the next byte if the quote begins a lifetime.
fn end_of_char(source: &[u8], at: usize) -> usize {
    if source.get(at + 1) == Some(&b'\\') {
        let from = at + 3;
        return source
            .get(from..)
            .and_then(|rest| rest.iter().position(|byte| *byte == b'\''))
            .map_or(source.len(), |offset| from + offset + 1);
    }
    let width = match source.get(at + 1) {
        Some(byte) if *byte >= 0xf0 => 4,
        Some(byte) if *byte >= 0xe0 => 3,
        Some(byte) if *byte >= 0xc0 => 2,
        _ => 1,
    };
    if source.get(at + 1 + width) == Some(&b'\'') {
        at + 2 + width
    } else {
        at + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_strings_and_chars_are_blanked_and_lines_stay() {
        let text = "let a = \"unwrap()\"; // unwrap()\nlet b = r#\"println!(\"x\")\"#; /* dbg!\n*/ let c = '{'; fn f<'a>() {}\n";
        let masked = mask_comments_and_strings(text);
        assert_eq!(masked.len(), text.len());
        assert_eq!(masked.lines().count(), text.lines().count());
        for gone in ["unwrap", "println", "dbg", "'{'"] {
            assert!(!masked.contains(gone), "{gone} stayed in {masked:?}");
        }
        assert!(masked.contains("fn f<'a>() {}"));
    }

    #[test]
    fn functions_are_measured_from_fn_to_closing_brace() {
        let found = functions(
            "fn one() {}\ntrait T {\n    fn declared(a: [u8; 4]);\n}\nfn two(\n    a: u8,\n) -> u8 {\n    { a }\n}\n",
        );
        let measured: Vec<_> = found
            .iter()
            .map(|f| (f.name.as_str(), f.line, f.lines))
            .collect();
        assert_eq!(measured, [("one", 1, 1), ("two", 5, 5)]);
    }

    #[test]
    fn test_modules_are_not_production() {
        let file = SourceFile::new(
            Path::new("node/store/src/log.rs"),
            "fn a() { x.y() }\n#[cfg(test)]\nmod tests {\n    fn b() { x.unwrap() }\n}\nfn c() {}\n".into(),
        );
        assert!(!file.production.contains("unwrap"));
        assert!(file.production.contains("fn c()"));
        assert_eq!(file.crate_folder(), "node/store");
    }

    #[test]
    fn crate_folders() {
        for (path, folder) in [
            ("cli/src/main.rs", "cli"),
            ("tests/src/lib.rs", "tests"),
            ("tests/tests/tidy.rs", "tests"),
            ("node/jail/tests/escape.rs", "node/jail"),
            ("fuzz/fuzz_targets/magnet.rs", "fuzz"),
        ] {
            assert_eq!(
                SourceFile::new(Path::new(path), String::new()).crate_folder(),
                folder
            );
        }
    }
}
