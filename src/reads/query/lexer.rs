//! Query text to tokens. The lexical rules and the positions in errors are those of the SQL parser Temporal uses
//! (github.com/temporalio/sqlparser, token.go): a position counts the bytes read, one of look-ahead included, from the
//! start of the statement Temporal wraps the query in.

/// Words with a meaning in the grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    And,
    Asc,
    Between,
    By,
    Desc,
    Div,
    Escape,
    False,
    Group,
    Having,
    In,
    Is,
    Like,
    Limit,
    Mod,
    Not,
    Null,
    Offset,
    Or,
    Order,
    Regexp,
    StartsWith,
    True,
    /// Means something elsewhere in SQL, so it names nothing here unless it is back-quoted.
    Reserved,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Name,
    Word(Word),
    Text,
    Integer,
    Float,
    /// Hexadecimal and bit literals: numbers or text in SQL, never a value of an attribute.
    Literal,
    /// Operators and punctuation.
    Symbol(&'static str),
    /// What cannot be a token.
    Bad,
    End,
}

/// A token and what it stands for: the name, the unescaped text, the digits.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) text: String,
    /// Bytes of the query read when the token was complete.
    pub(super) end: usize,
}

const WORDS: &[(&str, Word)] = &[
    ("and", Word::And),
    ("asc", Word::Asc),
    ("between", Word::Between),
    ("by", Word::By),
    ("desc", Word::Desc),
    ("div", Word::Div),
    ("escape", Word::Escape),
    ("false", Word::False),
    ("group", Word::Group),
    ("having", Word::Having),
    ("in", Word::In),
    ("is", Word::Is),
    ("like", Word::Like),
    ("limit", Word::Limit),
    ("mod", Word::Mod),
    ("not", Word::Not),
    ("null", Word::Null),
    ("offset", Word::Offset),
    ("or", Word::Or),
    ("order", Word::Order),
    ("regexp", Word::Regexp),
    ("rlike", Word::Regexp),
    ("starts_with", Word::StartsWith),
    ("true", Word::True),
];

const RESERVED: &[&str] = &[
    "add",
    "all",
    "alter",
    "analyze",
    "as",
    "auto_increment",
    "binary",
    "_binary",
    "case",
    "cast",
    "collate",
    "column",
    "constraint",
    "create",
    "cross",
    "current_date",
    "current_time",
    "current_timestamp",
    "database",
    "databases",
    "default",
    "delete",
    "describe",
    "distinct",
    "drop",
    "else",
    "end",
    "exists",
    "explain",
    "for",
    "force",
    "from",
    "ignore",
    "index",
    "inner",
    "insert",
    "interval",
    "into",
    "join",
    "key",
    "left",
    "lock",
    "match",
    "maxvalue",
    "natural",
    "next",
    "on",
    "outer",
    "rename",
    "replace",
    "right",
    "schema",
    "select",
    "separator",
    "set",
    "show",
    "straight_join",
    "table",
    "tables",
    "then",
    "to",
    "union",
    "unique",
    "update",
    "use",
    "using",
    "values",
    "when",
    "where",
];

/// Longest first, so that `<=` is not read as `<`.
const SYMBOLS: &[&str] = &[
    "<=>", "->>", "&&", "||", "<>", "<<", "<=", ">=", ">>", "!=", "->", "=", ",", ";", "(", ")", "+", "-", "*", "/",
    "%", "^", "~", "&", "|", "<", ">", "!", ".",
];

fn word(name: &str) -> Option<Word> {
    let lower = name.to_ascii_lowercase();
    let word = WORDS.iter().find(|(text, _)| *text == lower).map(|(_, word)| *word);
    word.or_else(|| RESERVED.contains(&lower.as_str()).then_some(Word::Reserved))
}

/// Whether a name must be back-quoted when it is printed.
pub(super) fn needs_quotes(name: &str) -> bool {
    name.is_empty()
        || word(name).is_some()
        || !name.bytes().all(is_letter_or_digit)
        || name.as_bytes()[0].is_ascii_digit()
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte == b'@'
}

fn is_letter_or_digit(byte: u8) -> bool {
    is_letter(byte) || byte.is_ascii_digit()
}

/// Reads tokens one after the other; after the last one, [`Kind::End`] for ever.
pub(super) struct Lexer<'q> {
    text: &'q str,
    at: usize,
}

impl<'q> Lexer<'q> {
    pub(super) fn new(text: &'q str) -> Self {
        Self { text, at: 0 }
    }

    fn rest(&self) -> &'q str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Takes bytes while the test holds. The test must reject bytes of multi-byte characters or take them whole.
    fn take_while(&mut self, test: impl Fn(u8) -> bool) -> &'q str {
        let start = self.at;
        while self.peek().is_some_and(&test) {
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    fn token(&self, kind: Kind, text: impl Into<String>) -> Token {
        Token { kind, text: text.into(), end: self.at }
    }

    pub(super) fn next(&mut self) -> Token {
        self.skip_blanks_and_comments();
        let Some(first) = self.peek() else { return self.token(Kind::End, "") };
        match first {
            b'\'' | b'"' => self.quoted_text(first),
            b'`' => self.quoted_name(),
            _ if first.is_ascii_digit() => self.number(),
            b'.' if self.text.as_bytes().get(self.at + 1).is_some_and(u8::is_ascii_digit) => self.number(),
            _ if is_letter(first) => self.name_or_word(),
            _ => self.symbol(),
        }
    }

    fn skip_blanks_and_comments(&mut self) {
        loop {
            self.take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t'));
            let rest = self.rest();
            if rest.starts_with("--") || rest.starts_with("//") || rest.starts_with('#') {
                self.at += rest.find('\n').map_or(rest.len(), |line_end| line_end + 1);
            } else if let Some(end) = rest.strip_prefix("/*").and_then(|comment| comment.find("*/")) {
                self.at += end + 4;
            } else {
                return;
            }
        }
    }

    fn name_or_word(&mut self) -> Token {
        let rest = self.rest().as_bytes();
        if matches!(rest[0], b'x' | b'X' | b'b' | b'B') && rest.get(1) == Some(&b'\'') {
            return self.coded_literal();
        }
        let name = self.take_while(is_letter_or_digit);
        match word(name) {
            Some(word) => self.token(Kind::Word(word), name.to_ascii_lowercase()),
            None => self.token(Kind::Name, name),
        }
    }

    /// `x'4D'` or `b'01'`.
    fn coded_literal(&mut self) -> Token {
        let start = self.at;
        self.at += 2;
        let digits = self.take_while(|byte| byte.is_ascii_hexdigit());
        if self.peek() != Some(b'\'') {
            return self.token(Kind::Bad, digits);
        }
        self.at += 1;
        self.token(Kind::Literal, &self.text[start..self.at])
    }

    fn number(&mut self) -> Token {
        let start = self.at;
        let mut kind = Kind::Integer;
        if self.rest().starts_with("0x") || self.rest().starts_with("0X") {
            kind = Kind::Literal;
            self.at += 2;
            self.take_while(|byte| byte.is_ascii_hexdigit());
        } else {
            self.take_while(|byte| byte.is_ascii_digit());
            if self.peek() == Some(b'.') {
                kind = Kind::Float;
                self.at += 1;
                self.take_while(|byte| byte.is_ascii_digit());
            }
            if matches!(self.peek(), Some(b'e' | b'E')) {
                kind = Kind::Float;
                self.at += 1;
                if matches!(self.peek(), Some(b'+' | b'-')) {
                    self.at += 1;
                }
                self.take_while(|byte| byte.is_ascii_digit());
            }
        }
        if self.peek().is_some_and(is_letter) {
            kind = Kind::Bad;
        }
        self.token(kind, &self.text[start..self.at])
    }

    /// Text in single or double quotes: a doubled quote is the quote, a backslash escapes as in MySQL.
    fn quoted_text(&mut self, quote: u8) -> Token {
        self.at += 1;
        let mut text = String::new();
        loop {
            text.push_str(self.take_while(|byte| byte != quote && byte != b'\\'));
            let Some(found) = self.peek() else { return self.token(Kind::Bad, text) };
            self.at += 1;
            let next = self.rest().chars().next();
            match (found == quote, next) {
                (true, Some(next)) if next == char::from(quote) => text.push(next),
                (true, _) => return self.token(Kind::Text, text),
                (false, Some(next)) => text.push(unescaped(next)),
                (false, None) => return self.token(Kind::Bad, text),
            }
            self.at += next.map_or(0, char::len_utf8);
        }
    }

    fn quoted_name(&mut self) -> Token {
        self.at += 1;
        let mut name = String::new();
        loop {
            name.push_str(self.take_while(|byte| byte != b'`'));
            if self.peek().is_none() {
                return self.token(Kind::Bad, name);
            }
            self.at += 1;
            if self.peek() != Some(b'`') {
                break;
            }
            name.push('`');
            self.at += 1;
        }
        let kind = if name.is_empty() { Kind::Bad } else { Kind::Name };
        self.token(kind, name)
    }

    fn symbol(&mut self) -> Token {
        let rest = self.rest();
        if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            self.at += symbol.len();
            return self.token(Kind::Symbol(symbol), "");
        }
        let bad = rest.chars().next().unwrap_or_default();
        self.at += bad.len_utf8();
        self.token(Kind::Bad, bad)
    }
}

/// What a character after a backslash stands for.
fn unescaped(character: char) -> char {
    match character {
        '0' => '\0',
        'b' => '\u{8}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'Z' => '\u{1a}',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(Kind, String, usize)> {
        let mut lexer = Lexer::new(text);
        let mut tokens = Vec::new();
        loop {
            let token = lexer.next();
            if token.kind == Kind::End {
                return tokens;
            }
            tokens.push((token.kind, token.text, token.end));
        }
    }

    fn only(text: &str) -> (Kind, String) {
        let mut tokens = kinds(text);
        assert_eq!(tokens.len(), 1, "{text}: {tokens:?}");
        let (kind, text, _) = tokens.remove(0);
        (kind, text)
    }

    #[test]
    fn texts_and_their_escapes() {
        for (written, text) in [
            ("'a'", "a"),
            ("\"a\"", "a"),
            ("'it''s'", "it's"),
            ("'it\\'s'", "it's"),
            ("\"say \"\"hi\"\"\"", "say \"hi\""),
            ("'a\"b'", "a\"b"),
            ("'back\\\\slash'", "back\\slash"),
            ("'tab\\tend'", "tab\tend"),
            ("'50\\%'", "50%"),
            ("'ünï ✓'", "ünï ✓"),
            ("'\\ü'", "ü"),
            ("''", ""),
        ] {
            assert_eq!(only(written), (Kind::Text, text.to_owned()), "{written}");
        }
        for open in ["'a", "\"a'", "'a\\'", "'a\\"] {
            assert_eq!(only(open).0, Kind::Bad, "{open}");
        }
    }

    #[test]
    fn names_and_words() {
        assert_eq!(only("Custom_1"), (Kind::Name, "Custom_1".into()));
        assert_eq!(only("`any thing`"), (Kind::Name, "any thing".into()));
        assert_eq!(only("`a``b`"), (Kind::Name, "a`b".into()));
        assert_eq!(only("StArTs_WiTh"), (Kind::Word(Word::StartsWith), "starts_with".into()));
        assert_eq!(only("SELECT").0, Kind::Word(Word::Reserved));
        assert_eq!(only("Status").0, Kind::Name);
        assert_eq!(only("``").0, Kind::Bad);
        assert_eq!(only("`a").0, Kind::Bad);
    }

    #[test]
    fn numbers() {
        assert_eq!(only("12"), (Kind::Integer, "12".into()));
        assert_eq!(only("1.5"), (Kind::Float, "1.5".into()));
        assert_eq!(only(".5"), (Kind::Float, ".5".into()));
        assert_eq!(only("1e-3"), (Kind::Float, "1e-3".into()));
        assert_eq!(only("0x1F"), (Kind::Literal, "0x1F".into()));
        assert_eq!(only("x'1F'"), (Kind::Literal, "x'1F'".into()));
        assert_eq!(kinds("1d")[0].0, Kind::Bad);
    }

    #[test]
    fn symbols_comments_and_ends() {
        let ends: Vec<_> =
            kinds("a<=>b -- rest\n /* c */ != # more").into_iter().map(|(kind, _, end)| (kind, end)).collect();
        let expected = [(Kind::Name, 1), (Kind::Symbol("<=>"), 4), (Kind::Name, 5), (Kind::Symbol("!="), 25)];
        assert_eq!(ends, expected);
        assert_eq!(only("§"), (Kind::Bad, "§".into()));
    }
}
