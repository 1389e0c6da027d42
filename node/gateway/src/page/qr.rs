//! A QR code as SVG in the page, so that nothing is fetched for it.

use qrcode::{Color, EcLevel, QrCode};
use std::fmt::Write;

/// Modules of white around a code (ISO/IEC 18004).
const QUIET: usize = 4;

/// The code of a text. None if it is too long for one.
pub(crate) fn svg(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    let width = code.width();
    let colors = code.to_colors();
    let side = width + 2 * QUIET;
    let mut out = format!(
        "<svg viewBox=\"0 0 {side} {side}\" role=\"img\" aria-label=\"QR code of the link\" shape-rendering=\"crispEdges\">\
         <rect width=\"{side}\" height=\"{side}\" fill=\"#fff\"/><path stroke=\"#000\" d=\""
    );
    for (y, row) in colors.chunks(width).enumerate() {
        let mut x = 0;
        for run in row.chunk_by(|a, b| a == b) {
            if run.first() == Some(&Color::Dark) {
                let _ = write!(out, "M{} {}.5h{}", x + QUIET, y + QUIET, run.len());
            }
            x += run.len();
        }
    }
    out.push_str("\"/></svg>");
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_small_and_bounded() {
        let svg = svg("http://192.0.2.7:7462/s/aeaqcaibaeaqcaibaeaqcaibae").unwrap_or_default();
        assert!(svg.len() > 1000 && svg.len() < 8000, "{}", svg.len());
        assert_eq!(super::svg(&"x".repeat(5000)), None);
    }
}
