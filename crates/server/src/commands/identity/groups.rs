//! `lazuli identity group`

use clap::{ArgMatches, Command};
use lazuli_identity::{Object, ObjectKind};
use std::fmt::Write as _;

use super::opened::{Directory, details, line};
use super::{noun, place, sub, text};

const EXAMPLES: &str = "\
Examples:
  lazuli identity group add pullers
  lazuli identity group add-member pullers anna
  lazuli identity group show pullers
  lazuli identity group list
  lazuli identity group remove-member pullers anna
  lazuli identity group remove pullers

A role that is given to a group counts for all its members, also for those of groups in it.";

pub(super) fn command() -> Command {
    let name = || place("GROUP", "Display name or ID");
    let member = || {
        place(
            "MEMBER",
            "User, service principal, managed identity or group",
        )
    };
    noun(
        "group",
        "Groups, to give roles to many at once",
        EXAMPLES,
        vec![
            sub("add", "Add a group", vec![name()]),
            sub("list", "List the groups", Vec::new()),
            sub("show", "Show a group and its members", vec![name()]),
            sub("remove", "Remove a group", vec![name()]),
            sub("add-member", "Add a member", vec![name(), member()]),
            sub("remove-member", "Remove a member", vec![name(), member()]),
        ],
    )
}

pub(super) async fn run(
    verb: &str,
    matches: &ArgMatches,
    directory: &Directory,
) -> anyhow::Result<String> {
    let (identity, may) = (&directory.identity, &directory.may);
    if verb == "list" {
        return directory.list(ObjectKind::Group).await;
    }
    let name = text(matches, "GROUP");
    if verb == "add" {
        let id = lazuli_identity::random_guid()?;
        let now = identity.now_us();
        let group = Object::new(id, ObjectKind::Group, &id.to_string(), name, now);
        let group = identity.add_object(may, group, None).await?;
        return Ok(format!("The group {name} is added: {}\n", group.id));
    }
    let group = directory.find(ObjectKind::Group, name).await?;
    let called = group.display_name.clone();
    Ok(match verb {
        "show" => {
            let mut told = details(directory, &group).await?;
            for member in identity.group_members(group.id).await? {
                let _ = write!(told, "Member          {}", line(&member));
            }
            told
        }
        "remove" => {
            identity.remove_object(may, group.id).await?;
            format!("The group {called} is removed.\n")
        }
        _ => {
            let member = directory.anybody(text(matches, "MEMBER")).await?;
            if verb == "add-member" {
                identity.add_group_member(may, group.id, member.id).await?;
                format!("{} is a member of {called} now.\n", member.display_name)
            } else {
                identity
                    .remove_group_member(may, group.id, member.id)
                    .await?;
                format!(
                    "{} is no member of {called} any more.\n",
                    member.display_name
                )
            }
        }
    })
}
