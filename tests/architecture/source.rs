//! Rust source as far as the architecture test reads it: identifiers and punctuation, and the paths they make.

use std::path::{Path, PathBuf};

/// A word or a sign of the source; comments are left out, literals are kept as `"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub text: String,
    pub line: usize,
}

/// A path as it is written in the source, with the groups of `use` spelled out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPath {
    /// `crate` and what `self` and `super` stand for in front, where it leads into this crate.
    pub segments: Vec<String>,
    pub line: usize,
}

/// A file below `src/`.
pub struct SourceFile {
    /// Its path below `src/`.
    pub path: PathBuf,
    pub text: String,
    pub tokens: Vec<Token>,
}

impl SourceFile {
    pub fn new(path: &Path, text: &str) -> SourceFile {
        SourceFile { path: path.to_owned(), text: text.to_owned(), tokens: tokens(text) }
    }

    /// The directory directly below `src/`; empty for `lib.rs` and `main.rs`.
    pub fn top(&self) -> &str {
        let mut parts = self.path.iter();
        let first = parts.next().and_then(|part| part.to_str()).expect("a path below src/");
        if parts.next().is_some() { first } else { "" }
    }

    /// The module that the file is, from the crate's root.
    pub fn module(&self) -> Vec<String> {
        let mut module: Vec<String> =
            self.path.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
        if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
            module.pop();
        }
        module
    }

    /// `path:line`, for a message.
    pub fn at(&self, line: usize) -> String {
        format!("src/{}:{line}", self.path.display())
    }

    /// Whether the tokens from `at` on are `words`.
    pub fn is(&self, at: usize, words: &[&str]) -> bool {
        self.tokens[at.min(self.tokens.len())..]
            .iter()
            .map(|token| token.text.as_str())
            .take(words.len())
            .eq(words.iter().copied())
    }

    /// Every path that the file names.
    pub fn paths(&self) -> Vec<NamedPath> {
        let mut found = Vec::new();
        let mut scope = self.module();
        // Inline modules that are open, by the number of braces around them.
        let (mut depth, mut inline) = (0, Vec::new());
        let mut at = 0;
        while at < self.tokens.len() {
            let token = &self.tokens[at];
            match token.text.as_str() {
                "{" => depth += 1,
                "}" => {
                    depth -= 1;
                    if inline.last() == Some(&depth) {
                        inline.pop();
                        scope.pop();
                    }
                }
                "mod" if self.text_at(at + 2) == "{" => {
                    inline.push(depth);
                    scope.push(self.text_at(at + 1).to_owned());
                    at += 1;
                }
                text if is_name(text) && !KEYWORDS.contains(&text) && !self.is_visibility(at) => {
                    at = self.path_from(at, &[], &scope, &mut found);
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
        found
    }

    fn text_at(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| &token.text)
    }

    /// Whether a path begins here that only says who may see an item, as in `pub(crate)`.
    fn is_visibility(&self, at: usize) -> bool {
        at >= 2 && self.is(at - 2, &["pub", "("]) && self.text_at(at + 1) == ")"
    }

    /// Reads the path that begins at `at`, behind `prefix`; gives the place behind it.
    fn path_from(&self, mut at: usize, prefix: &[String], scope: &[String], found: &mut Vec<NamedPath>) -> usize {
        let line = self.tokens[at].line;
        let mut segments = prefix.to_vec();
        loop {
            segments.push(self.text_at(at).to_owned());
            at += 1;
            if self.text_at(at) != "::" {
                break;
            }
            let next = self.text_at(at + 1);
            if next == "{" {
                return self.group_from(at + 2, &segments, scope, found);
            }
            if !is_name(next) && next != "*" {
                break;
            }
            at += 1;
        }
        found.push(NamedPath { segments: resolve(segments, scope), line });
        at
    }

    /// Reads the paths of a group, whose brace is behind; gives the place behind the closing one.
    fn group_from(&self, mut at: usize, prefix: &[String], scope: &[String], found: &mut Vec<NamedPath>) -> usize {
        while self.text_at(at) != "}" {
            match self.text_at(at) {
                "" => return at,
                // The new name of what was just read.
                "as" => at += 2,
                text if is_name(text) || text == "*" => at = self.path_from(at, prefix, scope, found),
                _ => at += 1,
            }
        }
        at + 1
    }
}

/// Words behind which a path may begin with `::`.
const KEYWORDS: [&str; 8] = ["as", "dyn", "else", "for", "impl", "in", "return", "use"];

fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Turns `self` and `super` in front into a path from `crate`.
fn resolve(segments: Vec<String>, scope: &[String]) -> Vec<String> {
    if !matches!(segments[0].as_str(), "self" | "super") {
        return segments;
    }
    let ups = segments.iter().filter(|segment| *segment == "super").count();
    let rest = segments.into_iter().filter(|segment| segment != "super" && segment != "self");
    let above = scope[..scope.len().saturating_sub(ups)].iter().cloned();
    std::iter::once("crate".to_owned()).chain(above).chain(rest).collect()
}

/// The words and signs of `text`.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut lexer = Lexer { rest: text, line: 1, tokens: Vec::new() };
    while !lexer.rest.is_empty() {
        lexer.step();
    }
    lexer.tokens
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    fn step(&mut self) {
        let first = self.rest.chars().next().expect("not at the end");
        if self.rest.starts_with("//") {
            self.skip(self.rest.find('\n').unwrap_or(self.rest.len()));
        } else if self.rest.starts_with("/*") {
            self.skip(comment_bytes(self.rest));
        } else if let Some(bytes) = string_bytes(self.rest) {
            self.push(bytes, "\"");
        } else if let Some(bytes) = character_bytes(self.rest) {
            self.push(bytes, "\"");
        } else if first == '\'' {
            self.skip(1);
            self.skip(word_bytes(self.rest));
        } else if self.rest.starts_with("r#") {
            self.skip(2);
        } else if first.is_alphanumeric() || first == '_' {
            let bytes = word_bytes(self.rest);
            self.push(bytes, &self.rest[..bytes]);
        } else if self.rest.starts_with("::") {
            self.push(2, "::");
        } else if first.is_whitespace() {
            self.skip(first.len_utf8());
        } else {
            self.push(first.len_utf8(), &self.rest[..first.len_utf8()]);
        }
    }

    fn push(&mut self, bytes: usize, text: &str) {
        self.tokens.push(Token { text: text.to_owned(), line: self.line });
        self.skip(bytes);
    }

    fn skip(&mut self, bytes: usize) {
        let (front, rest) = self.rest.split_at(bytes);
        self.line += front.matches('\n').count();
        self.rest = rest;
    }
}

fn word_bytes(text: &str) -> usize {
    text.find(|next: char| !next.is_alphanumeric() && next != '_').unwrap_or(text.len())
}

/// The length of the block comment at the front; they nest.
fn comment_bytes(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let (change, bytes) = match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => (1, 2),
            [b'*', b'/', ..] => (-1, 2),
            _ => (0, 1),
        };
        (depth, at) = (depth + change, at + bytes);
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// The length of the string literal at the front, if there is one.
fn string_bytes(text: &str) -> Option<usize> {
    let prefix = text.find(|next: char| !matches!(next, 'b' | 'c' | 'r')).filter(|bytes| *bytes <= 2)?;
    let behind = &text[prefix..];
    if text[..prefix].contains('r') {
        let hashes = behind.find(|next| next != '#')?;
        behind[hashes..].strip_prefix('"')?;
        let close = format!("\"{}", "#".repeat(hashes));
        let start = prefix + hashes + 1;
        return Some(text[start..].find(&close).map_or(text.len(), |end| start + end + close.len()));
    }
    behind.strip_prefix('"')?;
    Some(prefix + 1 + closing_bytes(&behind[1..], '"'))
}

/// The length of the character literal at the front, if there is one and not a lifetime.
fn character_bytes(text: &str) -> Option<usize> {
    let prefix = usize::from(text.starts_with("b'"));
    let behind = text[prefix..].strip_prefix('\'')?;
    let first = behind.chars().next()?;
    let is_character = first == '\\' || behind[first.len_utf8()..].starts_with('\'');
    is_character.then(|| prefix + 1 + closing_bytes(behind, '\''))
}

/// How far it is to behind the next `quote` that no backslash stands before.
fn closing_bytes(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, next) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if next == '\\' {
            escaped = true;
        } else if next == quote {
            return at + 1;
        }
    }
    text.len()
}
