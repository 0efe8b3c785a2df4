//! What a query says, before names and types are looked at. Prints as Temporal's SQL parser prints it, because error
//! messages quote expressions.

use std::fmt;

use super::lexer::needs_quotes;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expr {
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
    Paren(Box<Expr>),
    Compare {
        operator: Operator,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    Range {
        negated: bool,
        left: Box<Expr>,
        from: Box<Expr>,
        to: Box<Expr>,
    },
    Is {
        left: Box<Expr>,
        what: Is,
    },
    Column(String),
    Text(String),
    /// The digits as written, perhaps with a sign.
    Number(String),
    /// A hexadecimal or bit literal as written.
    Coded(String),
    Bool(bool),
    Null,
    Tuple(Vec<Expr>),
    Function {
        name: String,
        arguments: Vec<Expr>,
    },
    /// Arithmetic: understood only to be refused.
    Unary {
        operator: &'static str,
        operand: Box<Expr>,
    },
    Binary {
        operator: &'static str,
        operands: Vec<Expr>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    NullSafeEqual,
    In,
    NotIn,
    Like,
    NotLike,
    Regexp,
    NotRegexp,
    StartsWith,
    NotStartsWith,
}

impl Operator {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
            Self::NullSafeEqual => "<=>",
            Self::In => "in",
            Self::NotIn => "not in",
            Self::Like => "like",
            Self::NotLike => "not like",
            Self::Regexp => "regexp",
            Self::NotRegexp => "not regexp",
            Self::StartsWith => "starts_with",
            Self::NotStartsWith => "not starts_with",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Is {
    Null,
    NotNull,
    /// `IS [NOT] TRUE`, `IS [NOT] FALSE`.
    Truth,
}

/// A whole query.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Statement {
    pub(super) condition: Option<Expr>,
    pub(super) group_by: Vec<Expr>,
    pub(super) has_having: bool,
    pub(super) has_order: bool,
    pub(super) has_limit: bool,
}

impl Expr {
    /// The expression's type in Temporal's SQL parser, which its messages name.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::And(_) => "*sqlparser.AndExpr",
            Self::Or(_) => "*sqlparser.OrExpr",
            Self::Not(_) => "*sqlparser.NotExpr",
            Self::Paren(_) => "*sqlparser.ParenExpr",
            Self::Compare { .. } => "*sqlparser.ComparisonExpr",
            Self::Range { .. } => "*sqlparser.RangeCond",
            Self::Is { .. } => "*sqlparser.IsExpr",
            Self::Column(_) => "*sqlparser.ColName",
            Self::Text(_) | Self::Number(_) | Self::Coded(_) => "*sqlparser.SQLVal",
            Self::Bool(_) => "sqlparser.BoolVal",
            Self::Null => "*sqlparser.NullVal",
            Self::Tuple(_) => "sqlparser.ValTuple",
            Self::Function { .. } => "*sqlparser.FuncExpr",
            Self::Unary { .. } => "*sqlparser.UnaryExpr",
            Self::Binary { .. } => "*sqlparser.BinaryExpr",
        }
    }
}

fn join(items: &[Expr], separator: &str) -> String {
    items.iter().map(Expr::to_string).collect::<Vec<_>>().join(separator)
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(items) => f.write_str(&join(items, " and ")),
            Self::Or(items) => f.write_str(&join(items, " or ")),
            Self::Not(inner) => write!(f, "not {inner}"),
            Self::Paren(inner) => write!(f, "({inner})"),
            Self::Compare { operator, left, right } => write!(f, "{left} {} {right}", operator.text()),
            Self::Range { negated, left, from, to } => {
                let operator = if *negated { "not between" } else { "between" };
                write!(f, "{left} {operator} {from} and {to}")
            }
            Self::Is { left, what } => {
                let what = match what {
                    Is::Null => "is null",
                    Is::NotNull => "is not null",
                    Is::Truth => "is true",
                };
                write!(f, "{left} {what}")
            }
            Self::Column(name) if needs_quotes(name) => write!(f, "`{}`", name.replace('`', "``")),
            Self::Column(name) => f.write_str(name),
            Self::Text(text) => write!(f, "'{text}'"),
            Self::Number(digits) | Self::Coded(digits) => f.write_str(digits),
            Self::Bool(truth) => write!(f, "{truth}"),
            Self::Null => f.write_str("null"),
            Self::Tuple(items) => write!(f, "({})", join(items, ", ")),
            Self::Function { name, arguments } => write!(f, "{name}({})", join(arguments, ", ")),
            Self::Unary { operator, operand } => write!(f, "{operator}{operand}"),
            Self::Binary { operator, operands } => f.write_str(&join(operands, &format!(" {operator} "))),
        }
    }
}
