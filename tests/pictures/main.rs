//! What scripts/pictures needs beside a shell: the screen of a terminal, as `tmux capture-pane
//! -p -e` prints it, as SVG (`pictures svg COLUMNS TITLE`), and moments of the past (`pictures ago
//! SECONDS`).
//!
//! Each piece of text is held to its columns by `textLength`, whatever font the reader has, and
//! lines of boxes are drawn, so that they join.

use std::fmt::Write;
use std::io::Read;

use tmux_roster::Timestamp;
use unicode_width::UnicodeWidthChar;

const CELL: (f32, f32) = (8.4, 18.0);
const MARGIN: f32 = 12.0;
const BAR: f32 = 30.0;
const FOREGROUND: u32 = 0xd3_d7_de;
const BACKGROUND: u32 = 0x1b_1f_27;

/// The sixteen colours of a terminal.
const PALETTE: [u32; 16] = [
    0x2e3440, 0xe0616b, 0x8fc073, 0xe3b65b, 0x6aa5e8, 0xbf86d6, 0x5bb8c4, 0xc8ced8, //
    0x6b7586, 0xf0808a, 0xa8d68c, 0xf2cc7c, 0x8cbcf5, 0xd3a1e6, 0x7fd0da, 0xf2f4f8,
];

#[derive(Clone, Copy, Default, PartialEq)]
struct Style {
    foreground: Option<u32>,
    background: Option<u32>,
    bold: bool,
    dim: bool,
    underlined: bool,
    reversed: bool,
}

impl Style {
    /// What a `CSI … m` does.
    fn apply(&mut self, parameters: &str) {
        // Of 4:3, a curly underline, the first number tells enough.
        let mut numbers = parameters
            .split(';')
            .map(|p| p.split(':').next().and_then(|p| p.parse().ok()).unwrap_or(0u32));
        while let Some(number) = numbers.next() {
            match number {
                0 => *self = Style::default(),
                1 => self.bold = true,
                2 => self.dim = true,
                4 => self.underlined = true,
                7 => self.reversed = true,
                22 => (self.bold, self.dim) = (false, false),
                24 => self.underlined = false,
                27 => self.reversed = false,
                30..=37 => self.foreground = Some(PALETTE[number as usize - 30]),
                90..=97 => self.foreground = Some(PALETTE[number as usize - 90 + 8]),
                40..=47 => self.background = Some(PALETTE[number as usize - 40]),
                100..=107 => self.background = Some(PALETTE[number as usize - 100 + 8]),
                38 => self.foreground = extended(&mut numbers),
                48 => self.background = extended(&mut numbers),
                39 => self.foreground = None,
                49 => self.background = None,
                _ => {}
            }
        }
    }

    /// The colours as they are seen.
    fn colours(self) -> (u32, u32) {
        let (mut fore, mut back) =
            (self.foreground.unwrap_or(FOREGROUND), self.background.unwrap_or(BACKGROUND));
        if self.reversed {
            (fore, back) = (back, fore);
        }
        if self.dim {
            let part = |at: u32| {
                let of = |colour: u32| (colour >> at) & 0xff;
                ((of(fore) * 6 + of(back) * 4) / 10) << at
            };
            fore = part(16) | part(8) | part(0);
        }
        (fore, back)
    }
}

/// What follows 38 or 48: one of 256 colours, or three parts of one.
fn extended(numbers: &mut impl Iterator<Item = u32>) -> Option<u32> {
    if numbers.next()? == 2 {
        return Some(numbers.next()? << 16 | numbers.next()? << 8 | numbers.next()?);
    }
    let number = numbers.next()?;
    let level = |n: u32| if n == 0 { 0 } else { 55 + 40 * n };
    Some(match number {
        0..=15 => PALETTE[number as usize],
        16..=231 => {
            let n = number - 16;
            level(n / 36) << 16 | level(n / 6 % 6) << 8 | level(n % 6)
        }
        _ => (8 + 10 * (number.min(255) - 232)) * 0x01_01_01,
    })
}

/// A character at a column, and how many columns it takes.
struct Cell {
    column: usize,
    width: usize,
    text: String,
    style: Style,
}

/// The characters of one line; its style goes on with the next.
fn cells(line: &str, style: &mut Style) -> Vec<Cell> {
    let mut cells: Vec<Cell> = Vec::new();
    let mut column = 0;
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        if c == '\x1b' {
            // `CSI … m`; capture-pane prints no other but those that choose a character set.
            let kind = rest.next();
            let sequence: String = match kind {
                Some('[') => rest.by_ref().take_while(|c| !c.is_ascii_alphabetic()).collect(),
                _ => continue,
            };
            style.apply(&sequence);
            continue;
        }
        match (c.width(), cells.last_mut()) {
            (Some(0), Some(before)) => before.text.push(c),
            (Some(width @ 1..), _) => {
                cells.push(Cell { column, width, text: c.to_string(), style: *style });
                column += width;
            }
            _ => {}
        }
    }
    cells
}

fn x(column: usize) -> f32 {
    MARGIN + column as f32 * CELL.0
}

/// The line of a box as a path, where the character is one.
fn box_line(character: &str, left: f32, top: f32) -> Option<String> {
    let (up, down, before, after) = match character {
        "─" => (false, false, true, true),
        "│" => (true, true, false, false),
        "┌" | "╭" => (false, true, false, true),
        "┐" | "╮" => (false, true, true, false),
        "└" | "╰" => (true, false, false, true),
        "┘" | "╯" => (true, false, true, false),
        "├" => (true, true, false, true),
        "┤" => (true, true, true, false),
        _ => return None,
    };
    let (x, y) = (left + CELL.0 / 2.0, top + CELL.1 / 2.0);
    let mut path = String::new();
    for (is_drawn, dx, dy) in [
        (up, 0.0, -CELL.1 / 2.0),
        (down, 0.0, CELL.1 / 2.0),
        (before, -CELL.0 / 2.0, 0.0),
        (after, CELL.0 / 2.0, 0.0),
    ] {
        if is_drawn {
            let _ = write!(path, "M{x:.1} {y:.1}l{dx:.1} {dy:.1}");
        }
    }
    Some(path)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The screen as an SVG of a window with its own background.
fn svg(screen: &str, columns: usize, title: &str) -> String {
    let lines: Vec<&str> = screen.lines().collect();
    let width = columns as f32 * CELL.0 + 2.0 * MARGIN;
    let height = lines.len() as f32 * CELL.1 + BAR + MARGIN;
    let title = escape(title);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\">\n<title>{title}</title>\n\
         <style>text{{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans \
         Mono',monospace}}.b{{font-weight:700}}.u{{text-decoration:underline}}path{{fill:none}}\
         </style>\n<rect x=\".5\" y=\".5\" width=\"{:.0}\" height=\"{:.0}\" rx=\"8\" \
         fill=\"#{BACKGROUND:06x}\" stroke=\"#4a5060\"/>\n",
        width - 1.0,
        height - 1.0,
    );
    for (at, colour) in [PALETTE[1], PALETTE[3], PALETTE[2]].iter().enumerate() {
        let x = MARGIN + 6.0 + at as f32 * 18.0;
        let _ = writeln!(out, "<circle cx=\"{x}\" cy=\"15\" r=\"5\" fill=\"#{colour:06x}\"/>");
    }
    let mut style = Style::default();
    // Lines of one colour make one path.
    let mut paths: Vec<(u32, String)> = Vec::new();
    for (row, line) in lines.iter().enumerate() {
        let top = BAR + row as f32 * CELL.1;
        let cells = cells(line, &mut style);
        for run in cells.chunk_by(|a, b| a.style.colours().1 == b.style.colours().1) {
            let (first, last) = (&run[0], &run[run.len() - 1]);
            let colour = first.style.colours().1;
            if colour != BACKGROUND {
                let width = x(last.column + last.width) - x(first.column);
                let _ = writeln!(
                    out,
                    "<rect x=\"{:.1}\" y=\"{top}\" width=\"{width:.1}\" height=\"{}\" \
                     fill=\"#{colour:06x}\"/>",
                    x(first.column),
                    CELL.1
                );
            }
        }
        for (at, cell) in cells.iter().enumerate() {
            let Some(path) = box_line(&cell.text, x(cell.column), top) else { continue };
            let colour = cell.style.colours().0;
            let before = at.checked_sub(1).map(|at| &cells[at]);
            // What comes from its left goes on from where the path is.
            let goes_on = cell.text == "─"
                && before.is_some_and(|before| {
                    "─┌└├╭╰".contains(&before.text) && before.style.colours().0 == colour
                });
            let path = if goes_on { format!("h{}", CELL.0) } else { path };
            match paths.iter_mut().find(|(of, _)| *of == colour) {
                Some((_, whole)) => whole.push_str(&path),
                None => paths.push((colour, path)),
            }
        }
        for piece in pieces(&cells) {
            let (first, last) = (&piece[0], &piece[piece.len() - 1]);
            let Style { bold, underlined, .. } = first.style;
            let class = match (bold, underlined) {
                (false, false) => "",
                (true, false) => " class=\"b\"",
                (false, true) => " class=\"u\"",
                (true, true) => " class=\"b u\"",
            };
            let text: String = piece.iter().map(|cell| cell.text.as_str()).collect();
            let _ = writeln!(
                out,
                "<text x=\"{:.1}\" y=\"{:.1}\" textLength=\"{:.1}\"{class} \
                 fill=\"#{:06x}\">{}</text>",
                x(first.column),
                top + 13.5,
                x(last.column + last.width) - x(first.column),
                first.style.colours().0,
                escape(&text)
            );
        }
    }
    for (colour, path) in paths {
        let _ = writeln!(out, "<path stroke=\"#{colour:06x}\" d=\"{path}\"/>");
    }
    out + "</svg>\n"
}

/// Text of one style, without spaces at its ends and with single ones within: others would be
/// shown as one.
fn pieces(cells: &[Cell]) -> Vec<&[Cell]> {
    let is_empty = |cell: &Cell| cell.text == " " || box_line(&cell.text, 0.0, 0.0).is_some();
    let mut found = Vec::new();
    let mut start = None;
    for at in 0..=cells.len() {
        let goes_on = |from: usize| {
            let here = cells.get(at)?;
            let has_style = here.style == cells[from].style;
            let next =
                cells.get(at + 1).is_some_and(|next| !is_empty(next) && next.style == here.style);
            (has_style && (!is_empty(here) || (here.text == " " && next))).then_some(())
        };
        if let Some(from) = start {
            if goes_on(from).is_some() {
                continue;
            }
            found.push(&cells[from..at]);
            start = None;
        }
        if cells.get(at).is_some_and(|cell| !is_empty(cell)) {
            start = Some(at);
        }
    }
    found
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["svg", columns, title] => {
            let mut screen = String::new();
            std::io::stdin().read_to_string(&mut screen).expect("a screen");
            print!("{}", svg(&screen, columns.parse().expect("a number"), title));
        }
        ["ago", seconds] => {
            let seconds: i64 = seconds.parse().expect("a number");
            println!("{}", Timestamp::now().plus_seconds(-seconds));
        }
        _ => panic!("pictures svg COLUMNS TITLE, or pictures ago SECONDS"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stands_in_its_columns_with_its_colours() {
        let drawn = svg("日本 <&>\x1b[7mr\x1b[0m  \x1b[1;31mb c\x1b[m│\n", 20, "a \"b\"");
        let rest = drawn.as_str();
        assert!(rest.contains("<title>a &quot;b&quot;</title>"), "{drawn}");
        assert!(rest.contains(&format!("textLength=\"{:.1}\"", x(8) - x(0))), "{drawn}");
        assert!(rest.contains(">日本 &lt;&amp;&gt;</text>"), "{drawn}");
        assert!(rest.contains(&format!("fill=\"#{BACKGROUND:06x}\">r</text>")));
        assert!(rest.contains(&format!("class=\"b\" fill=\"#{:06x}\">b c</text>", PALETTE[1])));
        assert!(rest.contains(&format!("M{:.1} ", x(14) + CELL.0 / 2.0)) && !rest.contains('│'));
    }
}
