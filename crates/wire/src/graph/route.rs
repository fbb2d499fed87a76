//! Paths, behind `/graph/v1.0` or `/v1.0`.

use http::Method;

use crate::Guid;
use crate::query::{Query, QueryLimits};

/// A set of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Set {
    /// `users`
    Users,
    /// `groups`
    Groups,
    /// `applications`
    Applications,
    /// `servicePrincipals`
    ServicePrincipals,
}

impl Set {
    /// Every set.
    pub const ALL: [Self; 4] = [
        Self::Users,
        Self::Groups,
        Self::Applications,
        Self::ServicePrincipals,
    ];

    /// The segment.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Groups => "groups",
            Self::Applications => "applications",
            Self::ServicePrincipals => "servicePrincipals",
        }
    }
}

/// How an object of a set is named.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// By its number.
    Id(Guid),
    /// By its user principal name, or `appId='…'`.
    Name(String),
}

/// Objects that belong to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Relation {
    /// The members of a group.
    Members,
    /// The same, with those of groups in it.
    TransitiveMembers,
    /// The groups it is in.
    MemberOf,
    /// The groups it is in, also through others.
    TransitiveMemberOf,
    /// Who may manage it.
    Owners,
}

impl Relation {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Members, "members"),
        (Self::TransitiveMembers, "transitiveMembers"),
        (Self::MemberOf, "memberOf"),
        (Self::TransitiveMemberOf, "transitiveMemberOf"),
        (Self::Owners, "owners"),
    ];
}

/// Something that is done with an object, by POST.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// `getMemberGroups`
    GetMemberGroups,
    /// `getMemberObjects`
    GetMemberObjects,
    /// `checkMemberGroups`
    CheckMemberGroups,
    /// `addPassword`
    AddPassword,
    /// `removePassword`
    RemovePassword,
    /// `revokeSignInSessions`
    RevokeSignInSessions,
}

impl Verb {
    const ALL: [(Self, &'static str); 6] = [
        (Self::GetMemberGroups, "getMemberGroups"),
        (Self::GetMemberObjects, "getMemberObjects"),
        (Self::CheckMemberGroups, "checkMemberGroups"),
        (Self::AddPassword, "addPassword"),
        (Self::RemovePassword, "removePassword"),
        (Self::RevokeSignInSessions, "revokeSignInSessions"),
    ];
}

/// An endpoint of the directory's interface.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Route {
    /// `/me`: the caller.
    Me,
    /// `/me/memberOf` and its kin.
    MeRelated(Relation),
    /// `/me/ownedObjects`
    MyObjects,
    /// `/me/getMemberGroups` and its kin.
    MeVerb(Verb),
    /// `/organization`
    Organization,
    /// `/oauth2PermissionGrants`
    Grants,
    /// `/directoryObjects/getByIds`
    GetByIds,
    /// `/directoryObjects/{id}`
    Object(Guid),
    /// `/directoryObjects/{id}/checkMemberGroups` and its kin.
    ObjectVerb(Guid, Verb),
    /// `/users` and its kin.
    List(Set),
    /// `/users/{id}` and its kin.
    One(Set, Key),
    /// `/groups/{id}/members` and its kin.
    Related(Set, Key, Relation),
    /// `/groups/{id}/members/$ref`
    RelatedRef(Set, Key, Relation),
    /// `/groups/{id}/members/{id}/$ref`
    RelatedOneRef(Set, Key, Relation, Guid),
    /// `/applications/{id}/addPassword` and its kin.
    Verb(Set, Key, Verb),
    /// `/applications/{id}/federatedIdentityCredentials`
    Federations(Key),
    /// `/applications/{id}/federatedIdentityCredentials/{id or name}`
    Federation(Key, String),
}

/// Longest path, in bytes, and its most segments.
const MAX_PATH: usize = 2048;
const MAX_SEGMENTS: usize = 8;

impl Route {
    /// What is behind the prefixes of this interface; `None`: the path belongs to another plane.
    pub fn strip_prefix(path: &str) -> Option<&str> {
        let rest = path.strip_prefix("/graph").unwrap_or(path);
        let rest = rest
            .strip_prefix("/v1.0")
            .or_else(|| rest.strip_prefix("/beta"))?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }

    /// Reads a path behind its prefix; `None`: there is no such endpoint.
    pub fn parse(rest: &str) -> Option<Self> {
        if rest.len() > MAX_PATH {
            return None;
        }
        let segments: Vec<String> = rest
            .split('/')
            .filter(|segment| !segment.is_empty())
            .take(MAX_SEGMENTS + 1)
            .map(decode)
            .collect::<Option<_>>()?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        match segments.as_slice() {
            ["me"] => Some(Self::Me),
            ["me", "ownedObjects"] => Some(Self::MyObjects),
            ["me", word] => relation(word)
                .map(Self::MeRelated)
                .or_else(|| verb(word).map(Self::MeVerb)),
            ["organization"] => Some(Self::Organization),
            ["oauth2PermissionGrants" | "oAuth2PermissionGrants", ..] => Some(Self::Grants),
            ["directoryObjects", "getByIds" | "microsoft.graph.getByIds"] => Some(Self::GetByIds),
            ["directoryObjects", id] => Guid::parse(id).ok().map(Self::Object),
            ["directoryObjects", id, word] => {
                Some(Self::ObjectVerb(Guid::parse(id).ok()?, verb(word)?))
            }
            [first, rest @ ..] => in_set(first, rest),
            [] => None,
        }
    }

    /// The methods the endpoint has, as an `Allow` header lists them.
    pub const fn allowed_methods(&self) -> &'static str {
        match self {
            Self::Me
            | Self::MeRelated(_)
            | Self::MyObjects
            | Self::Organization
            | Self::Object(_)
            | Self::Related(..) => "GET",
            Self::MeVerb(_)
            | Self::GetByIds
            | Self::ObjectVerb(..)
            | Self::Verb(..)
            | Self::RelatedRef(..) => "POST",
            Self::List(_) | Self::Federations(_) => "GET, POST",
            Self::One(..) | Self::Federation(..) => "GET, PATCH, DELETE",
            Self::RelatedOneRef(..) => "DELETE",
            Self::Grants => "GET, POST, DELETE",
        }
    }

    /// Whether the endpoint has this method.
    pub fn has_method(&self, method: &Method) -> bool {
        let mut names = self.allowed_methods().split(", ");
        names.any(|name| name == method.as_str())
    }

    /// Whether a request of this method changes the directory, which only administrators may.
    pub fn changes(&self, method: &Method) -> bool {
        match self {
            Self::MeVerb(verb) | Self::ObjectVerb(_, verb) | Self::Verb(_, _, verb) => {
                matches!(
                    verb,
                    Verb::AddPassword | Verb::RemovePassword | Verb::RevokeSignInSessions
                )
            }
            Self::GetByIds => false,
            _ => *method != Method::GET,
        }
    }
}

fn in_set(first: &str, rest: &[&str]) -> Option<Route> {
    // `applications(appId='…')`, `users('…')`
    let (name, given) = match first.split_once('(') {
        Some((name, inner)) => (name, Some(inner.strip_suffix(')')?)),
        None => (first, None),
    };
    let set = Set::ALL.into_iter().find(|set| set.as_str() == name)?;
    let (key, rest) = match (given, rest) {
        (Some(inner), rest) => (alternate_key(inner)?, rest),
        (None, [id, rest @ ..]) => (key(id), rest),
        (None, []) => return Some(Route::List(set)),
    };
    let is_program = matches!(set, Set::Applications | Set::ServicePrincipals);
    match rest {
        [] => Some(Route::One(set, key)),
        ["federatedIdentityCredentials"] if is_program => Some(Route::Federations(key)),
        ["federatedIdentityCredentials", id] if is_program => {
            Some(Route::Federation(key, (*id).to_owned()))
        }
        [word] => match (relation(word), verb(word)) {
            (Some(relation), _) => Some(Route::Related(set, key, relation)),
            (None, Some(verb)) => Some(Route::Verb(set, key, verb)),
            (None, None) => None,
        },
        [word, "$ref"] => Some(Route::RelatedRef(set, key, relation(word)?)),
        [word, id, "$ref"] => Some(Route::RelatedOneRef(
            set,
            key,
            relation(word)?,
            Guid::parse(id).ok()?,
        )),
        _ => None,
    }
}

fn key(text: &str) -> Key {
    Guid::parse(text).map_or_else(|_| Key::Name(text.to_owned()), Key::Id)
}

/// `'…'` or `appId='…'`.
fn alternate_key(inner: &str) -> Option<Key> {
    let quoted = |text: &str| {
        let text = text.strip_prefix('\'')?.strip_suffix('\'')?;
        Some(text.replace("''", "'"))
    };
    match inner.split_once('=') {
        Some(("appId", value)) => Some(Key::Name(quoted(value)?)),
        Some(_) => None,
        None => Some(key(&quoted(inner)?)),
    }
}

fn relation(word: &str) -> Option<Relation> {
    let mut all = Relation::ALL.into_iter();
    all.find(|(_, name)| *name == word)
        .map(|(relation, _)| relation)
}

fn verb(word: &str) -> Option<Verb> {
    let word = word.strip_prefix("microsoft.graph.").unwrap_or(word);
    let mut all = Verb::ALL.into_iter();
    all.find(|(_, name)| *name == word).map(|(verb, _)| verb)
}

/// Takes the escapes out of a segment.
fn decode(segment: &str) -> Option<String> {
    // A plus is itself in a path.
    let text = format!("s={}", segment.replace('+', "%2B").replace('&', "%26"));
    let query = Query::parse(&text, &QueryLimits::QUERY).ok()?;
    let decoded = query.all("s").next()?.to_owned();
    Some(decoded)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "11111111-2222-3333-4444-555555555555";

    #[test]
    fn the_paths_that_the_command_line_asks() {
        let id = Guid::parse(ID).unwrap();
        let key = Key::Id(id);
        for (path, route) in [
            ("/me", Route::Me),
            ("/users", Route::List(Set::Users)),
            (
                "/users/anna%40lazuli.test",
                Route::One(Set::Users, Key::Name("anna@lazuli.test".to_owned())),
            ),
            (
                "/users('$anna@lazuli.test')",
                Route::One(Set::Users, Key::Name("$anna@lazuli.test".to_owned())),
            ),
            (
                "/applications(appId='x')",
                Route::One(Set::Applications, Key::Name("x".to_owned())),
            ),
            (
                &format!("/groups/{ID}/members/$ref"),
                Route::RelatedRef(Set::Groups, key.clone(), Relation::Members),
            ),
            (
                &format!("/groups/{ID}/members/{ID}/$ref"),
                Route::RelatedOneRef(Set::Groups, key.clone(), Relation::Members, id),
            ),
            (
                &format!("/applications/{ID}/addPassword"),
                Route::Verb(Set::Applications, key.clone(), Verb::AddPassword),
            ),
            (
                &format!("/applications/{ID}/federatedIdentityCredentials/name"),
                Route::Federation(key, "name".to_owned()),
            ),
            ("/directoryObjects/getByIds", Route::GetByIds),
            (
                &format!("/directoryObjects/{ID}/checkMemberGroups"),
                Route::ObjectVerb(id, Verb::CheckMemberGroups),
            ),
        ] {
            assert_eq!(Route::parse(path), Some(route), "{path}");
        }
        for path in [
            "",
            "/",
            "/devices",
            "/users/a/b/c/d",
            "/groups/x/members/y/$ref",
            "/me/x",
        ] {
            assert_eq!(Route::parse(path), None, "{path}");
        }
        assert_eq!(Route::strip_prefix("/graph/v1.0/me"), Some("/me"));
        assert_eq!(Route::strip_prefix("/v1.0/me"), Some("/me"));
        assert_eq!(Route::strip_prefix("/v1.0me"), None);
        assert_eq!(Route::strip_prefix("/graph/me"), None);
    }

    proptest! {
        #[test]
        fn foreign_paths_never_panic(path in "[a-zA-Z/$()'=%0-9.+&-]{0,80}") {
            if let Some(route) = Route::parse(&path) {
                let _ = (route.allowed_methods(), route.changes(&Method::POST));
            }
        }
    }
}
