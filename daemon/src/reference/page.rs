//! A page of Markdown: lines of at most [`WIDTH`] characters, unless a line is code.

/// As docs are written.
const WIDTH: usize = 100;

const MADE: &str = "<!-- Made of the code; daemon/tests/reference.rs writes it anew. -->";

/// A page as it grows.
pub(super) struct Page {
    text: String,
}

impl Page {
    pub(super) fn new(title: &str) -> Self {
        let text = format!("# {title}\n\n{MADE}\n");
        Self { text }
    }

    pub(super) fn finished(self) -> String {
        self.text
    }

    /// Lines that stand as they are.
    pub(super) fn code(&mut self, language: &str, code: &str) {
        self.line(&format!("\n```{language}\n{code}\n```"));
    }

    pub(super) fn gap(&mut self) {
        self.text.push('\n');
    }

    pub(super) fn text(&mut self, text: &str) {
        self.text.push('\n');
        self.wrapped(text, "", "");
    }

    pub(super) fn heading(&mut self, level: usize, text: &str) {
        let marks = "#".repeat(level);
        self.line(&format!("\n{marks} {text}"));
    }

    pub(super) fn item(&mut self, text: &str) {
        self.wrapped(text, "- ", "  ");
    }

    pub(super) fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Code in backticks stays on one line.
    fn wrapped(&mut self, text: &str, first: &str, others: &str) {
        let mut line = first.to_owned();
        let mut is_empty = true;
        for word in words(text) {
            if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
                self.line(&line);
                line = others.to_owned();
                is_empty = true;
            }
            if !is_empty {
                line.push(' ');
            }
            line.push_str(&word);
            is_empty = false;
        }
        self.line(&line);
    }
}

/// What Markdown would take for its own.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut is_code = false;
    for c in text.chars() {
        is_code ^= c == '`';
        if !is_code && "*_<>[]|".contains(c) {
            plain.push('\\');
        }
        plain.push(c);
    }
    plain
}

/// Between blanks; what is in backticks is one.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_code = false;
    for c in text.chars() {
        is_code ^= c == '`';
        match (c, words.last_mut()) {
            (c, _) if c.is_whitespace() && !is_code => words.push(String::new()),
            (c, Some(word)) => word.push(c),
            (_, None) => {}
        }
    }
    words.retain(|word| !word.is_empty());
    words
}
