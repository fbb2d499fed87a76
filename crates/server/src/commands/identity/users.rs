//! `lazuli identity user`

use anyhow::Context as _;
use clap::{ArgMatches, Command};
use lazuli_identity::{Object, ObjectKind};
use lazuli_wire::token::Secret;
use std::fmt::Write as _;

use super::opened::{Directory, details};
use super::{noun, option, place, sub, text};

const EXAMPLES: &str = "\
Examples:
  lazuli identity user add anna --display-name Anna
  lazuli identity user add root --role Owner               who may do everything
  lazuli identity user set-password anna
  lazuli identity user disable anna
  lazuli identity user enable anna
  lazuli identity user list
  lazuli identity user show anna
  lazuli identity user remove anna

A password is generated and printed once. To choose one, put it into the variable LAZULI_NEW_PASSWORD: everyone on the \
machine can read the arguments of a process. A new password ends all sessions of the user.";

pub(super) fn command() -> Command {
    let name = || {
        place(
            "USER",
            "Name to sign in with, with or without the domain; or the ID",
        )
    };
    noun(
        "user",
        "People who sign in",
        EXAMPLES,
        vec![
            sub(
                "add",
                "Add a user",
                vec![
                    name(),
                    option("display-name", "NAME", "What people call the user"),
                    option("role", "ROLE", "A built-in role to give, such as AcrPull"),
                    option(
                        "scope",
                        "SCOPE",
                        "Where the role counts; everywhere if not given",
                    ),
                ],
            ),
            sub("list", "List the users", Vec::new()),
            sub("show", "Show a user", vec![name()]),
            sub("remove", "Remove a user", vec![name()]),
            sub("set-password", "Give a user a new password", vec![name()]),
            sub("enable", "Let a user sign in again", vec![name()]),
            sub("disable", "Let a user not sign in any more", vec![name()]),
        ],
    )
}

/// The password that the operator chose.
fn chosen() -> anyhow::Result<Option<Secret>> {
    match std::env::var("LAZULI_NEW_PASSWORD") {
        Ok(password) => Ok(Some(Secret::new(password))),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(error) => Err(error).context("LAZULI_NEW_PASSWORD"),
    }
}

pub(super) async fn run(
    verb: &str,
    matches: &ArgMatches,
    directory: &Directory,
) -> anyhow::Result<String> {
    let identity = &directory.identity;
    if verb == "list" {
        return directory.list(ObjectKind::User).await;
    }
    let name = text(matches, "USER");
    if verb == "add" {
        return add(name, matches, directory).await;
    }
    let user = directory.find(ObjectKind::User, name).await?;
    let called = user.principal_name().to_owned();
    Ok(match verb {
        "show" => details(directory, &user).await?,
        "remove" => {
            identity.remove_object(&directory.may, user.id).await?;
            format!("The user {called} is removed.\n")
        }
        "set-password" => set_password(directory, &user).await?,
        _ => {
            let enabled = verb == "enable";
            let change = move |object: &mut Object| {
                object.enabled = enabled;
                Ok(())
            };
            identity
                .change_object(&directory.may, user.id, change)
                .await?;
            format!(
                "The user {called} may{} sign in.\n",
                if enabled { "" } else { " not" }
            )
        }
    })
}

async fn add(name: &str, matches: &ArgMatches, directory: &Directory) -> anyhow::Result<String> {
    let identity = &directory.identity;
    let full = if name.contains('@') {
        name.to_owned()
    } else {
        format!("{name}@{}", directory.domain)
    };
    let local = full.split('@').next().unwrap_or_default().to_owned();
    let display = matches.get_one::<String>("display-name");
    let display = display.map_or(local.as_str(), String::as_str);
    let now = identity.now_us();
    let id = lazuli_identity::random_guid()?;
    let mut user = Object::new(id, ObjectKind::User, &full, display, now);
    user.attributes
        .insert("userPrincipalName".to_owned(), full.clone().into());
    user.attributes
        .insert("mailNickname".to_owned(), local.into());
    let user = identity.add_object(&directory.may, user, None).await?;
    let mut told = format!("The user {full} is added: {}\n", user.id);
    told += &set_password(directory, &user).await?;
    if let Some(role) = matches.get_one::<String>("role") {
        let scope = matches.get_one::<String>("scope");
        let scope = scope.map_or("/", String::as_str);
        directory.assign(&user, role, scope).await?;
        let _ = writeln!(told, "The role {role} is given at {scope}");
    }
    Ok(told)
}

async fn set_password(directory: &Directory, user: &Object) -> anyhow::Result<String> {
    let identity = &directory.identity;
    let made = identity.set_user_password(&directory.may, user.id, chosen()?);
    Ok(match made.await? {
        Some(password) => format!(
            "The password of {} is, shown this once: {}\n",
            user.principal_name(),
            password.expose()
        ),
        None => format!(
            "The password of {} is that of LAZULI_NEW_PASSWORD.\n",
            user.principal_name()
        ),
    })
}
