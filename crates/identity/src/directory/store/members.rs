//! Who is in which group.

use std::collections::BTreeSet;

use lazuli_db::{Result, Tx, params};
use lazuli_wire::Guid;

use super::bump;

/// Most groups that one object can be in, directly and through others; further ones are not looked at.
const MOST_GROUPS: usize = 2048;

/// Adds a member; nothing happens when it is one.
pub(crate) fn add_member(tx: &mut Tx<'_>, group: Guid, member: Guid) -> Result<bool> {
    let added = tx.execute(
        "INSERT INTO directory_members (group_id, member_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        params![&group.to_string(), &member.to_string()],
    )?;
    bump(tx)?;
    Ok(added == 1)
}

/// Removes a member; `false` when it is none.
pub(crate) fn remove_member(tx: &mut Tx<'_>, group: Guid, member: Guid) -> Result<bool> {
    let removed = tx.execute(
        "DELETE FROM directory_members WHERE group_id = ?1 AND member_id = ?2",
        params![&group.to_string(), &member.to_string()],
    )?;
    bump(tx)?;
    Ok(removed == 1)
}

/// The members of a group, not of the groups in it.
pub(crate) fn members(tx: &mut Tx<'_>, group: Guid) -> Result<Vec<Guid>> {
    let found = tx.query(
        "SELECT member_id FROM directory_members WHERE group_id = ?1 ORDER BY member_id LIMIT 10000",
        params![&group.to_string()],
        |row| Ok(Guid::parse(row.get_text(0)?).ok()),
    )?;
    Ok(found.into_iter().flatten().collect())
}

/// Whether an object is itself a member of a group.
pub(crate) fn is_member(tx: &mut Tx<'_>, group: Guid, member: Guid) -> Result<bool> {
    let found = tx.query_one(
        "SELECT 1 FROM directory_members WHERE group_id = ?1 AND member_id = ?2",
        params![&group.to_string(), &member.to_string()],
        |row| row.get_i64(0),
    )?;
    Ok(found.is_some())
}

/// The groups that an object is in by itself.
pub(crate) fn within(tx: &mut Tx<'_>, member: Guid) -> Result<Vec<Guid>> {
    let found = tx.query(
        "SELECT group_id FROM directory_members WHERE member_id = ?1 ORDER BY group_id LIMIT 2048",
        params![&member.to_string()],
        |row| Ok(Guid::parse(row.get_text(0)?).ok()),
    )?;
    Ok(found.into_iter().flatten().collect())
}

/// The groups that an object is in, also through other groups.
pub(crate) fn groups_of(tx: &mut Tx<'_>, member: Guid) -> Result<Vec<Guid>> {
    let mut known = BTreeSet::new();
    let mut next = vec![member];
    while let Some(one) = next.pop() {
        for group in within(tx, one)? {
            if known.len() < MOST_GROUPS && known.insert(group) {
                next.push(group);
            }
        }
    }
    Ok(known.into_iter().collect())
}
