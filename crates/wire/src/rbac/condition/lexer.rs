//! A condition as a row of tokens.

use super::{ConditionError, MAX_CONDITION, Source};

/// What a condition is made of.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Open,
    Close,
    OpenBrace,
    CloseBrace,
    Comma,
    Colon,
    Not,
    And,
    Or,
    /// A run of letters and digits: a keyword, an operator, a number, a GUID, a time.
    Word(String),
    /// Between quotation marks, which are doubled inside.
    Text(String),
    /// `@Source[name]`
    Attribute(Source, String),
}

/// A token and where it begins, in characters from 1.
pub(super) type Placed = (Token, usize);

pub(super) fn tokens(text: &str) -> Result<Vec<Placed>, ConditionError> {
    if text.len() > MAX_CONDITION {
        return Err(ConditionError::TooLong);
    }
    let mut lexer = Lexer {
        characters: text.chars().collect(),
        at: 0,
    };
    let mut tokens = Vec::new();
    while let Some(token) = lexer.next()? {
        tokens.push(token);
    }
    Ok(tokens)
}

struct Lexer {
    characters: Vec<char>,
    at: usize,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.characters.get(self.at + ahead).copied()
    }

    fn next(&mut self) -> Result<Option<Placed>, ConditionError> {
        while self.peek(0).is_some_and(char::is_whitespace) {
            self.at += 1;
        }
        let Some(character) = self.peek(0) else {
            return Ok(None);
        };
        let position = self.at + 1;
        let single = |token| Some((token, 1));
        let simple = match character {
            '(' => single(Token::Open),
            ')' => single(Token::Close),
            '{' => single(Token::OpenBrace),
            '}' => single(Token::CloseBrace),
            ',' => single(Token::Comma),
            ':' => single(Token::Colon),
            '!' => single(Token::Not),
            '&' if self.peek(1) == Some('&') => Some((Token::And, 2)),
            '|' if self.peek(1) == Some('|') => Some((Token::Or, 2)),
            _ => None,
        };
        if let Some((token, length)) = simple {
            self.at += length;
            return Ok(Some((token, position)));
        }
        let token = match character {
            '\'' => Token::Text(self.quoted(position)?),
            '@' => self.attribute(position)?,
            _ if begins_word(character) => self.word(),
            _ => return Err(ConditionError::Character(position)),
        };
        Ok(Some((token, position)))
    }

    fn quoted(&mut self, position: usize) -> Result<String, ConditionError> {
        let mut text = String::new();
        self.at += 1;
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some('\''), Some('\'')) => {
                    text.push('\'');
                    self.at += 2;
                }
                (Some('\''), _) => {
                    self.at += 1;
                    return Ok(text);
                }
                (Some(character), _) => {
                    text.push(character);
                    self.at += 1;
                }
                (None, _) => return Err(ConditionError::Unterminated(position)),
            }
        }
    }

    fn attribute(&mut self, position: usize) -> Result<Token, ConditionError> {
        self.at += 1;
        let word = self.run(char::is_alphabetic);
        let source = Source::ALL
            .into_iter()
            .find(|source| source.as_str().eq_ignore_ascii_case(&word))
            .ok_or(ConditionError::Source(position))?;
        if self.peek(0) != Some('[') {
            return Err(ConditionError::Expected {
                position: self.at + 1,
                expected: "[ and the name of an attribute",
            });
        }
        self.at += 1;
        let name = self.run(|character| character != ']');
        if self.peek(0).is_none() {
            return Err(ConditionError::Unterminated(position));
        }
        self.at += 1;
        if name.trim().is_empty() {
            return Err(ConditionError::Expected {
                position: position + word.chars().count() + 2,
                expected: "the name of an attribute",
            });
        }
        Ok(Token::Attribute(source, name.trim().to_lowercase()))
    }

    fn word(&mut self) -> Token {
        let begin = self.at;
        let word = self.run(in_word);
        // The colons of a time of day belong to it, that behind a quantifier does not.
        let is_time = |word: &str| word.len() >= 13 && word.as_bytes()[0].is_ascii_digit();
        if self.peek(0) == Some(':') && is_time(&word) {
            self.at = begin;
            return Token::Word(self.run(|character| in_word(character) || character == ':'));
        }
        match () {
            () if word.eq_ignore_ascii_case("and") => Token::And,
            () if word.eq_ignore_ascii_case("or") => Token::Or,
            () if word.eq_ignore_ascii_case("not") => Token::Not,
            () => Token::Word(word),
        }
    }

    fn run(&mut self, belongs: impl Fn(char) -> bool) -> String {
        let begin = self.at;
        while self.peek(0).is_some_and(&belongs) {
            self.at += 1;
        }
        self.characters[begin..self.at].iter().collect()
    }
}

fn begins_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '-' | '+')
}

fn in_word(character: char) -> bool {
    begins_word(character) || matches!(character, '.' | '_')
}
