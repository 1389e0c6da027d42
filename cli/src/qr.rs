//! A QR code out of half blocks, two modules to a character.

use qrcode::{Color, EcLevel, QrCode};

/// White modules around the code that readers ask for (ISO/IEC 18004: 4; two suffice for phones).
const QUIET: usize = 2;

/// The code of `text`, or nothing when it is too long for one.
///
/// Light modules are drawn, so that it reads on the dark background that most terminals have;
/// readers take either polarity.
pub(crate) fn code(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let width = code.width();
    let modules = code.into_colors();
    let side = width + 2 * QUIET;
    let light = |row: usize, column: usize| {
        let inside = |at: usize| at.checked_sub(QUIET).filter(|at| *at < width);
        match (inside(row), inside(column)) {
            (Some(row), Some(column)) => modules
                .get(row * width + column)
                .is_some_and(|color| *color == Color::Light),
            _ => row < side,
        }
    };
    let mut drawn = String::with_capacity(side * (side / 2 + 1) * 3);
    for row in (0..side).step_by(2) {
        for column in 0..side {
            drawn.push(match (light(row, column), light(row + 1, column)) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            });
        }
        drawn.push('\n');
    }
    Some(drawn)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_code_is_square_and_framed() {
        let drawn = code("http://192.0.2.1:7462/s/0123456789abcdef0123456789abcdef").unwrap();
        let lines: Vec<&str> = drawn.lines().collect();
        let side = lines[0].chars().count();
        assert_eq!(lines.len(), side.div_ceil(2));
        assert!(lines.iter().all(|line| line.chars().count() == side));
        assert!(lines[0].chars().all(|module| module == '█'));
        let (last, rest) = lines.split_last().unwrap();
        assert!(
            rest.iter()
                .all(|line| line.starts_with("██") && line.ends_with("██"))
        );
        // The number of rows is odd.
        assert!(last.chars().all(|module| module == '▀'));
    }

    #[test]
    fn too_long_is_no_code() {
        assert_eq!(code(&"x".repeat(5_000)), None);
    }
}
