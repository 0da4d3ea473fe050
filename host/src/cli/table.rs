#![forbid(unsafe_code)]
//! Tables as `lxc-ls -f` writes them: left-aligned cells, each padded to its column and one space.

use comfy_table::{Table, presets};

/// Lays rows out under a header; empty cells become `-`.
#[must_use]
pub(super) fn columns(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header.iter().copied());
    for row in rows {
        table.add_row(row.iter().map(|cell| if cell.is_empty() { "-" } else { cell.as_str() }));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 1));
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::columns;

    #[test]
    fn pads_every_cell_and_marks_empty_ones() {
        let rows = vec![vec!["web".to_string(), "RUNNING".into()], vec!["database".into(), String::new()]];
        let text = columns(&["NAME", "STATE"], &rows);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines, ["NAME     STATE   ", "web      RUNNING ", "database -       "]);
    }
}
