//! `packed-refs` as a file and as a table.
//!
//! Format: git's refs/packed-backend.c. A file in exactly the form that git
//! itself writes (header, sorted, fully peeled) is kept as a table, so that a
//! one-line change replicates one line. Any other is kept byte for byte while it is
//! small; beyond that it becomes a table too, if it says what a table can say. What it does
//! not say, to what its tags peel, the rendering does not claim either.

use gitmoor_model::{PackedEdit, PackedRef, RepoPath};
use std::io::{self, Write};
use std::iter::Peekable;

/// The first line that git has written since 2.17.
pub const HEADER: &[u8] = b"# pack-refs with: peeled fully-peeled sorted \n";

/// What a file says whose refs below `refs/tags/` are peeled, others perhaps not.
const TAGS_PEELED: &[u8] = b"# pack-refs with: peeled sorted \n";
/// What a file says in which nobody knows.
const NONE_PEELED: &[u8] = b"# pack-refs with: sorted \n";

/// How much is known of what the refs of a table peel to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Peeled {
    /// Of all of them.
    Fully,
    /// Of those below `refs/tags/`.
    Tags,
    /// Of none, but where a line says it.
    Some,
}

impl Peeled {
    /// The first line of a file.
    pub fn header(self) -> &'static [u8] {
        match self {
            Peeled::Fully => HEADER,
            Peeled::Tags => TAGS_PEELED,
            Peeled::Some => NONE_PEELED,
        }
    }

    /// What may be said of a table that has this line.
    pub fn of(name: &[u8], line: &PackedRef) -> Self {
        let is_known = line.peeled.as_ref().is_none_or(|oid| !oid.is_empty());
        match (is_known, name.starts_with(b"refs/tags/")) {
            (true, _) => Peeled::Fully,
            (false, false) => Peeled::Tags,
            (false, true) => Peeled::Some,
        }
    }

    /// Takes the first line of a file, if it is a header.
    fn take(file: &mut &[u8]) -> Self {
        if !file.starts_with(b"# pack-refs with:") {
            return Peeled::Some;
        }
        let traits = take_line(file).unwrap_or_default();
        let has = |name: &[u8]| traits.split(|&b| b == b' ').any(|it| it == name);
        match (has(b"fully-peeled"), has(b"peeled")) {
            (true, _) => Peeled::Fully,
            (false, true) => Peeled::Tags,
            (false, false) => Peeled::Some,
        }
    }

    /// What is known of a ref that a file of this kind has, and says nothing of.
    fn unsaid(self, name: &[u8]) -> Option<Vec<u8>> {
        match self {
            Peeled::Fully => None,
            Peeled::Tags if name.starts_with(b"refs/tags/") => None,
            // An empty id: unknown.
            Peeled::Tags | Peeled::Some => Some(Vec::new()),
        }
    }
}

/// The lines of any file that says what a table can say, in the table's order.
pub fn lines_of(mut file: &[u8]) -> Option<Vec<(&[u8], PackedRef)>> {
    let peeled = Peeled::take(&mut file);
    let mut all = Vec::new();
    let mut lines = Lines {
        rest: file,
        last: b"",
    };
    while !lines.rest.is_empty() {
        let (name, mut line) = lines.any_entry()?;
        line.peeled = line.peeled.or_else(|| peeled.unsaid(name));
        all.push((name, line));
    }
    all.sort_unstable_by_key(|(name, _)| *name);
    let is_unique = all.windows(2).all(|pair| pair[0].0 != pair[1].0);
    is_unique.then_some(all)
}

/// Walks a usual file line by line. Yields `None` once, and ends, at the first
/// thing that its own rendering would not give back.
pub struct Lines<'a> {
    rest: &'a [u8],
    last: &'a [u8],
}

impl<'a> Lines<'a> {
    /// `None` when the header is not the usual one.
    pub fn new(file: &'a [u8]) -> Option<Self> {
        file.strip_prefix(HEADER)
            .map(|rest| Self { rest, last: b"" })
    }

    fn entry(&mut self) -> Option<(&'a [u8], PackedRef)> {
        let (name, line) = self.any_entry()?;
        let ascending = name > self.last;
        self.last = name;
        ascending.then_some((name, line))
    }

    /// In any order.
    fn any_entry(&mut self) -> Option<(&'a [u8], PackedRef)> {
        let line = take_line(&mut self.rest)?;
        let space = line.iter().position(|&b| b == b' ')?;
        let (oid, name) = (unhex(&line[..space])?, &line[space + 1..]);
        let peeled = match self.rest.first() {
            Some(b'^') => Some(unhex(&take_line(&mut self.rest)?[1..])?),
            _ => None,
        };
        let usable = RepoPath::new(name).is_some_and(|path| !path.is_root());
        usable.then_some((name, PackedRef { oid, peeled }))
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Option<(&'a [u8], PackedRef)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let entry = self.entry();
        if entry.is_none() {
            self.rest = b"";
        }
        Some(entry)
    }
}

fn take_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = rest.iter().position(|&b| b == b'\n')?;
    let line = &rest[..end];
    *rest = &rest[end + 1..];
    Some(line)
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    if !matches!(text.len(), 40 | 64) {
        return None;
    }
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    text.chunks_exact(2)
        .map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?))
        .collect()
}

/// Writes one line (two, with a peeled value).
pub fn write_line(out: &mut impl Write, name: &[u8], line: &PackedRef) -> io::Result<()> {
    write_hex(out, &line.oid)?;
    out.write_all(b" ")?;
    out.write_all(name)?;
    out.write_all(b"\n")?;
    if let Some(peeled) = line.peeled.as_ref().filter(|oid| !oid.is_empty()) {
        out.write_all(b"^")?;
        write_hex(out, peeled)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

fn write_hex(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    // An id in one write; longer ones no git writes, but another node may.
    for id in bytes.chunks(32) {
        let mut text = [0; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(id) {
            pair.copy_from_slice(&[
                DIGITS[usize::from(byte >> 4)],
                DIGITS[usize::from(byte & 15)],
            ]);
        }
        out.write_all(&text[..id.len() * 2])?;
    }
    Ok(())
}

/// Whether a file is one that a table can give back byte for byte.
pub fn is_usual(file: &[u8]) -> bool {
    Lines::new(file).is_some_and(|mut lines| lines.all(|line| line.is_some()))
}

/// A name, and what is packed under it.
type Line<'a> = (&'a [u8], PackedRef);

/// Finds the edits that turn a table into a file, in one merge of the two sorted
/// sequences.
pub struct Diff<'a> {
    new: Peekable<Box<dyn Iterator<Item = Line<'a>> + 'a>>,
    edits: Vec<PackedEdit>,
}

impl<'a> Diff<'a> {
    /// Towards a usual file, see [`is_usual`].
    pub fn towards(file: &'a [u8]) -> Option<Self> {
        let lines = is_usual(file).then(|| Lines::new(file))??;
        Some(Self::to(lines.flatten()))
    }

    /// Towards lines in the table's order.
    pub fn to(lines: impl Iterator<Item = Line<'a>> + 'a) -> Self {
        let lines: Box<dyn Iterator<Item = _> + 'a> = Box::new(lines);
        Self {
            new: lines.peekable(),
            edits: Vec::new(),
        }
    }

    /// The next line of the table, in order.
    pub fn old(&mut self, name: &[u8], line: &PackedRef) {
        while let Some((name, line)) = self.new.next_if(|(new, _)| *new < name) {
            self.edits.push(set(name, line));
        }
        match self.new.next_if(|(new, _)| *new == name) {
            Some((_, new)) if new == *line => {}
            Some((_, new)) => self.edits.push(set(name, new)),
            None => self.edits.push(PackedEdit::Delete { name: path(name) }),
        }
    }

    /// The edits, after the last line of the table.
    pub fn finish(mut self) -> Vec<PackedEdit> {
        for (name, line) in self.new {
            self.edits.push(set(name, line));
        }
        self.edits
    }
}

fn set(name: &[u8], line: PackedRef) -> PackedEdit {
    PackedEdit::Set {
        name: path(name),
        line,
    }
}

fn path(name: &[u8]) -> RepoPath {
    RepoPath::new(name).expect("names of a usual file and of the table were checked")
}
