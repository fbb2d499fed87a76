//! Whose a token is, in its claims and out of them.

use lazuli_wire::Guid;
use lazuli_wire::token::{ANONYMOUS_SUBJECT, CommonClaims, Holder};

use super::Rejected;
use crate::principal::{DirectoryIdentity, Who};
use crate::rbac::cache::Owner;
use crate::state::RegistryState;

/// Whose a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    Anonymous,
    Admin,
    /// A token with a scope map, by the key of its name, and its identifier.
    Token {
        key: Box<str>,
        object: Guid,
    },
    Directory(DirectoryIdentity),
}

const ADMIN_SUBJECT: &str = "admin";

/// What the subjects of tokens with a scope map begin with; the key of the name follows.
const TOKEN_SUBJECT: &str = "token:";

pub(super) fn subject_claim(who: &Who) -> String {
    match who {
        Who::Anonymous => ANONYMOUS_SUBJECT.to_owned(),
        Who::Admin => ADMIN_SUBJECT.to_owned(),
        Who::Token(rights) => format!("{TOKEN_SUBJECT}{}", rights.name.to_lowercase()),
        Who::Directory(identity, _) => identity.owner.object.to_string(),
    }
}

pub(super) fn holder(state: &RegistryState, who: &Who) -> Holder {
    let role_mode = match who {
        Who::Anonymous => None,
        _ => state.mode().mark().map(str::to_owned),
    };
    match who {
        Who::Anonymous | Who::Admin => Holder {
            role_mode,
            ..Holder::default()
        },
        Who::Token(rights) => Holder {
            oid: Some(rights.object),
            role_mode,
            ..Holder::default()
        },
        Who::Directory(identity, _) => Holder {
            oid: Some(identity.owner.object),
            name: Some(identity.name.to_string()),
            groups: identity.owner.groups.to_vec(),
            external: identity.owner.external,
            proven_at: Some(identity.proven_at),
            role_mode,
        },
    }
}

pub(super) fn subject(state: &RegistryState, claims: &CommonClaims) -> Result<Subject, Rejected> {
    match claims.sub.as_str() {
        ANONYMOUS_SUBJECT => return Ok(Subject::Anonymous),
        ADMIN_SUBJECT if state.admin_enabled => return Ok(Subject::Admin),
        _ => {}
    }
    let holder = &claims.holder;
    let object = holder.oid.ok_or(Rejected::Subject)?;
    if let Some(key) = claims.sub.strip_prefix(TOKEN_SUBJECT) {
        let key = key.into();
        return Ok(Subject::Token { key, object });
    }
    let guid = |text: &Option<String>| {
        text.as_deref()
            .map(|text| Guid::parse(text).map_err(|_| Rejected::Subject))
            .transpose()
    };
    let proven_at = holder.proven_at.ok_or(Rejected::Subject)?;
    if Guid::parse(&claims.sub) != Ok(object) {
        return Err(Rejected::Subject);
    }
    Ok(Subject::Directory(DirectoryIdentity {
        owner: Owner {
            tenant: guid(&claims.tenant)?.ok_or(Rejected::Subject)?,
            object,
            external: holder.external,
            groups: holder.groups.as_slice().into(),
        },
        application: guid(&claims.appid)?,
        name: holder.name.clone().unwrap_or_default().into(),
        proven_at,
    }))
}
