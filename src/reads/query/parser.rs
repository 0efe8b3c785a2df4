//! Tokens to a tree, by recursive descent. Precedence, loosest first: OR, AND, NOT, comparisons and IS, arithmetic.
//! Chains of AND, OR and arithmetic are flat lists, so the depth of a tree is that of its parentheses and NOTs, which
//! is bounded.

use super::ast::{Expr, Is, Operator, Statement};
use super::lexer::{Kind, Lexer, Token, Word};
use super::{Invalid, NESTING_MAX, QUERY_BYTES_MAX, TUPLE_VALUES_MAX};

/// What Temporal puts before a query to make it a statement; positions in errors count it.
const STATEMENT: usize = "select * from table1 ".len();
const WHERE: usize = "where ".len();

/// Parses a query: a condition, then perhaps GROUP BY, ORDER BY, LIMIT. Empty text is a statement without condition.
pub(super) fn parse(query: &str) -> Result<Statement, Invalid> {
    if query.len() > QUERY_BYTES_MAX {
        return Err(Invalid::malformed(format!("query is longer than {QUERY_BYTES_MAX} bytes")));
    }
    let text = query.trim();
    let head: String = text.chars().take("order by".len()).collect::<String>().to_ascii_lowercase();
    let only_clauses = head == "order by" || head == "group by";
    let has_condition = !text.is_empty() && !only_clauses;
    let mut parser = Parser {
        offset: STATEMENT + if has_condition { WHERE } else { 0 },
        lexer: Lexer::new(text),
        token: Token { kind: Kind::End, text: String::new(), end: 0 },
        depth: 0,
    };
    parser.advance();
    parser.statement(has_condition)
}

struct Parser<'q> {
    lexer: Lexer<'q>,
    /// The token looked at, not yet taken.
    token: Token,
    offset: usize,
    depth: usize,
}

type Parsed<T> = Result<T, Invalid>;

impl Parser<'_> {
    fn advance(&mut self) -> Token {
        let next = self.lexer.next();
        std::mem::replace(&mut self.token, next)
    }

    fn at(&self, word: Word) -> bool {
        self.token.kind == Kind::Word(word)
    }

    fn at_symbol(&self, symbol: &'static str) -> bool {
        self.token.kind == Kind::Symbol(symbol)
    }

    fn take(&mut self, word: Word) -> bool {
        let found = self.at(word);
        if found {
            self.advance();
        }
        found
    }

    fn take_symbol(&mut self, symbol: &'static str) -> bool {
        let found = self.at_symbol(symbol);
        if found {
            self.advance();
        }
        found
    }

    fn expect(&mut self, word: Word) -> Parsed<()> {
        if self.take(word) {
            Ok(())
        } else {
            Err(self.surprise())
        }
    }

    fn expect_symbol(&mut self, symbol: &'static str) -> Parsed<()> {
        if self.take_symbol(symbol) {
            Ok(())
        } else {
            Err(self.surprise())
        }
    }

    /// The token looked at cannot stand here.
    fn surprise(&self) -> Invalid {
        self.error("syntax error")
    }

    fn error(&self, what: &str) -> Invalid {
        let position = self.offset + self.token.end + 1;
        let near = match self.token.kind {
            Kind::Symbol(_) | Kind::End => String::new(),
            _ => format!(" near '{}'", self.token.text),
        };
        Invalid::malformed(format!("{what} at position {position}{near}"))
    }

    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth == NESTING_MAX {
            return Err(self.error("max nesting level reached"));
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    fn statement(&mut self, has_condition: bool) -> Parsed<Statement> {
        let mut statement = Statement::default();
        if has_condition {
            statement.condition = Some(self.expression()?);
        }
        if self.take(Word::Group) {
            self.expect(Word::By)?;
            statement.group_by = self.list()?;
        }
        if self.take(Word::Having) {
            self.expression()?;
            statement.has_having = true;
        }
        if self.take(Word::Order) {
            self.expect(Word::By)?;
            self.order_list()?;
            statement.has_order = true;
        }
        if self.take(Word::Limit) {
            self.expression()?;
            if self.take_symbol(",") || self.take(Word::Offset) {
                self.expression()?;
            }
            statement.has_limit = true;
        }
        self.take_symbol(";");
        if self.token.kind != Kind::End {
            return Err(self.surprise());
        }
        Ok(statement)
    }

    fn order_list(&mut self) -> Parsed<()> {
        loop {
            self.expression()?;
            if !self.take(Word::Asc) {
                self.take(Word::Desc);
            }
            if !self.take_symbol(",") {
                return Ok(());
            }
        }
    }

    fn list(&mut self) -> Parsed<Vec<Expr>> {
        let mut items = vec![self.expression()?];
        while self.take_symbol(",") {
            if items.len() == TUPLE_VALUES_MAX {
                return Err(Invalid::malformed(format!("list of more than {TUPLE_VALUES_MAX} values")));
            }
            items.push(self.expression()?);
        }
        Ok(items)
    }

    fn expression(&mut self) -> Parsed<Expr> {
        let mut items = vec![self.conjunction()?];
        while self.take(Word::Or) || self.take_symbol("||") {
            items.push(self.conjunction()?);
        }
        Ok(flat(items, Expr::Or))
    }

    fn conjunction(&mut self) -> Parsed<Expr> {
        let mut items = vec![self.negation()?];
        while self.take(Word::And) || self.take_symbol("&&") {
            items.push(self.negation()?);
        }
        Ok(flat(items, Expr::And))
    }

    fn negation(&mut self) -> Parsed<Expr> {
        if self.take(Word::Not) {
            return self.nested(|parser| Ok(Expr::Not(Box::new(parser.negation()?))));
        }
        let mut left = self.condition()?;
        let mut suffixes = 0;
        while self.take(Word::Is) {
            // Each suffix deepens the tree although nothing encloses it.
            suffixes += 1;
            if suffixes > NESTING_MAX {
                return Err(self.error("max nesting level reached"));
            }
            let negated = self.take(Word::Not);
            let what = match self.token.kind {
                Kind::Word(Word::Null) if negated => Is::NotNull,
                Kind::Word(Word::Null) => Is::Null,
                Kind::Word(Word::True | Word::False) => Is::Truth,
                _ => return Err(self.surprise()),
            };
            self.advance();
            left = Expr::Is { left: Box::new(left), what };
        }
        Ok(left)
    }

    fn condition(&mut self) -> Parsed<Expr> {
        let left = self.sum()?;
        if let Some(operator) = self.comparison() {
            self.advance();
            return self.compare(operator, left);
        }
        let negated = self.take(Word::Not);
        let operator = match (self.token.kind, negated) {
            (Kind::Word(Word::Between), _) => return self.range(negated, left),
            (Kind::Word(Word::In), false) => Operator::In,
            (Kind::Word(Word::In), true) => Operator::NotIn,
            (Kind::Word(Word::Like), false) => Operator::Like,
            (Kind::Word(Word::Like), true) => Operator::NotLike,
            (Kind::Word(Word::Regexp), false) => Operator::Regexp,
            (Kind::Word(Word::Regexp), true) => Operator::NotRegexp,
            (Kind::Word(Word::StartsWith), false) => Operator::StartsWith,
            (Kind::Word(Word::StartsWith), true) => Operator::NotStartsWith,
            (_, true) => return Err(self.surprise()),
            (_, false) => return Ok(left),
        };
        self.advance();
        if matches!(operator, Operator::In | Operator::NotIn) {
            self.expect_symbol("(")?;
            let items = self.nested(Self::list)?;
            self.expect_symbol(")")?;
            return Ok(Expr::Compare { operator, left: Box::new(left), right: Box::new(Expr::Tuple(items)) });
        }
        let compared = self.compare(operator, left)?;
        if matches!(operator, Operator::Like | Operator::NotLike) && self.take(Word::Escape) {
            self.sum()?;
        }
        Ok(compared)
    }

    fn comparison(&self) -> Option<Operator> {
        let Kind::Symbol(symbol) = self.token.kind else { return None };
        Some(match symbol {
            "=" => Operator::Equal,
            "!=" | "<>" => Operator::NotEqual,
            "<" => Operator::Less,
            "<=" => Operator::LessEqual,
            ">" => Operator::Greater,
            ">=" => Operator::GreaterEqual,
            "<=>" => Operator::NullSafeEqual,
            _ => return None,
        })
    }

    fn compare(&mut self, operator: Operator, left: Expr) -> Parsed<Expr> {
        let right = self.sum()?;
        Ok(Expr::Compare { operator, left: Box::new(left), right: Box::new(right) })
    }

    fn range(&mut self, negated: bool, left: Expr) -> Parsed<Expr> {
        self.advance();
        let from = self.sum()?;
        self.expect(Word::And)?;
        let to = self.sum()?;
        Ok(Expr::Range { negated, left: Box::new(left), from: Box::new(from), to: Box::new(to) })
    }

    /// Arithmetic of any precedence: it is refused afterwards whatever it means.
    fn sum(&mut self) -> Parsed<Expr> {
        let mut operands = vec![self.operand()?];
        let mut first = None;
        while let Some(operator) = self.arithmetic() {
            self.advance();
            first.get_or_insert(operator);
            operands.push(self.operand()?);
        }
        Ok(match first {
            Some(operator) => Expr::Binary { operator, operands },
            None => operands.swap_remove(0),
        })
    }

    fn arithmetic(&self) -> Option<&'static str> {
        match self.token.kind {
            Kind::Symbol(symbol) => ["+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>", "->", "->>"]
                .into_iter()
                .find(|known| *known == symbol),
            Kind::Word(Word::Div) => Some("div"),
            Kind::Word(Word::Mod) => Some("%"),
            _ => None,
        }
    }

    fn operand(&mut self) -> Parsed<Expr> {
        match self.token.kind {
            Kind::Symbol(symbol @ ("+" | "-" | "~" | "!")) => {
                self.advance();
                let operand = self.nested(Self::operand)?;
                Ok(signed(symbol, operand))
            }
            Kind::Symbol("(") => {
                self.advance();
                let items = self.nested(Self::list)?;
                self.expect_symbol(")")?;
                Ok(match <[Expr; 1]>::try_from(items) {
                    Ok([inner]) => Expr::Paren(Box::new(inner)),
                    Err(items) => Expr::Tuple(items),
                })
            }
            Kind::Text => Ok(Expr::Text(self.advance().text)),
            Kind::Integer | Kind::Float => Ok(Expr::Number(self.advance().text)),
            Kind::Literal => Ok(Expr::Coded(self.advance().text)),
            Kind::Word(word @ (Word::True | Word::False)) => {
                self.advance();
                Ok(Expr::Bool(word == Word::True))
            }
            Kind::Word(Word::Null) => {
                self.advance();
                Ok(Expr::Null)
            }
            Kind::Name | Kind::Word(Word::Offset) => self.column_or_function(),
            _ => Err(self.surprise()),
        }
    }

    fn column_or_function(&mut self) -> Parsed<Expr> {
        let mut name = self.advance().text;
        while self.take_symbol(".") {
            match self.token.kind {
                Kind::Name | Kind::Word(_) => name = format!("{name}.{}", self.advance().text),
                _ => return Err(self.surprise()),
            }
        }
        if !self.take_symbol("(") {
            return Ok(Expr::Column(name));
        }
        if self.take_symbol(")") {
            return Ok(Expr::Function { name, arguments: Vec::new() });
        }
        if self.take_symbol("*") {
            self.expect_symbol(")")?;
            return Ok(Expr::Function { name, arguments: Vec::new() });
        }
        let arguments = self.nested(Self::list)?;
        self.expect_symbol(")")?;
        Ok(Expr::Function { name, arguments })
    }
}

fn flat(mut items: Vec<Expr>, chain: fn(Vec<Expr>) -> Expr) -> Expr {
    if items.len() == 1 {
        items.swap_remove(0)
    } else {
        chain(items)
    }
}

/// A sign before a number belongs to the number.
fn signed(operator: &'static str, operand: Expr) -> Expr {
    match (operator, operand) {
        ("+", Expr::Number(digits)) => Expr::Number(digits),
        ("-", Expr::Number(digits)) => {
            let positive = digits.strip_prefix('-').map(str::to_owned);
            Expr::Number(positive.unwrap_or_else(|| format!("-{digits}")))
        }
        (_, operand) => Expr::Unary { operator, operand: Box::new(operand) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(query: &str) -> Expr {
        parse(query).unwrap_or_else(|error| panic!("{query}: {error}")).condition.expect("a condition")
    }

    /// The tree, every part in brackets.
    fn shape(expr: &Expr) -> String {
        let all = |items: &[Expr]| items.iter().map(shape).collect::<Vec<_>>().join(" ");
        match expr {
            Expr::And(items) => format!("[and {}]", all(items)),
            Expr::Or(items) => format!("[or {}]", all(items)),
            Expr::Not(inner) => format!("[not {}]", shape(inner)),
            Expr::Paren(inner) => shape(inner),
            other => other.to_string(),
        }
    }

    #[test]
    fn precedence() {
        for (query, expected) in [
            ("a = 1 OR b = 2 AND c = 3", "[or a = 1 [and b = 2 c = 3]]"),
            ("(a = 1 OR b = 2) AND c = 3", "[and [or a = 1 b = 2] c = 3]"),
            ("NOT a = 1 AND b = 2", "[and [not a = 1] b = 2]"),
            ("NOT NOT a = 1", "[not [not a = 1]]"),
            ("NOT a IS NULL OR b = 1", "[or [not a is null] b = 1]"),
            ("a BETWEEN 1 AND 2 AND b = 3", "[and a between 1 and 2 b = 3]"),
            ("a not between 1 and 2 or b not in (1, 2)", "[or a not between 1 and 2 b not in (1, 2)]"),
            ("a = 1 && b = 2 || c = 3", "[or [and a = 1 b = 2] c = 3]"),
            ("a = -1 AND b = - 2.5 AND c = - -3", "[and a = -1 b = -2.5 c = 3]"),
        ] {
            assert_eq!(shape(&condition(query)), expected, "{query}");
        }
    }

    #[test]
    fn what_is_printed_reads_the_same() {
        for query in [
            "a = 'x' and b != 2 or c <= 3.5",
            "not (a in ('x', 'y')) and b is not null",
            "a not starts_with 'x' and `my name` > 5",
            "a between '1' and '2' or f(1, 2) = true",
        ] {
            let printed = condition(query).to_string();
            assert_eq!(printed, query);
            assert_eq!(condition(&printed), condition(query));
        }
    }

    #[test]
    fn clauses() {
        let statement = parse("a = 1 GROUP BY b, c ORDER BY d DESC, e LIMIT 1, 2").expect("a statement");
        assert_eq!(statement.group_by.len(), 2);
        assert!(statement.has_order && statement.has_limit && !statement.has_having);
        assert_eq!(parse("  ").expect("nothing"), Statement::default());
        assert_eq!(parse("GROUP BY b").expect("only a clause").condition, None);
    }

    #[test]
    fn errors_name_the_first_surprise() {
        for (query, expected) in [
            ("WorkflowId = ", "syntax error at position 40"),
            ("WorkflowId == 'x'", "syntax error at position 41"),
            ("(WorkflowId = 'a'", "syntax error at position 45"),
            ("WorkflowId = 'a' AND", "syntax error at position 48"),
            ("WorkflowId = 'a' AND OR WorkflowId = 'b'", "syntax error at position 51 near 'or'"),
            ("WorkflowId IN 'a'", "syntax error at position 45 near 'a'"),
            ("WorkflowId IN ()", "syntax error at position 44"),
            ("a = 1 b", "syntax error at position 35 near 'b'"),
            ("a = 'x", "syntax error at position 34 near 'x'"),
            ("a = 1)", "syntax error at position 34"),
            ("a NOT = 1", "syntax error at position 35"),
            ("a BETWEEN 1 OR 2", "syntax error at position 42 near 'or'"),
            ("a = select", "syntax error at position 38 near 'select'"),
            ("a IS 5", "syntax error at position 34 near '5'"),
            ("GROUP BY", "syntax error at position 30"),
            ("LIMIT 1", "syntax error at position 33 near 'limit'"),
            ("a = 1d", "syntax error at position 33 near '1'"),
            ("§ = 1", "syntax error at position 30 near '§'"),
        ] {
            let error = parse(query).expect_err(query).to_string();
            assert_eq!(error, format!("malformed SQL query: {expected}"), "{query}");
        }
    }

    #[test]
    fn everything_is_bounded() {
        let deep = |open: &str, close: &str, n: usize| format!("{}a = 1{}", open.repeat(n), close.repeat(n));
        assert!(parse(&deep("(", ")", NESTING_MAX)).is_ok());
        for query in [
            deep("(", ")", NESTING_MAX + 1),
            deep("(", ")", 20_000),
            deep("NOT ", "", 10_000),
            format!("a = {}1", "- ".repeat(10_000)),
            format!("a {}", "IS NULL ".repeat(5_000)),
        ] {
            let error = parse(&query).expect_err("too deep").to_string();
            assert!(error.contains("max nesting level reached"), "{error}");
        }
        assert!(parse(&"a = 1 AND ".repeat(100_000)).expect_err("too long").to_string().contains("longer than"));
        let wide = format!("a IN ({}1)", "1,".repeat(TUPLE_VALUES_MAX));
        assert!(parse(&wide).expect_err("too wide").to_string().contains("list of more than"));
        assert!(parse(&format!("{}a = 1", "a = 1 OR ".repeat(5_000))).is_ok());
    }
}
