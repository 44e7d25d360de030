//! Text to terms, in two steps: words with their places, then what each asks for.

use super::near::nearest;
use super::value::{Operator, Test};
use super::{FilterError, MAX_TERMS, Term, Want, column, fold};
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

pub(super) fn parse<R: Record>(text: &str) -> Result<Vec<Vec<Term<R>>>, FilterError> {
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
    let mut chars = text.chars().enumerate().peekable();
    while let Some((at, char)) = chars.next() {
        let mut keep = |char, at, quoted| word.get_or_insert_with(|| (at, Vec::new())).1.push(Letter { char, at, quoted });
        match char {
            '"' if quote.is_some() => quote = None,
            '\\' if quote.is_some() && matches!(chars.peek(), Some((_, '"' | '\\'))) => {
                if let Some((at, char)) = chars.next() {
                    keep(char, at, true);
                }
            }
            _ if quote.is_some() => keep(char, at, true),
            '"' => {
                quote = Some(at);
                word.get_or_insert_with(|| (at, Vec::new()));
            }
            '|' => {
                tokens.extend(word.take().map(|(at, letters)| Token::Word(at, letters)));
                tokens.push(Token::Or(at));
            }
            _ if char.is_whitespace() => tokens.extend(word.take().map(|(at, letters)| Token::Word(at, letters))),
            _ => keep(char, at, false),
        }
    }
    if let Some(at) = quote {
        return Err(fault(at, "this quote is not closed", "write a second '\"' behind the text"));
    }
    tokens.extend(word.map(|(at, letters)| Token::Word(at, letters)));
    Ok(tokens)
}

fn alternatives<R: Record>(tokens: Vec<Token>) -> Result<Vec<Vec<Term<R>>>, Fault> {
    let mut alternatives = vec![Vec::new()];
    let mut count = 0;
    let mut bar = None;
    for token in tokens {
        let terms = alternatives.last_mut().filter(|terms| !terms.is_empty());
        match (token, terms) {
            (Token::Or(at), None) => return Err(fault(at, "nothing stands before '|'", "write a word on either side of '|'")),
            (Token::Or(at), Some(_)) => {
                bar = Some(at);
                alternatives.push(Vec::new());
            }
            (Token::Word(at, _), _) if count == MAX_TERMS => {
                return Err(fault(at, format!("more than {MAX_TERMS} words"), "use fewer words"));
            }
            (Token::Word(at, letters), terms) => {
                let term = term(at, &letters)?;
                count += 1;
                match terms {
                    Some(terms) => terms.push(term),
                    // The last alternative is there, and empty.
                    None => *alternatives.last_mut().unwrap_or(&mut Vec::new()) = vec![term],
                }
            }
        }
    }
    match (alternatives.last().is_some_and(Vec::is_empty), bar) {
        (true, Some(at)) => Err(fault(at, "nothing stands behind '|'", "write a word on either side of '|'")),
        (true, None) => Ok(Vec::new()),
        (false, _) => Ok(alternatives),
    }
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
