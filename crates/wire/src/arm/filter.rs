//! `$filter`, in the few forms that clients of the management plane send.

use crate::Guid;

/// What a list is narrowed to. All that is given has to hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// `resourceType eq 'X'`
    pub resource_type: Option<String>,
    /// `name eq 'X'`
    pub name: Option<String>,
    /// `resourceGroup eq 'X'`
    pub resource_group: Option<String>,
    /// `location eq 'X'`
    pub location: Option<String>,
    /// `tagName eq 'X'` and `tagValue eq 'X'`
    pub tag: Option<(String, Option<String>)>,
    /// `roleName eq 'X'`
    pub role_name: Option<String>,
    /// `type eq 'X'`, `type` of role definitions.
    pub role_type: Option<String>,
    /// `atScope()`: not what is assigned below.
    pub at_scope: bool,
    /// `atExactScope()`: nor what is assigned above.
    pub at_exact_scope: bool,
    /// `atScopeAndBelow()`
    pub at_scope_and_below: bool,
    /// `principalId eq 'X'`
    pub principal: Option<Guid>,
    /// `assignedTo('X')`: also through groups.
    pub assigned_to: Option<Guid>,
}

/// The filter is not one of those that are understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the $filter is not understood at '{0}': conditions of the form name eq 'value', joined by and, and atScope(), \
     assignedTo('id') and principalId eq 'id' are"
)]
pub struct FilterError(pub String);

/// The longest filter, in bytes.
const MAX_FILTER: usize = 2048;

impl Filter {
    /// Reads a filter; an empty one narrows nothing.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        let refused = |at: &str| FilterError(at.chars().take(80).collect());
        if text.len() > MAX_FILTER {
            return Err(refused(text));
        }
        let mut filter = Self::default();
        let mut rest = text.trim();
        while !rest.is_empty() {
            rest = filter
                .condition(rest)
                .ok_or_else(|| refused(rest))?
                .trim_start();
            if rest.is_empty() {
                break;
            }
            let after = word(rest).filter(|(word, _)| word.eq_ignore_ascii_case("and"));
            let (_, after) = after.ok_or_else(|| refused(rest))?;
            rest = after.trim_start();
            if rest.is_empty() {
                return Err(refused(text));
            }
        }
        Ok(filter)
    }

    /// Reads one condition and returns what follows it.
    fn condition<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        let (name, rest) = word(text)?;
        let lower = name.to_ascii_lowercase();
        let rest = rest.trim_start();
        if let Some(rest) = rest.strip_prefix('(') {
            let rest = rest.trim_start();
            if lower == "assignedto" {
                let (value, rest) = quoted(rest)?;
                self.assigned_to = Some(Guid::parse(&value).ok()?);
                return rest.trim_start().strip_prefix(')');
            }
            match lower.as_str() {
                "atscope" => self.at_scope = true,
                "atexactscope" => self.at_exact_scope = true,
                "atscopeandbelow" => self.at_scope_and_below = true,
                _ => return None,
            }
            return rest.strip_prefix(')');
        }
        let (operator, rest) = word(rest)?;
        if !operator.eq_ignore_ascii_case("eq") {
            return None;
        }
        let (value, rest) = quoted(rest.trim_start())?;
        match lower.as_str() {
            "resourcetype" => self.resource_type = Some(value),
            "name" => self.name = Some(value),
            "resourcegroup" => self.resource_group = Some(value),
            "location" => self.location = Some(value),
            "tagname" => self.tag = Some((value, None)),
            "tagvalue" => self.tag.as_mut()?.1 = Some(value),
            "rolename" => self.role_name = Some(value),
            "type" => self.role_type = Some(value),
            "principalid" => self.principal = Some(Guid::parse(&value).ok()?),
            _ => return None,
        }
        Some(rest)
    }
}

fn word(text: &str) -> Option<(&str, &str)> {
    let end = text
        .find(|character: char| !character.is_ascii_alphanumeric())
        .unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// A text in quotes, in which two quotes stand for one.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix('\'')?;
    let mut value = String::new();
    loop {
        let (part, after) = rest.split_once('\'')?;
        value.push_str(part);
        match after.strip_prefix('\'') {
            Some(after) => {
                value.push('\'');
                rest = after;
            }
            None => return Some((value, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn the_filters_that_az_sends_are_understood() {
        let filter =
            Filter::parse("resourceType eq 'Microsoft.ContainerRegistry/registries'").unwrap();
        assert_eq!(
            filter.resource_type.as_deref(),
            Some("Microsoft.ContainerRegistry/registries")
        );
        let filter =
            Filter::parse("resourceGroup eq 'it''s' and resourceType eq 'T' and name eq 'n'")
                .unwrap();
        assert_eq!(filter.resource_group.as_deref(), Some("it's"));
        assert_eq!(filter.name.as_deref(), Some("n"));
        let filter = Filter::parse("tagName eq 'a' and tagValue eq 'b'").unwrap();
        assert_eq!(filter.tag, Some(("a".to_owned(), Some("b".to_owned()))));
        assert!(Filter::parse("atScope()").unwrap().at_scope);
        let id = "11111111-2222-3333-4444-555555555555";
        let filter = Filter::parse(&format!("atScope() and assignedTo('{id}')")).unwrap();
        assert_eq!(
            (filter.at_scope, filter.assigned_to),
            (true, Guid::parse(id).ok())
        );
        let filter = Filter::parse(&format!("principalId eq '{id}'")).unwrap();
        assert_eq!(filter.principal, Guid::parse(id).ok());
        assert_eq!(Filter::parse("  "), Ok(Filter::default()));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in [
            "name",
            "name eq",
            "name eq 'a",
            "name ne 'a'",
            "name eq 'a' or name eq 'b'",
            "name eq 'a' and",
            "other eq 'a'",
            "atScope",
            "atScope(",
            "other()",
            "tagValue eq 'b'",
            "principalId eq 'x'",
            "'a'",
        ] {
            assert!(Filter::parse(text).is_err(), "{text}");
        }
        assert!(Filter::parse(&format!("name eq '{}'", "a".repeat(3000))).is_err());
    }
}
