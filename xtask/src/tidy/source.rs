//! A Rust file, taken apart: code without comments and texts, comments, and where the tests are.

/// A file and its lines.
pub(super) struct Source {
    /// Relative to the workspace's root, with slashes.
    pub(super) path: String,
    pub(super) lines: Vec<Line>,
}

/// One line.
#[derive(Default)]
pub(super) struct Line {
    pub(super) raw: String,
    /// The code, with comments and the insides of literals blanked.
    pub(super) code: String,
    /// What comments on this line say.
    pub(super) comment: String,
    /// Belongs to an item under `#[cfg(test)]`.
    pub(super) in_test: bool,
    /// Belongs to a `use` declaration.
    pub(super) in_use: bool,
}

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Self {
        let mut lines = split(text);
        mark_tests(&mut lines);
        mark_uses(&mut lines);
        Source { path: path.to_string(), lines }
    }

    /// Tells whether this is product code: `crates/*/src`.
    pub(super) fn is_product(&self) -> bool {
        let mut parts = self.path.split('/');
        parts.next() == Some("crates") && parts.nth(1) == Some("src")
    }

    /// Returns the crate's folder name, for files under `crates/`.
    pub(super) fn krate(&self) -> Option<&str> {
        self.path.strip_prefix("crates/")?.split('/').next()
    }

    /// Returns the lines of product code that are not tests, numbered from 0.
    pub(super) fn product_lines(&self) -> impl Iterator<Item = (usize, &Line)> {
        let product = self.is_product() && !self.path.ends_with("/tests.rs");
        self.lines.iter().enumerate().filter(move |(_, line)| product && !line.in_test)
    }

    /// Tells whether a comment on the line, or at most `distance` lines above it, has the tag.
    pub(super) fn has_tag_near(&self, line: usize, tag: &str, distance: usize) -> bool {
        let near = &self.lines[line.saturating_sub(distance)..=line];
        near.iter().any(|line| line.comment.contains(tag))
    }

    /// Returns the code from a place on, over the ends of lines, as one text of about 200 bytes.
    pub(super) fn code_from(&self, line: usize, column: usize) -> String {
        let mut text = self.lines[line].code[column..].to_string();
        for next in &self.lines[line + 1..] {
            if text.len() > 200 {
                break;
            }
            text.push(' ');
            text.push_str(next.code.trim());
        }
        text
    }
}

/// Returns where `word` stands in `code` as a whole word.
pub(super) fn find_words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let before = code[..at].chars().next_back().is_some_and(is_word);
        let after = code[at + word.len()..].chars().next().is_some_and(is_word);
        !before && !after
    })
}

pub(super) fn has_word(code: &str, word: &str) -> bool {
    find_words(code, word).next().is_some()
}

/// What the characters belong to.
enum State {
    Code,
    LineComment,
    /// With how many are open: Rust's nest.
    BlockComment(usize),
    Text,
    /// With how many `#` it ends.
    RawText(usize),
}

/// Splits a file into lines of code and comment.
fn split(text: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut state = State::Code;
    for raw in text.lines() {
        let mut line = Line { raw: raw.to_string(), ..Line::default() };
        let chars: Vec<char> = raw.chars().collect();
        let mut at = 0;
        while at < chars.len() {
            at += match state {
                State::Code => code(&chars, at, &mut line, &mut state),
                State::LineComment => {
                    line.comment.push(chars[at]);
                    1
                }
                State::BlockComment(depth) => comment(&chars, at, depth, &mut line, &mut state),
                State::Text => text_literal(&chars, at, &mut line, &mut state),
                State::RawText(hashes) => raw_text(&chars, at, hashes, &mut line, &mut state),
            };
        }
        if matches!(state, State::LineComment) {
            state = State::Code;
        }
        lines.push(line);
    }
    lines
}

/// Reads one step of code, and returns how many characters it has.
fn code(chars: &[char], at: usize, line: &mut Line, state: &mut State) -> usize {
    let rest = &chars[at..];
    match rest {
        ['/', '/', ..] => {
            *state = State::LineComment;
            2
        }
        ['/', '*', ..] => {
            *state = State::BlockComment(1);
            2
        }
        ['"', ..] => {
            line.code.push('"');
            *state = State::Text;
            1
        }
        ['r', ..] if !follows_word(chars, at) => match raw_start(rest) {
            Some(hashes) => {
                line.code.push('"');
                *state = State::RawText(hashes);
                hashes + 2
            }
            None => copy(rest[0], line),
        },
        ['\'', ..] => char_literal(rest, line),
        _ => copy(rest[0], line),
    }
}

fn copy(character: char, line: &mut Line) -> usize {
    line.code.push(character);
    1
}

/// Reads one step inside `/* */`.
fn comment(chars: &[char], at: usize, depth: usize, line: &mut Line, state: &mut State) -> usize {
    match &chars[at..] {
        ['*', '/', ..] => {
            *state = if depth == 1 { State::Code } else { State::BlockComment(depth - 1) };
            2
        }
        ['/', '*', ..] => {
            *state = State::BlockComment(depth + 1);
            2
        }
        rest => {
            line.comment.push(rest[0]);
            1
        }
    }
}

/// Reads one step inside `""`.
fn text_literal(chars: &[char], at: usize, line: &mut Line, state: &mut State) -> usize {
    match &chars[at..] {
        ['\\', ..] => 2,
        ['"', ..] => {
            line.code.push('"');
            *state = State::Code;
            1
        }
        _ => 1,
    }
}

/// Reads one step inside `r#""#`.
fn raw_text(chars: &[char], at: usize, hashes: usize, line: &mut Line, state: &mut State) -> usize {
    let rest = &chars[at..];
    let closes = rest[0] == '"'
        && rest.len() > hashes
        && rest[1..=hashes].iter().all(|&character| character == '#');
    if !closes {
        return 1;
    }
    line.code.push('"');
    *state = State::Code;
    hashes + 1
}

/// Reads a character literal, or the mark of a lifetime.
fn char_literal(rest: &[char], line: &mut Line) -> usize {
    line.code.push('\'');
    let length = match rest {
        ['\'', '\\', _, inside @ ..] => {
            inside.iter().position(|&character| character == '\'').map(|end| end + 4)
        }
        ['\'', _, '\'', ..] => Some(3),
        _ => None,
    };
    if length.is_some() {
        line.code.push('\'');
    }
    length.unwrap_or(1)
}

/// Returns the count of `#` if a raw text starts here.
fn raw_start(rest: &[char]) -> Option<usize> {
    let hashes = rest[1..].iter().take_while(|&&character| character == '#').count();
    (rest.get(1 + hashes) == Some(&'"')).then_some(hashes)
}

/// Tells whether the character before is of a name. The prefixes of `br""` and `cr""` are no name.
fn follows_word(chars: &[char], at: usize) -> bool {
    let is_word = |at: usize| chars[at].is_alphanumeric() || chars[at] == '_';
    let prefix = at >= 1 && matches!(chars[at - 1], 'b' | 'c') && (at < 2 || !is_word(at - 2));
    at >= 1 && is_word(at - 1) && !prefix
}

/// Marks the items under `#[cfg(test)]`.
fn mark_tests(lines: &mut [Line]) {
    let mut at = 0;
    while at < lines.len() {
        if is_test_attribute(&lines[at].code) {
            let end = item_end(lines, at);
            lines[at..=end].iter_mut().for_each(|line| line.in_test = true);
            at = end;
        }
        at += 1;
    }
}

fn is_test_attribute(code: &str) -> bool {
    let code = code.trim();
    let condition = code.strip_prefix("#[cfg(").or_else(|| code.strip_prefix("#![cfg("));
    condition.is_some_and(|rest| has_word(rest, "test") && !rest.contains("not(test"))
}

/// Returns the last line of the item whose attribute stands on line `start`.
fn item_end(lines: &[Line], start: usize) -> usize {
    if lines[start].code.trim_start().starts_with("#![") {
        return lines.len() - 1;
    }
    let mut depth = 0_usize;
    for (at, line) in lines.iter().enumerate().skip(start) {
        for character in line.code.chars() {
            match character {
                '{' => depth += 1,
                '}' if depth <= 1 => return at,
                '}' => depth -= 1,
                ';' if depth == 0 => return at,
                _ => {}
            }
        }
    }
    lines.len() - 1
}

/// Marks `use` declarations, which may go over several lines.
fn mark_uses(lines: &mut [Line]) {
    let mut open = false;
    for line in lines {
        let code = line.code.trim();
        let begins = code.starts_with("use ")
            || (code.starts_with("pub") && code.contains(" use ") && !code.contains('='));
        open |= begins;
        line.in_use = open;
        open &= !code.contains(';');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(text: &str) -> Vec<String> {
        Source::new("x.rs", text).lines.into_iter().map(|line| line.code).collect()
    }

    #[test]
    fn comments_and_literals_are_not_code() {
        let text = r###"
let a = "unsafe { // \" "; // SAFETY: b
/* one /* two */ */ let c = '"'; let d: &'a str = r#"x " y"#;
let e = '\''; let f = b'{'; let g = br"\"; let h = '\u{1F600}';
"two
lines" + i
"###;
        let lines = codes(text);
        assert_eq!(lines[1], "let a = \"\"; ");
        assert_eq!(lines[2], " let c = ''; let d: &'a str = \"\";");
        assert_eq!(lines[3], "let e = ''; let f = b''; let g = b\"\"; let h = '';");
        assert_eq!(lines[5], "\" + i");
        let source = Source::new("x.rs", text);
        assert!(source.lines[1].comment.contains("SAFETY: b"));
    }

    #[test]
    fn test_items_are_marked_to_their_end() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n  fn b() {}\n}\nfn c() {}\n";
        let source = Source::new("x.rs", text);
        let marks: Vec<bool> = source.lines.iter().map(|line| line.in_test).collect();
        assert_eq!(marks, [false, true, true, true, true, false]);
        assert!(!Source::new("x.rs", "#[cfg(not(test))]\nfn a() {}").lines[1].in_test);
        assert!(Source::new("x.rs", "#[cfg(test)]\nmod tests;\nfn a() {}").lines[1].in_test);
    }

    #[test]
    fn uses_are_marked_to_their_end() {
        let text = "pub(crate) use a::{\n  b,\n};\nfn c() {}\n";
        let source = Source::new("x.rs", text);
        let marks: Vec<bool> = source.lines.iter().map(|line| line.in_use).collect();
        assert_eq!(marks, [true, true, true, false]);
    }

    #[test]
    fn words_are_whole() {
        assert!(has_word("Ordering::Release)", "Release"));
        assert!(!has_word("Released ReleaseAll _Release", "Release"));
    }
}
