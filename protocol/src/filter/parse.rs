//! Text to terms, in two steps: words with their places, then what each asks for.

use super::near::nearest;
use super::value::{Operator, Test};
use super::{Alternatives, FilterError, MAX_DEPTH, MAX_TERMS, Part, Term, Want, column, fold};
use crate::column::{Column, Record};

/// A character, where it stands, and whether quotes protect it.
#[derive(Clone, Copy)]
struct Letter {
    char: char,
    at: usize,
    quoted: bool,
}

impl Letter {
    fn is(self, char: char) -> bool {
        self.char == char && !self.quoted
    }
}

enum Token {
    /// A `|` and its place.
    Or(usize),
    /// A `(` before a word and its place, and whether a `!` stands before it.
    Open(usize, bool),
    /// Its `)`.
    Close(usize),
    /// A run of letters that no space divides, and where it starts.
    Word(usize, Vec<Letter>),
}

/// What is wrong and where, before the text is put to it.
pub(super) struct Fault {
    at: usize,
    message: String,
    hint: String,
}

fn fault(at: usize, message: impl Into<String>, hint: impl Into<String>) -> Fault {
    Fault { at, message: message.into(), hint: hint.into() }
}

pub(super) fn parse<R: Record>(text: &str) -> Result<Alternatives<R>, FilterError> {
    tokens(text).and_then(alternatives).map_err(|Fault { at, message, hint }| FilterError {
        text: text.to_owned(),
        offset: at,
        message,
        hint,
    })
}

fn tokens(text: &str) -> Result<Vec<Token>, Fault> {
    let mut tokens = Vec::new();
    let mut word: Option<(usize, Vec<Letter>)> = None;
    let mut quote = None;
    // Brackets that are open, and those within the word, which are text.
    let (mut depth, mut within) = (0_usize, 0_usize);
    let mut chars = text.chars().enumerate().peekable();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' if quote.is_some() => quote = None,
            '\\' if quote.is_some() && matches!(chars.peek(), Some((_, '"' | '\\'))) => {
                if let Some((at, char)) = chars.next() {
                    word.get_or_insert_with(|| (at, Vec::new())).1.push(Letter { char, at, quoted: true });
                }
            }
            _ if quote.is_some() => word.get_or_insert_with(|| (at, Vec::new())).1.push(Letter { char, at, quoted: true }),
            '"' => {
                quote = Some(at);
                word.get_or_insert_with(|| (at, Vec::new()));
            }
            '|' => {
                tokens.extend(word.take().map(|(at, letters)| Token::Word(at, letters)));
                tokens.push(Token::Or(at));
            }
            _ if char.is_whitespace() => tokens.extend(word.take().map(|(at, letters)| Token::Word(at, letters))),
            '(' if word.as_ref().is_none_or(|(_, letters)| letters.iter().all(|letter| letter.is('!'))) => {
                let marks = word.take().map_or(0, |(_, letters)| letters.len());
                tokens.push(Token::Open(at, marks % 2 == 1));
                (depth, within) = (depth + 1, 0);
            }
            ')' if depth > 0 && (within == 0 || word.is_none()) => {
                tokens.extend(word.take().map(|(at, letters)| Token::Word(at, letters)));
                tokens.push(Token::Close(at));
                (depth, within) = (depth - 1, 0);
            }
            _ => {
                within = match (char, word.is_none()) {
                    (_, true) => 0,
                    ('(', _) => within + 1,
                    (')', _) => within.saturating_sub(1),
                    _ => within,
                };
                word.get_or_insert_with(|| (at, Vec::new())).1.push(Letter { char, at, quoted: false });
            }
        }
    }
    if let Some(at) = quote {
        return Err(fault(at, "this quote is not closed", "write a second '\"' behind the text"));
    }
    tokens.extend(word.map(|(at, letters)| Token::Word(at, letters)));
    Ok(tokens)
}

/// What stands between two brackets, or in none.
struct Level<R: Record> {
    /// The bracket.
    at: usize,
    negated: bool,
    alternatives: Alternatives<R>,
    /// The last `|`.
    bar: Option<usize>,
}

impl<R: Record> Level<R> {
    fn new(at: usize, negated: bool) -> Self {
        Self { at, negated, alternatives: vec![Vec::new()], bar: None }
    }

    fn push(&mut self, part: Part<R>) {
        if let Some(last) = self.alternatives.last_mut() {
            last.push(part);
        }
    }

    fn is_open(&self) -> bool {
        self.alternatives.last().is_none_or(Vec::is_empty)
    }

    fn or(&mut self, at: usize) -> Result<(), Fault> {
        if self.is_open() {
            return Err(fault(at, "nothing stands before '|'", "write a word on either side of '|'"));
        }
        self.bar = Some(at);
        self.alternatives.push(Vec::new());
        Ok(())
    }

    /// Nothing more stands in it; whether anything does.
    fn close(&self) -> Result<bool, Fault> {
        match (self.is_open(), self.bar) {
            (true, Some(at)) => Err(fault(at, "nothing stands behind '|'", "write a word on either side of '|'")),
            (open, _) => Ok(!open),
        }
    }
}

fn alternatives<R: Record>(tokens: Vec<Token>) -> Result<Alternatives<R>, Fault> {
    let (mut level, mut outer) = (Level::new(0, false), Vec::new());
    let mut count = 0;
    for token in tokens {
        match token {
            Token::Or(at) => level.or(at)?,
            Token::Open(at, _) if outer.len() == MAX_DEPTH => {
                return Err(fault(at, format!("more than {MAX_DEPTH} brackets within each other"), "use fewer brackets"));
            }
            Token::Open(at, negated) => outer.push(std::mem::replace(&mut level, Level::new(at, negated))),
            Token::Close(at) => {
                if !level.close()? {
                    return Err(fault(level.at, "nothing stands in these brackets", "write words between them, or quote them"));
                }
                let Some(around) = outer.pop() else {
                    return Err(fault(at, "no bracket is open here", "write '(' before the words that belong together"));
                };
                let Level { negated, alternatives, .. } = std::mem::replace(&mut level, around);
                level.push(Part::Group { negated, alternatives });
            }
            Token::Word(at, _) if count == MAX_TERMS => {
                return Err(fault(at, format!("more than {MAX_TERMS} words"), "use fewer words"));
            }
            Token::Word(at, letters) => {
                level.push(Part::Word(term(at, &letters)?));
                count += 1;
            }
        }
    }
    if !outer.is_empty() {
        return Err(fault(level.at, "this bracket is not closed", "write ')' behind the words that belong together, or quote the text"));
    }
    Ok(if level.close()? { level.alternatives } else { Vec::new() })
}

fn term<R: Record>(start: usize, letters: &[Letter]) -> Result<Term<R>, Fault> {
    let marks = letters.iter().take_while(|letter| letter.is('!')).count();
    let negated = marks % 2 == 1;
    let letters = &letters[marks..];
    let Some(first) = letters.first() else {
        return Err(match marks {
            0 => fault(start, "these quotes are empty", "write the text between them"),
            _ => fault(start, "nothing stands behind '!'", "write '!word' without a space"),
        });
    };
    let name_len = letters.iter().take_while(|letter| !letter.quoted && (letter.char.is_ascii_alphabetic() || letter.char == '_')).count();
    let Some((operator, operator_len)) = operator(&letters[name_len..]) else {
        return Ok(Term { negated, want: Want::Anywhere(fold(&string(letters))) });
    };
    if name_len == 0 {
        return match operator {
            // A text such as ':142' is worth looking for.
            Operator::Has => Ok(Term { negated, want: Want::Anywhere(fold(&string(letters))) }),
            _ => Err(fault(
                first.at,
                format!("no column stands before '{}'", operator.word()),
                "write 'column>value', or quote it to look for the text",
            )),
        };
    }
    let name = string(&letters[..name_len]);
    let column: &Column<R> = column(&name).ok_or_else(|| unknown::<R>(first.at, &name))?;
    let value = &letters[name_len + operator_len..];
    let Some(value_first) = value.first() else {
        return Err(fault(
            letters[name_len].at,
            format!("no value stands behind '{name}{}'", operator.word()),
            format!("{} holds {}; {}", column.name, column.about, Test::example(column.kind)),
        ));
    };
    let test = Test::parse(column.kind, operator, &string(value)).map_err(|(message, hint)| match hint {
        Some(hint) => fault(letters[name_len].at, format!("{message} '{}'", column.name), hint),
        None => fault(value_first.at, format!("{message} for '{}'", column.name), Test::example(column.kind)),
    })?;
    if !test.concerns(column.words) {
        return Err(no_word(value_first.at, column, &string(value)));
    }
    Ok(Term { negated, want: Want::Column(column, test) })
}

/// The operator that these letters start with, and its length. `::` joins parts of paths and is none.
fn operator(letters: &[Letter]) -> Option<(Operator, usize)> {
    let second = letters.get(1).filter(|letter| !letter.quoted).map(|letter| letter.char);
    match (letters.first().filter(|letter| !letter.quoted)?.char, second) {
        (':', Some(':')) => None,
        ('>', Some('=')) => Some((Operator::AtLeast, 2)),
        ('<', Some('=')) => Some((Operator::AtMost, 2)),
        ('!', Some('=')) => Some((Operator::IsNot, 2)),
        ('>', _) => Some((Operator::Above, 1)),
        ('<', _) => Some((Operator::Below, 1)),
        ('=', _) => Some((Operator::Is, 1)),
        (':', _) => Some((Operator::Has, 1)),
        _ => None,
    }
}

fn string(letters: &[Letter]) -> String {
    letters.iter().map(|letter| letter.char).collect()
}

fn unknown<R: Record>(at: usize, name: &str) -> Fault {
    let names: Vec<_> = R::columns().iter().map(|column| column.name).collect();
    let table = format!("{:?}", R::TABLE).to_lowercase();
    let hint = match nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean '{near}'? quote the word to look for the text"),
        None => "name one of these columns, or quote the word to look for the text".to_owned(),
    };
    fault(at, format!("no column '{name}' in {table}, which have {}", names.join(", ")), hint)
}

/// A value that no word of the column has in it: the term would never hold, or always.
fn no_word<R: Record>(at: usize, column: &Column<R>, value: &str) -> Fault {
    let words = || column.words.iter().copied().filter(|word| !word.is_empty());
    let hint = match nearest(value, words()) {
        Some(near) => format!("did you mean '{near}'?"),
        None => "write one of these words; behind ':' a part of it will do".to_owned(),
    };
    fault(at, format!("no {} is '{value}'; there are {}", column.name, words().collect::<Vec<_>>().join(", ")), hint)
}
