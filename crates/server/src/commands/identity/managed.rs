//! `lazuli identity managed-identity`

use clap::{ArgMatches, Command};
use lazuli_identity::{CredentialKind, Object, ObjectKind};
use std::fmt::Write as _;

use super::opened::{Directory, details};
use super::{noun, option, place, sub, text};

const EXAMPLES: &str = "\
Examples:
  lazuli identity managed-identity add builder --role AcrPush
  lazuli identity managed-identity enable builder
  lazuli identity managed-identity disable builder
  lazuli identity managed-identity list
  lazuli identity managed-identity show builder
  lazuli identity managed-identity remove builder

`enable` opens the endpoint of the identity, and prints what a program needs in its environment to use it, IDENTITY_HEADER \
once: then `az login --identity` and DefaultAzureCredential sign in as it. `disable` closes it.";

pub(super) fn command() -> Command {
    let name = || place("NAME", "Display name, client ID or ID");
    noun(
        "managed-identity",
        "Identities of programs that need no secret of their own",
        EXAMPLES,
        vec![
            sub(
                "add",
                "Add a managed identity",
                vec![
                    name(),
                    option("role", "ROLE", "A built-in role to give, such as AcrPush"),
                    option(
                        "scope",
                        "SCOPE",
                        "Where the role counts; everywhere if not given",
                    ),
                ],
            ),
            sub("list", "List the managed identities", Vec::new()),
            sub("show", "Show a managed identity", vec![name()]),
            sub("remove", "Remove a managed identity", vec![name()]),
            sub(
                "enable",
                "Open its endpoint, with a new header",
                vec![name()],
            ),
            sub("disable", "Close its endpoint", vec![name()]),
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
        return directory.list(ObjectKind::ManagedIdentity).await;
    }
    let name = text(matches, "NAME");
    if verb == "add" {
        let (id, client) = (
            lazuli_identity::random_guid()?,
            lazuli_identity::random_guid()?,
        );
        let kind = ObjectKind::ManagedIdentity;
        let object = Object::new(id, kind, &client.to_string(), name, identity.now_us());
        let object = identity.add_object(may, object, None).await?;
        let mut told = format!(
            "The managed identity {name} is added.\nClient ID  {client}\nObject ID  {}\n",
            object.id
        );
        if let Some(role) = matches.get_one::<String>("role") {
            let scope = matches.get_one::<String>("scope");
            let scope = scope.map_or("/", String::as_str);
            directory.assign(&object, role, scope).await?;
            let _ = writeln!(told, "Role       {role} at {scope}");
        }
        return Ok(told);
    }
    let object = directory.find(ObjectKind::ManagedIdentity, name).await?;
    let called = object.display_name.clone();
    Ok(match verb {
        "show" => details(directory, &object).await?,
        "remove" => {
            identity.remove_object(may, object.id).await?;
            format!("The managed identity {called} is removed.\n")
        }
        "enable" => {
            let header = identity.enable_endpoint(may, object.id).await?;
            format!(
                "The endpoint of {called} is open. Programs that may sign in as it need:\n\
                 IDENTITY_ENDPOINT=http://SERVER:PORT/msi/token\nIDENTITY_HEADER={}\n",
                header.expose()
            )
        }
        _ => {
            for known in identity.object_credentials(object.id).await? {
                if known.kind == CredentialKind::Endpoint {
                    identity.remove_credential(may, object.id, known.id).await?;
                }
            }
            format!("The endpoint of {called} is closed.\n")
        }
    })
}
