//! Tables that fit the terminal and stay whole in a pipe.

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement, Row};

use super::paint::{Ink, Paint};

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    title: &'static str,
    right: bool,
    /// May be left out when the terminal is narrow; higher goes first.
    spare: u8,
    /// May be cut with an ellipsis.
    shrinks: bool,
}

/// A column that is always shown in full.
pub const fn column(title: &'static str) -> Column {
    Column { title, right: false, spare: 0, shrinks: false }
}

impl Column {
    /// Figures.
    pub const fn right(mut self) -> Self {
        self.right = true;
        self
    }

    /// Left out on a narrow terminal, the highest number first.
    pub const fn spare(mut self, rank: u8) -> Self {
        self.spare = rank;
        self
    }

    /// Cut on a narrow terminal.
    pub const fn shrinks(mut self) -> Self {
        self.shrinks = true;
        self
    }
}

/// A cell: text, and maybe ink.
#[derive(Clone, Debug)]
pub struct Text {
    text: String,
    ink: Option<Ink>,
}

impl<T: Into<String>> From<T> for Text {
    fn from(text: T) -> Self {
        Self { text: clean(&text.into()), ink: None }
    }
}

/// Text that stands out.
pub fn inked(ink: Ink, text: impl Into<String>) -> Text {
    Text { text: clean(&text.into()), ink: Some(ink) }
}

/// One line in which nothing moves the cursor and nothing is invisible.
pub use crate::model::visible::line as clean;

/// Rows under titles.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Text>>,
}

/// Between columns.
const GAP: usize = 2;
/// A column that is cut keeps at least this much.
const LEAST: usize = 8;

impl Table {
    /// An empty table.
    pub fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; it has as many cells as there are columns.
    pub fn row(&mut self, cells: Vec<Text>) {
        debug_assert_eq!(cells.len(), self.columns.len());
        self.rows.push(cells);
    }

    /// The table as text. `width` is the terminal's; without one nothing is left out or cut.
    pub fn render(&self, width: Option<usize>, paint: Paint) -> String {
        let shown = self.choose(width);
        let mut table = comfy_table::Table::new();
        table.load_style(NOTHING).set_truncation_indicator("…");
        match width {
            Some(width) => {
                table
                    .set_content_arrangement(ContentArrangement::Dynamic)
                    .set_width(u16::try_from(width).unwrap_or(u16::MAX));
            }
            None => {
                table.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        table.set_header(
            shown
                .iter()
                .map(|at| align(Cell::new(self.columns[*at].title), self.columns[*at]))
                .collect::<Vec<_>>(),
        );
        for row in &self.rows {
            let cells: Vec<Cell> =
                shown.iter().map(|at| align(Cell::new(&row[*at].text), self.columns[*at])).collect();
            let mut row = Row::from(cells);
            row.max_height(1);
            table.add_row(row);
        }
        for (place, at) in shown.iter().enumerate() {
            if let Some(column) = table.column_mut(place) {
                let last = place + 1 == shown.len();
                column.set_padding((0, if last { 0 } else { GAP as u16 }));
                if !self.columns[*at].shrinks {
                    column.set_constraint(ColumnConstraint::ContentWidth);
                }
            }
        }
        let plain: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
        self.colour(plain, &shown, paint)
    }

    /// Which columns to show: all, or without the spare ones that do not fit.
    fn choose(&self, width: Option<usize>) -> Vec<usize> {
        let mut shown: Vec<usize> = (0..self.columns.len()).collect();
        let Some(width) = width else { return shown };
        while self.needs(&shown) > width {
            let spare = shown
                .iter()
                .copied()
                .filter(|at| self.columns[*at].spare > 0)
                .max_by_key(|at| self.columns[*at].spare);
            let Some(spare) = spare else { break };
            shown.retain(|at| *at != spare);
        }
        shown
    }

    fn needs(&self, shown: &[usize]) -> usize {
        let widths = shown.iter().map(|at| {
            let column = self.columns[*at];
            let content = self.rows.iter().map(|row| row[*at].text.chars().count()).max().unwrap_or(0);
            let full = content.max(column.title.len());
            if column.shrinks { full.min(LEAST.max(column.title.len())) } else { full }
        });
        widths.sum::<usize>() + GAP * shown.len().saturating_sub(1)
    }

    /// Paints afterwards, so that ink never counts as width.
    fn colour(&self, lines: Vec<String>, shown: &[usize], paint: Paint) -> String {
        let mut text = String::new();
        for (number, line) in lines.iter().enumerate() {
            let painted = match number.checked_sub(1).and_then(|row| self.rows.get(row)) {
                None => paint.ink(Ink::Dim, line),
                Some(row) => paint_cells(line, shown.iter().map(|at| &row[*at]), paint),
            };
            text.push_str(&painted);
            text.push('\n');
        }
        text
    }
}

fn paint_cells<'a>(line: &str, cells: impl Iterator<Item = &'a Text>, paint: Paint) -> String {
    let mut done = String::new();
    let mut rest = line;
    for cell in cells {
        let Some(ink) = cell.ink else { continue };
        // A cell that was cut is not found, and stays plain.
        if let Some(at) = rest.find(&cell.text).filter(|_| !cell.text.is_empty()) {
            done.push_str(&rest[..at]);
            done.push_str(&paint.ink(ink, &cell.text));
            rest = &rest[at + cell.text.len()..];
        }
    }
    done + rest
}

fn align(cell: Cell, column: Column) -> Cell {
    if column.right { cell.set_alignment(CellAlignment::Right) } else { cell }
}

#[cfg(test)]
mod tests {
    use super::super::paint::ColorChoice;
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&[
            column("NAME"),
            column("STATE"),
            column("COST").right().spare(1),
            column("WORKSPACE").shrinks().spare(2),
        ]);
        table.row(vec![
            "blog".into(),
            inked(Ink::Green, "running"),
            "$0.12".into(),
            "/home/me/src/blog".into(),
        ]);
        table.row(vec!["my-api".into(), "stopped".into(), "$1.00".into(), "/home/me/src/a-long-name".into()]);
        table
    }

    fn plain() -> Paint {
        Paint::decide(ColorChoice::Never, false, &|_| None)
    }

    #[test]
    fn a_pipe_gets_everything_uncut() {
        let text = table().render(None, plain());
        assert_eq!(
            text,
            "NAME    STATE     COST  WORKSPACE\n\
             blog    running  $0.12  /home/me/src/blog\n\
             my-api  stopped  $1.00  /home/me/src/a-long-name\n"
        );
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in [24, 30, 40, 50, 80] {
            let text = table().render(Some(width), plain());
            assert_eq!(text.lines().count(), 3, "no cell wraps at {width}:\n{text}");
            for line in text.lines() {
                assert!(line.chars().count() <= width, "{width}: {line}");
            }
            assert!(text.contains("my-api"), "the name is never left out");
        }
        assert!(table().render(Some(40), plain()).contains('…'));
        assert!(!table().render(Some(24), plain()).contains("WORKSPACE"));
    }

    #[test]
    fn ink_changes_no_widths_and_control_characters_are_gone() {
        let painted = table().render(Some(80), Paint::decide(ColorChoice::Always, false, &|_| None));
        assert!(painted.contains("\x1b[32mrunning\x1b[0m"), "{painted:?}");
        let bare = painted.replace("\x1b[32m", "").replace("\x1b[2m", "").replace("\x1b[0m", "");
        assert_eq!(bare, table().render(Some(80), plain()));
        assert_eq!(clean("a\x1b[2Jb\nc"), "a [2Jb c");
    }
}
