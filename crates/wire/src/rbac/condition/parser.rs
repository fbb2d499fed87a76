//! From tokens to an expression. Recursion is bounded by [`MAX_DEPTH`].

use super::compare::Literal;
use super::lexer::{Placed, Token, tokens};
use super::{
    ActionPattern, Attribute, ConditionError, Expression, MAX_DEPTH, MAX_TERMS, Operand, Operator,
    Quantifier,
};

pub(super) fn parse(text: &str) -> Result<Expression, ConditionError> {
    let mut parser = Parser {
        tokens: tokens(text)?,
        at: 0,
        end: text.chars().count() + 1,
        tests: 0,
        values: 0,
    };
    let expression = parser.condition(0)?;
    if parser.at < parser.tokens.len() {
        return Err(parser.expected("AND, OR or the end"));
    }
    Ok(expression)
}

struct Parser {
    tokens: Vec<Placed>,
    at: usize,
    /// The position behind the text.
    end: usize,
    tests: usize,
    values: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|placed| &placed.0)
    }

    fn position(&self) -> usize {
        self.tokens.get(self.at).map_or(self.end, |placed| placed.1)
    }

    fn expected(&self, expected: &'static str) -> ConditionError {
        ConditionError::Expected {
            position: self.position(),
            expected,
        }
    }

    fn take(&mut self, token: &Token, expected: &'static str) -> Result<(), ConditionError> {
        if self.peek() != Some(token) {
            return Err(self.expected(expected));
        }
        self.at += 1;
        Ok(())
    }

    fn condition(&mut self, depth: usize) -> Result<Expression, ConditionError> {
        let first = self.unary(depth)?;
        let Some(joint) = self.peek().filter(|token| is_joint(token)).cloned() else {
            return Ok(first);
        };
        let mut parts = vec![first];
        while self.peek().is_some_and(is_joint) {
            if self.peek() != Some(&joint) {
                return Err(ConditionError::Mixed(self.position()));
            }
            self.at += 1;
            parts.push(self.unary(depth)?);
        }
        Ok(if joint == Token::And {
            Expression::All(parts.into())
        } else {
            Expression::Any(parts.into())
        })
    }

    fn unary(&mut self, depth: usize) -> Result<Expression, ConditionError> {
        if depth > MAX_DEPTH {
            return Err(ConditionError::TooDeep(self.position()));
        }
        match self.peek() {
            Some(Token::Not) => {
                self.at += 1;
                Ok(Expression::Not(Box::new(self.unary(depth + 1)?)))
            }
            Some(Token::Open) => {
                self.at += 1;
                let inner = self.condition(depth + 1)?;
                self.take(&Token::Close, "a closing parenthesis")?;
                Ok(inner)
            }
            _ => self.test(),
        }
    }

    fn test(&mut self) -> Result<Expression, ConditionError> {
        self.tests += 1;
        if self.tests > MAX_TERMS {
            return Err(ConditionError::TooManyTerms(self.position()));
        }
        let word = match self.peek() {
            Some(Token::Attribute(..)) => return self.comparison(None),
            Some(Token::Word(word)) => word.to_ascii_lowercase(),
            _ => return Err(self.expected("a test")),
        };
        if let Some(quantifier) = Quantifier::parse(&word) {
            self.at += 1;
            self.take(&Token::Colon, "a colon")?;
            return self.comparison(Some(quantifier));
        }
        match &*word {
            "actionmatches" => {
                let (text, position) = self.braced()?;
                let pattern = ActionPattern::parse(&text);
                Ok(Expression::Action(
                    pattern.map_err(|_| ConditionError::Pattern(position))?,
                ))
            }
            "suboperationmatches" => {
                let (text, _) = self.braced()?;
                Ok(Expression::SubOperation(text.to_lowercase().into()))
            }
            "exists" => {
                self.at += 1;
                Ok(Expression::Exists(self.attribute()?))
            }
            _ => Err(self.expected(
                "an attribute, ActionMatches, SubOperationMatches, Exists or a quantifier",
            )),
        }
    }

    /// `{'text'}` behind a word; where the text is.
    fn braced(&mut self) -> Result<(String, usize), ConditionError> {
        self.at += 1;
        self.take(&Token::OpenBrace, "{")?;
        let position = self.position();
        let Some(Token::Text(text)) = self.peek().cloned() else {
            return Err(self.expected("a text such as 'name'"));
        };
        self.at += 1;
        self.take(&Token::CloseBrace, "}")?;
        Ok((text, position))
    }

    fn attribute(&mut self) -> Result<Attribute, ConditionError> {
        let Some(Token::Attribute(source, name)) = self.peek().cloned() else {
            return Err(self.expected("an attribute"));
        };
        self.at += 1;
        Ok(Attribute {
            source,
            name: name.into(),
        })
    }

    fn comparison(
        &mut self,
        mut quantifier: Option<Quantifier>,
    ) -> Result<Expression, ConditionError> {
        let attribute = self.attribute()?;
        let mut word = self.word("an operator")?;
        if let Some(found) = Quantifier::parse(&word) {
            if quantifier.replace(found).is_some() {
                return Err(ConditionError::Quantifier(self.position()));
            }
            self.at += 1;
            self.take(&Token::Colon, "a colon")?;
            word = self.word("an operator")?;
        }
        let operator =
            Operator::parse(&word).ok_or_else(|| ConditionError::Operator(self.position()))?;
        self.at += 1;
        let position = self.position();
        let is_set = self.peek() == Some(&Token::OpenBrace);
        let operand = match self.peek() {
            Some(Token::Attribute(..)) => Operand::Attribute(self.attribute()?),
            Some(Token::OpenBrace) => Operand::Literals(self.set(operator)?),
            _ => Operand::Literals(Box::new([self.literal(operator)?])),
        };
        // Attributes may have many values on either side.
        if is_set && quantifier.is_none() {
            return Err(ConditionError::Quantifier(position));
        }
        Ok(Expression::Compare {
            attribute,
            quantifier: quantifier.unwrap_or(Quantifier::One),
            operator,
            operand,
        })
    }

    fn word(&self, expected: &'static str) -> Result<String, ConditionError> {
        match self.peek() {
            Some(Token::Word(word)) => Ok(word.clone()),
            _ => Err(self.expected(expected)),
        }
    }

    fn set(&mut self, operator: Operator) -> Result<Box<[Literal]>, ConditionError> {
        self.at += 1;
        let mut values = vec![self.literal(operator)?];
        while self.peek() == Some(&Token::Comma) {
            self.at += 1;
            values.push(self.literal(operator)?);
        }
        self.take(&Token::CloseBrace, "a comma or }")?;
        Ok(values.into())
    }

    fn literal(&mut self, operator: Operator) -> Result<Literal, ConditionError> {
        self.values += 1;
        if self.values > MAX_TERMS {
            return Err(ConditionError::TooManyTerms(self.position()));
        }
        let literal = match self.peek() {
            Some(Token::Text(text)) => Literal::of_text(operator, text),
            Some(Token::Word(word)) => Literal::of_word(operator, word),
            _ => return Err(self.expected("a value")),
        };
        let literal = literal.ok_or_else(|| ConditionError::Type {
            position: self.position(),
            expected: operator.expects(),
        })?;
        self.at += 1;
        Ok(literal)
    }
}

fn is_joint(token: &Token) -> bool {
    matches!(token, Token::And | Token::Or)
}
