//! pgbench's scripts as data, so that a peer without pgbench runs the very same file.
//!
//! Understands what the shipped scripts use: comments, `\set name expression` with integers, variables, `+`, `-`,
//! `*`, parentheses and `random(low, high)`, and one SQL statement per line. Anything else is refused, not skipped.
//! The language: <https://www.postgresql.org/docs/15/pgbench.html>

use std::collections::BTreeMap;
use std::fmt;

/// A transaction as pgbench runs it: every step, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// In the order of the file.
    pub steps: Vec<Step>,
}

/// One line of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// `\set name expression`
    Set(String, Expression),
    /// A statement without its semicolon. Its parameters are written `:name`, which SQLite understands too.
    Sql(String),
}

/// What `\set` computes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// A literal.
    Integer(i64),
    /// `:name`
    Variable(String),
    /// An operator between two expressions.
    Binary(Operator, Box<Expression>, Box<Expression>),
    /// `random(low, high)`: uniform, both ends included.
    Random(Box<Expression>, Box<Expression>),
}

/// Integer arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
}

/// The values that one client's script sees and sets; they live as long as the client does.
pub type Variables = BTreeMap<String, i64>;

/// A line that is not understood.
#[derive(Debug, PartialEq, Eq)]
pub struct NotUnderstood {
    /// From 1.
    pub line: usize,
    /// What was expected.
    pub expected: &'static str,
}

impl fmt::Display for NotUnderstood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: expected {}", self.line, self.expected)
    }
}

impl Script {
    /// Reads a file's text.
    pub fn parse(text: &str) -> Result<Script, NotUnderstood> {
        let mut steps = Vec::new();
        for (line, number) in text.lines().zip(1..) {
            let line = line.trim();
            if line.is_empty() || line.starts_with("--") {
                continue;
            }
            let step = if let Some(rest) = line.strip_prefix("\\set ") {
                parse_set(rest)
            } else {
                parse_sql(line)
            };
            steps.push(step.map_err(|expected| NotUnderstood {
                line: number,
                expected,
            })?);
        }
        Ok(Script { steps })
    }

    /// The statements alone.
    pub fn statements(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().filter_map(|step| match step {
            Step::Sql(sql) => Some(sql.as_str()),
            Step::Set(..) => None,
        })
    }
}

fn parse_sql(line: &str) -> Result<Step, &'static str> {
    if line.starts_with('\\') {
        return Err("\\set or SQL");
    }
    match line.strip_suffix(';') {
        Some(sql) if !sql.contains(';') => Ok(Step::Sql(sql.to_owned())),
        _ => Err("one statement on one line, with a semicolon at its end"),
    }
}

fn parse_set(rest: &str) -> Result<Step, &'static str> {
    let (name, text) = rest
        .trim()
        .split_once(char::is_whitespace)
        .ok_or("a name and an expression")?;
    let tokens = tokens(text)?;
    let mut tokens = Tokens(&tokens);
    let expression = tokens.sum()?;
    if !tokens.0.is_empty() {
        return Err("the line's end after the expression");
    }
    Ok(Step::Set(name.to_owned(), expression))
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Integer(i64),
    Variable(String),
    Word(String),
    Symbol(char),
}

fn tokens(text: &str) -> Result<Vec<Token>, &'static str> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let body = if first == ':' { &rest[1..] } else { rest };
        let length = body.find(|c| !is_name(c)).unwrap_or(body.len());
        let name = body[..length].to_owned();
        rest = match first {
            ':' => {
                tokens.push(Token::Variable(name));
                &body[length..]
            }
            '0'..='9' => {
                tokens.push(Token::Integer(name.parse().map_err(|_| "an integer")?));
                &body[length..]
            }
            'a'..='z' => {
                tokens.push(Token::Word(name));
                &body[length..]
            }
            '+' | '-' | '*' | '(' | ')' | ',' => {
                tokens.push(Token::Symbol(first));
                &rest[1..]
            }
            _ => return Err("an integer, a variable, random, + - * or parentheses"),
        }
        .trim_start();
    }
    Ok(tokens)
}

/// What is left to read of an expression.
struct Tokens<'a>(&'a [Token]);

impl Tokens<'_> {
    fn maybe_symbol(&mut self, symbol: char) -> bool {
        let found = self.0.first() == Some(&Token::Symbol(symbol));
        if found {
            self.0 = &self.0[1..];
        }
        found
    }

    fn symbol(&mut self, symbol: char, expected: &'static str) -> Result<(), &'static str> {
        if self.maybe_symbol(symbol) {
            Ok(())
        } else {
            Err(expected)
        }
    }

    fn sum(&mut self) -> Result<Expression, &'static str> {
        let mut left = self.product()?;
        loop {
            let operator = if self.maybe_symbol('+') {
                Operator::Add
            } else if self.maybe_symbol('-') {
                Operator::Subtract
            } else {
                return Ok(left);
            };
            left = Expression::Binary(operator, Box::new(left), Box::new(self.product()?));
        }
    }

    fn product(&mut self) -> Result<Expression, &'static str> {
        let mut left = self.operand()?;
        while self.maybe_symbol('*') {
            left = Expression::Binary(Operator::Multiply, Box::new(left), Box::new(self.operand()?));
        }
        Ok(left)
    }

    fn operand(&mut self) -> Result<Expression, &'static str> {
        let (first, rest) = self.0.split_first().ok_or("an operand")?;
        self.0 = rest;
        match first {
            Token::Integer(value) => Ok(Expression::Integer(*value)),
            Token::Variable(name) => Ok(Expression::Variable(name.clone())),
            Token::Word(word) if word == "random" => {
                self.symbol('(', "( after random")?;
                let low = self.sum()?;
                self.symbol(',', "a comma between the ends of random")?;
                let high = self.sum()?;
                self.symbol(')', ") after random")?;
                Ok(Expression::Random(Box::new(low), Box::new(high)))
            }
            Token::Symbol('-') => {
                let zero = Box::new(Expression::Integer(0));
                Ok(Expression::Binary(
                    Operator::Subtract,
                    zero,
                    Box::new(self.operand()?),
                ))
            }
            Token::Symbol('(') => {
                let inner = self.sum()?;
                self.symbol(')', "a closing parenthesis")?;
                Ok(inner)
            }
            Token::Word(_) => Err("random, the only function"),
            Token::Symbol(_) => Err("an operand"),
        }
    }
}

/// A client's own chance: SplitMix64, whose whole state is its seed. <https://prng.di.unimi.it/splitmix64.c>
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// The same seed draws the same numbers.
    pub fn new(seed: u64) -> Chance {
        Chance(seed)
    }

    /// Uniform in `low..=high` but for a bias of the range's size in 2^64; `low` when the range is empty.
    pub fn draw(&mut self, low: i64, high: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        let size = u128::try_from(i128::from(high) - i128::from(low) + 1).unwrap_or(1);
        let offset = (u128::from(bits) * size) >> 64;
        low.wrapping_add(offset as i64)
    }
}

impl Expression {
    /// Its value. `Err` names a variable that is not set.
    pub fn value(&self, variables: &Variables, chance: &mut Chance) -> Result<i64, String> {
        match self {
            Expression::Integer(value) => Ok(*value),
            Expression::Variable(name) => variables.get(name).copied().ok_or_else(|| name.clone()),
            Expression::Binary(operator, left, right) => {
                let left = left.value(variables, chance)?;
                let right = right.value(variables, chance)?;
                Ok(match operator {
                    Operator::Add => left.wrapping_add(right),
                    Operator::Subtract => left.wrapping_sub(right),
                    Operator::Multiply => left.wrapping_mul(right),
                })
            }
            Expression::Random(low, high) => {
                let low = low.value(variables, chance)?;
                let high = high.value(variables, chance)?;
                Ok(chance.draw(low, high))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> i64 {
        let Step::Set(_, expression) = parse_set(&format!("x {text}")).expect(text) else {
            panic!("{text} is an expression");
        };
        let variables = Variables::from([("base".to_owned(), 100), ("client_id".to_owned(), 3)]);
        expression
            .value(&variables, &mut Chance::new(1))
            .expect("its variables are set")
    }

    #[test]
    fn expressions_have_the_usual_precedence() {
        assert_eq!(value("1 + 2 * 3"), 7);
        assert_eq!(value("(1 + 2) * 3"), 9);
        assert_eq!(value("10 - 2 - 3"), 5);
        assert_eq!(value("-4 + 1"), -3);
        assert_eq!(value(":base + 2 * :client_id"), 106);
    }

    #[test]
    fn random_draws_every_value_between_both_ends_and_no_other() {
        let mut chance = Chance::new(7);
        let mut seen = [0; 5];
        for _ in 0..1_000 {
            seen[usize::try_from(chance.draw(-2, 2) + 2).expect("not below the low end")] += 1;
        }
        assert!(seen.iter().all(|count| *count > 150), "{seen:?}");
        assert_eq!(chance.draw(4, 4), 4);
        chance.draw(i64::MIN, i64::MAX);
    }

    #[test]
    fn a_script_is_its_lines_in_order_without_comments() {
        let script = Script::parse("-- why\n\\set a 1\n\nBEGIN;\n  SELECT :a;\nEND;\n").expect("valid");
        assert_eq!(script.steps[0], Step::Set("a".to_owned(), Expression::Integer(1)));
        assert_eq!(
            script.statements().collect::<Vec<_>>(),
            ["BEGIN", "SELECT :a", "END"]
        );
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_line() {
        for (text, line) in [
            ("\\sleep 1 ms", 1),
            ("SELECT 1;\nSELECT 2", 2),
            ("SELECT 1; SELECT 2;", 1),
            ("\\set a", 1),
            ("\\set a random(1 2)", 1),
            ("\\set a 1 2", 1),
            ("\\set a hash(1)", 1),
            ("\\set a 1 / 2", 1),
            ("\\set a (1", 1),
            ("\\set a 99999999999999999999", 1),
        ] {
            assert_eq!(Script::parse(text).expect_err(text).line, line, "{text:?}");
        }
    }

    #[test]
    fn a_variable_that_is_not_set_is_named() {
        let unset = Expression::Variable("nobody".to_owned());
        assert_eq!(
            unset.value(&Variables::new(), &mut Chance::new(1)),
            Err("nobody".to_owned())
        );
    }
}
