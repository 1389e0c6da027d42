//! Columns that line up, also with names of wide characters.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Space between two columns.
const GAP: usize = 2;

/// Rows below a head. The column `elastic` is cut where the rows would be wider than `max_width`.
pub(crate) fn render(
    head: &[&str],
    rows: &[Vec<String>],
    elastic: usize,
    max_width: Option<usize>,
) -> Vec<String> {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.width()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.width().max(*width);
        }
    }
    let total = widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
    if let (Some(max), Some(width)) = (max_width, widths.get_mut(elastic)) {
        *width = width.saturating_sub(total.saturating_sub(max)).max(8);
    }
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    std::iter::once(&head)
        .chain(rows)
        .map(|row| line(row, &widths))
        .collect()
}

/// The beginning of a text that is not wider than `width`; a dot-dot-dot says that it goes on.
pub(crate) fn clip(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut left = width.saturating_sub(1);
    let mut kept = String::new();
    for character in text.chars() {
        let wide = character.width().unwrap_or(0);
        if wide > left {
            break;
        }
        left -= wide;
        kept.push(character);
    }
    kept.push('…');
    kept
}

fn line(row: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (cell, width) in row.iter().zip(widths) {
        let cell = clip(cell, *width);
        let padding = width.saturating_sub(cell.width()) + GAP;
        line.push_str(&cell);
        line.extend(std::iter::repeat_n(' ', padding));
    }
    line.truncate(line.trim_end().len());
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[&str]) -> Vec<String> {
        cells.iter().map(|cell| (*cell).to_owned()).collect()
    }

    #[test]
    fn columns_line_up() {
        let rows = [row(&["a", "名前", "1"]), row(&["bb", "x", "22"])];
        assert_eq!(
            render(&["ID", "NAME", "N"], &rows, 1, None),
            ["ID  NAME  N", "a   名前  1", "bb  x     22"]
        );
    }

    #[test]
    fn a_long_name_is_cut_to_the_terminal() {
        let rows = [row(&["a", "a name that is long", "1"])];
        let lines = render(&["ID", "NAME", "N"], &rows, 1, Some(17));
        assert_eq!(lines, ["ID  NAME        N", "a   a name th…  1"]);
    }

    #[test]
    fn cutting_respects_wide_characters() {
        assert_eq!(clip("名前名前", 4), "名…");
        assert_eq!(clip("abcd", 4), "abcd");
        assert_eq!(clip("abcde", 1), "…");
    }
}
