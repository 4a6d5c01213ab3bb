//! How the panes of a window share it: tmux's layouts, read and written (FACTS.md, "Layouts").
//!
//! A text is a layout or an error, never guessed at: some tmux dies of what is none.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::snapshot::PaneId;
use crate::sorted::Set;

/// The most bytes that a layout has: tmux has as many for it.
pub const MAX_LAYOUT_BYTES: usize = 8192;

/// How deep cells may lie in each other. tmux has no limit but the size of the window.
pub const MAX_LAYOUT_DEPTH: usize = 100;

/// The most columns or lines of a window (tmux's `WINDOW_MAXIMUM`).
pub const MAX_WINDOW_SIZE: i32 = 10_000;

/// Why a text is no layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LayoutError {
    /// It is longer than [`MAX_LAYOUT_BYTES`].
    TooLong,
    /// Cells lie deeper in each other than [`MAX_LAYOUT_DEPTH`].
    TooDeep,
    /// It does not read as tmux writes one.
    Malformed,
    /// The checksum is that of another text.
    WrongChecksum,
    /// The cells do not fill the window exactly. So it is where tmux does not tell which panes float,
    /// as in a zoomed window, or where a window is too small for its panes.
    WrongSizes,
    /// All panes float.
    OnlyFloating,
    /// It is not what [`LiveLayout::normalised`] makes of it.
    NotNormalised,
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LayoutError::TooLong => "layout is too long",
            LayoutError::TooDeep => "layout has too many cells inside each other",
            LayoutError::Malformed => "not a layout",
            LayoutError::WrongChecksum => "layout has a wrong checksum",
            LayoutError::WrongSizes => "layout has cells that do not fill the window",
            LayoutError::OnlyFloating => "layout has floating panes only",
            LayoutError::NotNormalised => "layout is not normalised",
        })
    }
}

impl std::error::Error for LayoutError {}

/// A layout as tmux tells it (`#{window_layout}`), with the ids of its panes, but without those
/// that float: as it was before they came.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveLayout(Cell);

impl LiveLayout {
    /// The panes that have a cell, in the order of the cells.
    pub fn panes(&self) -> Vec<PaneId> {
        let ids = self.0.leaves().into_iter().filter_map(Cell::pane);
        ids.map(PaneId).collect()
    }

    /// The same arrangement as any server would have it.
    pub fn normalised(&self) -> Layout {
        let mut root = self.0.clone();
        root.number(&mut 0);
        Layout(root)
    }
}

impl FromStr for LiveLayout {
    type Err = LayoutError;

    fn from_str(text: &str) -> Result<LiveLayout, LayoutError> {
        if text.len() > MAX_LAYOUT_BYTES {
            return Err(LayoutError::TooLong);
        }
        let (sum, body) = text.split_once(',').ok_or(LayoutError::Malformed)?;
        if sum != checksum(body) {
            return Err(LayoutError::WrongChecksum);
        }
        let mut reader = Reader { rest: body };
        let root = reader.cell(0)?;
        let floating = if reader.take('<') { reader.cells('>', 0)? } else { Vec::new() };
        let leaves = root.leaves();
        let ids: Set<_> = leaves.iter().map(|leaf| leaf.pane()).collect();
        let are_known = floating.iter().all(|cell| leaves.contains(&cell));
        if !reader.rest.is_empty() || ids.len() < leaves.len() || !are_known {
            return Err(LayoutError::Malformed);
        }
        let root = root.tiled(&floating)?.ok_or(LayoutError::OnlyFloating)?;
        if root.at != [0, 0] {
            return Err(LayoutError::WrongSizes);
        }
        Ok(LiveLayout(root))
    }
}

impl fmt::Display for LiveLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, &self.0)
    }
}

/// A normalised layout: its panes are numbered from 0 in the order of the cells, so that the same
/// arrangement is the same text on every server. It may be given to any tmux.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout(Cell);

impl Layout {
    /// How many cells, and so panes, it has.
    pub fn cells(&self) -> usize {
        self.0.leaves().len()
    }

    /// The columns of its window.
    pub fn width(&self) -> u32 {
        self.0.size[0].unsigned_abs()
    }

    /// The lines of its window.
    pub fn height(&self) -> u32 {
        self.0.size[1].unsigned_abs()
    }
}

impl FromStr for Layout {
    type Err = LayoutError;

    fn from_str(text: &str) -> Result<Layout, LayoutError> {
        let layout = text.parse::<LiveLayout>()?.normalised();
        if layout.to_string() == text { Ok(layout) } else { Err(LayoutError::NotNormalised) }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, &self.0)
    }
}

impl Serialize for Layout {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Layout {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A rectangle of the window. What is said of columns and of lines stands in this order.
#[derive(Debug, Clone, PartialEq)]
struct Cell {
    size: [i32; 2],
    /// Where it begins in the window.
    at: [i32; 2],
    inside: Inside,
}

#[derive(Debug, Clone, PartialEq)]
enum Inside {
    /// The number of the pane.
    Pane(u32),
    LeftRight(Vec<Cell>),
    TopBottom(Vec<Cell>),
}

impl Cell {
    fn pane(&self) -> Option<u32> {
        if let Inside::Pane(id) = self.inside { Some(id) } else { None }
    }

    /// Its cells that hold a pane, in their order.
    fn leaves(&self) -> Vec<&Cell> {
        match &self.inside {
            Inside::Pane(_) => vec![self],
            Inside::LeftRight(cells) | Inside::TopBottom(cells) => {
                cells.iter().flat_map(Cell::leaves).collect()
            }
        }
    }

    /// Numbers its panes in their order.
    fn number(&mut self, next: &mut u32) {
        match &mut self.inside {
            Inside::Pane(id) => {
                *id = *next;
                *next += 1;
            }
            Inside::LeftRight(cells) | Inside::TopBottom(cells) => {
                cells.iter_mut().for_each(|cell| cell.number(next));
            }
        }
    }

    /// What is left of it without the floating cells: one that is left alone in its parent takes its
    /// place.
    ///
    /// # Errors
    /// [`LayoutError::WrongSizes`] if what is left does not fill it exactly.
    fn tiled(mut self, floating: &[Cell]) -> Result<Option<Cell>, LayoutError> {
        if floating.contains(&self) {
            return Ok(None);
        }
        if let Inside::LeftRight(cells) | Inside::TopBottom(cells) = &mut self.inside {
            for cell in std::mem::take(cells) {
                cells.extend(cell.tiled(floating)?);
            }
            // tmux leaves such a cell as 0x0.
            if cells.is_empty() {
                return Ok(None);
            }
        }
        if !self.is_filled() {
            return Err(LayoutError::WrongSizes);
        }
        Ok(match &mut self.inside {
            Inside::LeftRight(cells) | Inside::TopBottom(cells) if cells.len() == 1 => cells.pop(),
            _ => Some(self),
        })
    }

    /// Whether a window can have it, and its cells fill it with borders of one between them.
    fn is_filled(&self) -> bool {
        let has_size = self.size.iter().all(|size| (1..=MAX_WINDOW_SIZE).contains(size));
        // Also so that no sum overflows.
        if !has_size || !self.at.iter().all(|at| (0..MAX_WINDOW_SIZE).contains(at)) {
            return false;
        }
        let (cells, along, across) = match &self.inside {
            Inside::Pane(_) => return true,
            Inside::LeftRight(cells) => (cells, 0, 1),
            Inside::TopBottom(cells) => (cells, 1, 0),
        };
        let mut next = self.at[along];
        for cell in cells {
            let is_beside = cell.at[along] == next && cell.at[across] == self.at[across];
            if !is_beside || cell.size[across] != self.size[across] {
                return false;
            }
            next += cell.size[along] + 1;
        }
        next == self.at[along] + self.size[along] + 1
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ([width, height], [left, top]) = (self.size, self.at);
        write!(f, "{width}x{height},{left},{top}")?;
        let (cells, open, close) = match &self.inside {
            Inside::Pane(id) => return write!(f, ",{id}"),
            Inside::LeftRight(cells) => (cells, '{', '}'),
            Inside::TopBottom(cells) => (cells, '[', ']'),
        };
        for (at, cell) in cells.iter().enumerate() {
            write!(f, "{}{cell}", if at == 0 { open } else { ',' })?;
        }
        write!(f, "{close}")
    }
}

fn write(f: &mut fmt::Formatter<'_>, root: &Cell) -> fmt::Result {
    let body = root.to_string();
    write!(f, "{},{body}", checksum(&body))
}

/// The checksum of what stands behind it, as tmux writes it.
fn checksum(body: &str) -> String {
    let add = |sum: u16, byte: u8| sum.rotate_right(1).wrapping_add(byte.into());
    format!("{:04x}", body.bytes().fold(0, add))
}

/// Reads a layout from its front.
struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    /// Reads this character, if it is the next.
    fn take(&mut self, c: char) -> bool {
        let rest = self.rest.strip_prefix(c);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, c: char) -> Result<(), LayoutError> {
        if self.take(c) { Ok(()) } else { Err(LayoutError::Malformed) }
    }

    /// A number as tmux writes it, so without zeros in front.
    fn number<T: FromStr>(&mut self) -> Result<T, LayoutError> {
        let is_other = |c: char| c != '-' && !c.is_ascii_digit();
        let end = self.rest.find(is_other).unwrap_or(self.rest.len());
        let (number, rest) = self.rest.split_at(end);
        self.rest = rest;
        if number != "0" && number.trim_start_matches('-').starts_with('0') {
            return Err(LayoutError::Malformed);
        }
        number.parse().map_err(|_| LayoutError::Malformed)
    }

    fn cell(&mut self, depth: usize) -> Result<Cell, LayoutError> {
        if depth > MAX_LAYOUT_DEPTH {
            return Err(LayoutError::TooDeep);
        }
        let width = self.number()?;
        self.expect('x')?;
        let height = self.number()?;
        self.expect(',')?;
        let left = self.number()?;
        self.expect(',')?;
        let top = self.number()?;
        let inside = if self.take('{') {
            Inside::LeftRight(self.siblings('}', depth + 1)?)
        } else if self.take('[') {
            Inside::TopBottom(self.siblings(']', depth + 1)?)
        } else {
            self.expect(',')?;
            Inside::Pane(self.number()?)
        };
        Ok(Cell { size: [width, height], at: [left, top], inside })
    }

    /// The cells of one: tmux makes none with a single one.
    fn siblings(&mut self, close: char, depth: usize) -> Result<Vec<Cell>, LayoutError> {
        let cells = self.cells(close, depth)?;
        if cells.len() > 1 { Ok(cells) } else { Err(LayoutError::Malformed) }
    }

    /// Cells with commas between them, up to this character.
    fn cells(&mut self, close: char, depth: usize) -> Result<Vec<Cell>, LayoutError> {
        let mut cells = vec![self.cell(depth)?];
        while self.take(',') {
            cells.push(self.cell(depth)?);
        }
        self.expect(close)?;
        Ok(cells)
    }
}

#[cfg(test)]
mod tests {
    use super::LayoutError::*;
    use super::*;

    /// The layout with the right checksum, or why it is none.
    fn read(body: &str) -> Result<String, LayoutError> {
        let layout: LiveLayout = format!("{},{body}", checksum(body)).parse()?;
        Ok(layout.0.to_string())
    }

    /// So many cells in each other.
    fn nested(depth: usize) -> String {
        let around = |inner: String, width: usize| {
            format!("{}x1,0,0{{{inner},1x1,{},0,{width}}}", width + 2, width + 1)
        };
        (0..depth).fold("1x1,0,0,0".to_owned(), |inner, depth| around(inner, 2 * depth + 1))
    }

    #[test]
    fn what_tmux_never_prints_is_refused_for_what_it_is() {
        let (two, deep) = ("5x1,0,0{2x1,0,0,7,2x1,3,0,4}", nested(MAX_LAYOUT_DEPTH));
        for fine in ["80x24,0,0,4294967295", "10000x10000,0,0,0", two, &deep] {
            assert_eq!(read(fine).as_deref(), Ok(fine));
        }
        for (body, error) in [
            ("", Malformed),
            ("80x24,0,0", Malformed),
            ("80x24,0,0,", Malformed),
            ("80x24,0,0,0,", Malformed),
            ("80x24,0,0,0 ", Malformed),
            ("080x24,0,0,0", Malformed),
            ("80x24,0,-0,0", Malformed),
            ("+80x24,0,0,0", Malformed),
            ("80x24,0,0,4294967296", Malformed),
            ("4294967295x24,0,0,0", Malformed),
            ("80x24,0,0{}", Malformed),
            ("80x24,0,0{80x24,0,0,0}", Malformed),
            ("5x1,0,0{2x1,0,0,0,2x1,3,0,1]", Malformed),
            ("5x1,0,0{2x1,0,0,0,2x1,3,0,0}", Malformed),
            ("80x24,0,0,0<>", Malformed),
            ("80x24,0,0,0<80x24,0,0,1>", Malformed),
            ("80x24,0,0,0<80x23,0,0,0>", Malformed),
            ("80x24,0,0,0<80x24,0,0,0>x", Malformed),
            ("80x24,0,0,0<80x24,0,0,0>", OnlyFloating),
            ("10001x24,0,0,0", WrongSizes),
            ("80x0,0,0,0", WrongSizes),
            ("80x-24,0,0,0", WrongSizes),
            ("80x24,0,1,0", WrongSizes),
            ("80x24,-1,0,0", WrongSizes),
            ("5x1,0,0{2x1,0,0,0,3x1,3,0,1}", WrongSizes),
            ("5x1,0,0{2x1,0,0,0,2x1,2,0,1}", WrongSizes),
            ("5x1,0,0{2x1,0,0,0,2x1,3,1,1}", WrongSizes),
            ("5x1,0,0{2x1,0,0,0,2x2,3,0,1}", WrongSizes),
            ("5x1,0,0[2x1,0,0,0,2x1,3,0,1]", WrongSizes),
            ("6x1,0,0{2x1,0,0,0,2x1,3,0,1}", WrongSizes),
            ("2147483647x1,0,0{2147483647x1,0,0,0,1x1,2147483647,0,1}", WrongSizes),
            ("1x1,2147483647,0{1x1,2147483647,0,0,1x1,2147483647,0,1}", WrongSizes),
            (&nested(MAX_LAYOUT_DEPTH + 1), TooDeep),
            (&"1x1,0,0{".repeat(MAX_LAYOUT_DEPTH + 1), TooDeep),
            (&"1".repeat(MAX_LAYOUT_BYTES), TooLong),
        ] {
            assert_eq!(read(body), Err(error), "{body}");
        }
        for text in ["", "garbage", "zz", ",", "tiled"] {
            assert!(text.parse::<LiveLayout>().is_err(), "{text}");
        }
    }

    #[test]
    fn floating_panes_are_left_out() {
        // As master prints it where panes were taken out of their cells: one is left without any.
        let floating = "50x10,8,4,2,50x10,-4,2,3";
        let left = "49x40,51,0[49x40,51,0,1,0x0,0,0{50x10,8,4,2,50x10,-4,2,3}]";
        assert_eq!(
            read(&format!("100x40,0,0{{50x40,0,0,0,{left}}}<{floating}>")).as_deref(),
            Ok("100x40,0,0{50x40,0,0,0,49x40,51,0,1}")
        );
        // As it prints the same while zoomed.
        assert_eq!(read(&format!("100x40,0,0{{50x40,0,0,0,{left}}}")), Err(WrongSizes));
        // One of them is not told.
        let told = "50x10,8,4,2";
        assert_eq!(read(&format!("100x40,0,0{{50x40,0,0,0,{left}}}<{told}>")), Err(WrongSizes));
    }

    #[test]
    fn a_record_has_normalised_layouts_alone() {
        // From 3.7c, after a join-pane.
        let cells = "50x40,0,0[50x10,0,0,0,50x9,0,11,2,50x19,0,21,1],49x40,51,0,3";
        let live: LiveLayout = format!("13ba,100x40,0,0{{{cells}}}").parse().unwrap();
        assert_eq!(live.panes(), [0, 2, 1, 3].map(PaneId));
        let layout = live.normalised();
        let cells = "50x40,0,0[50x10,0,0,0,50x9,0,11,1,50x19,0,21,2],49x40,51,0,3";
        let text = layout.to_string();
        assert_eq!(text.split_once(',').unwrap().1, format!("100x40,0,0{{{cells}}}"));
        assert_eq!((layout.cells(), layout.width(), layout.height()), (4, 100, 40));
        assert_eq!(text.parse(), Ok(layout));
        let swapped = "5x1,0,0{2x1,0,0,1,2x1,3,0,0}";
        let floating = "5x1,0,0{2x1,0,0,0,2x1,3,0,1,2x1,0,0,2}<2x1,0,0,2>";
        for body in [swapped, floating] {
            let text = format!("{},{body}", checksum(body));
            assert!(text.parse::<LiveLayout>().is_ok());
            assert_eq!(text.parse::<Layout>(), Err(NotNormalised));
        }
    }
}
