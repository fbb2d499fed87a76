//! `lazuli identity app` and `lazuli identity sp`: programs that sign in.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, Command};
use lazuli_identity::{EXCHANGE_AUDIENCE, Federation, Object, ObjectKind};
use lazuli_wire::Guid;

use super::opened::{Directory, details};
use super::{noun, option, place, sub, text};

/// Days that a secret is good for unless another time is asked for.
const DAYS: &str = "365";

const SP_EXAMPLES: &str = "\
Examples:
  lazuli identity sp add ci --role AcrPush                         may push everywhere
  lazuli identity sp add deploy --role AcrPull --scope /subscriptions/…/registries/myregistry
  lazuli identity sp reset-secret ci --days 90                     a further secret; the old ones stay
  lazuli identity sp certificate ci ci.pem                         signs in with the key of this certificate
  lazuli identity sp federated ci github https://issuer.example repo:org/repo:ref:refs/heads/main
  lazuli identity sp remove-credential ci ID
  lazuli identity sp list
  lazuli identity sp show ci
  lazuli identity sp disable ci
  lazuli identity sp enable ci
  lazuli identity sp remove ci

A secret is printed once. The application ID is the user name: `az login --service-principal -u APPLICATION-ID -p SECRET`.";

const APP_EXAMPLES: &str = "\
Examples:
  lazuli identity app add portal --redirect-uri https://portal.example/signed-in
  lazuli identity app add desktop --public --redirect-uri http://localhost
  lazuli identity app list
  lazuli identity app show portal
  lazuli identity app remove portal

An application is a program that people sign in with; with a service principal (`lazuli identity sp add`) it signs in as \
itself.";

pub(super) fn app_command() -> Command {
    let name = || place("APP", "Display name, application ID or ID");
    noun(
        "app",
        "Registrations of programs that people sign in with",
        APP_EXAMPLES,
        vec![
            sub(
                "add",
                "Register a program",
                vec![
                    name(),
                    option(
                        "redirect-uri",
                        "URL",
                        "Where browsers may bring its answers; can be repeated",
                    )
                    .action(ArgAction::Append),
                    Arg::new("public")
                        .long("public")
                        .action(ArgAction::SetTrue)
                        .help("It cannot keep a secret: a program on people's own computers"),
                ],
            ),
            sub("list", "List the registrations", Vec::new()),
            sub("show", "Show a registration", vec![name()]),
            sub(
                "remove",
                "Remove it, and its service principal",
                vec![name()],
            ),
        ],
    )
}

pub(super) fn sp_command() -> Command {
    let name = || place("SP", "Display name, application ID or ID");
    let days = || {
        option("days", "DAYS", "How long the secret is good")
            .default_value(DAYS)
            .value_parser(clap::value_parser!(u32).range(1..=36_500))
    };
    noun(
        "sp",
        "Service principals: programs that sign in as themselves",
        SP_EXAMPLES,
        vec![
            sub(
                "add",
                "Add a service principal, its application and a secret",
                vec![
                    name(),
                    days(),
                    option("role", "ROLE", "A built-in role to give, such as AcrPush"),
                    option(
                        "scope",
                        "SCOPE",
                        "Where the role counts; everywhere if not given",
                    ),
                ],
            ),
            sub("list", "List the service principals", Vec::new()),
            sub(
                "show",
                "Show a service principal and its credentials",
                vec![name()],
            ),
            sub("remove", "Remove it, and its application", vec![name()]),
            sub("enable", "Let it sign in again", vec![name()]),
            sub("disable", "Let it not sign in any more", vec![name()]),
            sub(
                "reset-secret",
                "Make a further secret",
                vec![name(), days()],
            ),
            sub(
                "certificate",
                "Let it sign in with a certificate",
                vec![name(), place("FILE", "The certificate, PEM or DER")],
            ),
            sub(
                "federated",
                "Let it sign in with tokens of another issuer",
                vec![
                    name(),
                    place("NAME", "A name for this credential"),
                    place("ISSUER", "The iss of the tokens"),
                    place("SUBJECT", "The sub of the tokens"),
                    option("audience", "AUDIENCE", "The aud of the tokens")
                        .default_value(EXCHANGE_AUDIENCE),
                ],
            ),
            sub(
                "remove-credential",
                "Remove a secret, certificate or federated credential",
                vec![name(), place("ID", "As `show` lists it")],
            ),
        ],
    )
}

pub(super) async fn run_app(
    verb: &str,
    matches: &ArgMatches,
    directory: &Directory,
) -> anyhow::Result<String> {
    let (identity, may) = (&directory.identity, &directory.may);
    if verb == "list" {
        return directory.list(ObjectKind::Application).await;
    }
    let name = text(matches, "APP");
    if verb == "add" {
        let places: Vec<&String> = matches
            .get_many("redirect-uri")
            .into_iter()
            .flatten()
            .collect();
        let is_public = matches.get_flag("public");
        let app_id = lazuli_identity::random_guid()?;
        let mut app = application(directory, app_id, name)?;
        let platform = if is_public { "publicClient" } else { "web" };
        let value = serde_json::json!({ "redirectUris": places });
        app.attributes.insert(platform.to_owned(), value);
        app.attributes
            .insert("isFallbackPublicClient".to_owned(), is_public.into());
        identity.add_object(may, app, None).await?;
        return Ok(format!(
            "The application {name} is registered.\nApplication ID  {app_id}\n"
        ));
    }
    let app = directory.find(ObjectKind::Application, name).await?;
    if verb == "show" {
        return details(directory, &app).await;
    }
    identity.remove_object(may, app.id).await?;
    Ok(format!(
        "The application {} is removed.\n",
        app.display_name
    ))
}

fn application(directory: &Directory, app_id: Guid, name: &str) -> anyhow::Result<Object> {
    let (id, now) = (lazuli_identity::random_guid()?, directory.identity.now_us());
    let key = app_id.to_string();
    Ok(Object::new(id, ObjectKind::Application, &key, name, now))
}

/// Where credentials are kept: at the application, as `az ad app` and `az ad sp` have them.
async fn keeper(directory: &Directory, principal: &Object) -> anyhow::Result<Object> {
    let identity = &directory.identity;
    let found = identity.object_named(ObjectKind::Application, &principal.name_key);
    Ok(found.await?.unwrap_or_else(|| principal.clone()))
}

pub(super) async fn run_sp(
    verb: &str,
    matches: &ArgMatches,
    directory: &Directory,
) -> anyhow::Result<String> {
    let (identity, may) = (&directory.identity, &directory.may);
    if verb == "list" {
        return directory.list(ObjectKind::ServicePrincipal).await;
    }
    let name = text(matches, "SP");
    if verb == "add" {
        return add(name, matches, directory).await;
    }
    let principal = directory.find(ObjectKind::ServicePrincipal, name).await?;
    let called = principal.display_name.clone();
    let keeper = keeper(directory, &principal).await?;
    Ok(match verb {
        "show" => {
            let mut told = details(directory, &principal).await?;
            if keeper.id != principal.id {
                told += &details(directory, &keeper).await?;
            }
            told
        }
        "remove" => {
            identity.remove_object(may, keeper.id).await?;
            format!("The service principal {called} is removed.\n")
        }
        "reset-secret" => secret(directory, &keeper, matches).await?,
        "certificate" => {
            let der = read_certificate(Path::new(text(matches, "FILE")))?;
            let added = identity.add_certificate(may, keeper.id, &called, &der);
            format!(
                "{called} signs in with the certificate {}\n",
                added.await?.hint
            )
        }
        "federated" => {
            let federation = Federation {
                name: text(matches, "NAME").to_owned(),
                issuer: text(matches, "ISSUER").to_owned(),
                subject: text(matches, "SUBJECT").to_owned(),
                audience: text(matches, "audience").to_owned(),
                description: None,
            };
            identity
                .put_federation(may, keeper.id, None, &federation)
                .await?;
            format!("{called} signs in with tokens of {}\n", federation.issuer)
        }
        "remove-credential" => {
            let id = Guid::parse(text(matches, "ID"))?;
            identity.remove_credential(may, keeper.id, id).await?;
            "The credential is removed.\n".to_owned()
        }
        _ => {
            let enabled = verb == "enable";
            let change = move |object: &mut Object| {
                object.enabled = enabled;
                Ok(())
            };
            identity.change_object(may, principal.id, change).await?;
            format!(
                "{called} may{} sign in.\n",
                if enabled { "" } else { " not" }
            )
        }
    })
}

async fn add(name: &str, matches: &ArgMatches, directory: &Directory) -> anyhow::Result<String> {
    let (identity, may) = (&directory.identity, &directory.may);
    let app_id = lazuli_identity::random_guid()?;
    let app = application(directory, app_id, name)?;
    let app = identity.add_object(may, app, None).await?;
    let (id, now) = (lazuli_identity::random_guid()?, identity.now_us());
    let kind = ObjectKind::ServicePrincipal;
    let principal = Object::new(id, kind, &app_id.to_string(), name, now);
    let principal = identity.add_object(may, principal, None).await?;
    let mut told = format!(
        "The service principal {name} is added.\nApplication ID  {app_id}\nObject ID       {}\nTenant          {}\n",
        principal.id,
        identity.tenant().await?.id
    );
    told += &secret(directory, &app, matches).await?;
    if let Some(role) = matches.get_one::<String>("role") {
        let scope = matches.get_one::<String>("scope");
        let scope = scope.map_or("/", String::as_str);
        directory.assign(&principal, role, scope).await?;
        let _ = writeln!(told, "Role            {role} at {scope}");
    }
    Ok(told)
}

async fn secret(
    directory: &Directory,
    keeper: &Object,
    matches: &ArgMatches,
) -> anyhow::Result<String> {
    let days = i64::from(matches.get_one::<u32>("days").copied().unwrap_or(365));
    let identity = &directory.identity;
    let expires_at = identity.now_us() + days * 86_400_000_000;
    let made = identity.add_secret(
        &directory.may,
        keeper.id,
        "lazuli identity",
        None,
        Some(expires_at),
    );
    let (known, secret) = made.await?;
    Ok(format!(
        "Secret          {}   (shown this once; good for {days} days; its ID is {})\n",
        secret.expose(),
        known.id
    ))
}

/// The first certificate of a PEM file, or the one of a DER file.
fn read_certificate(path: &Path) -> anyhow::Result<Vec<u8>> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    if bytes.starts_with(b"-----") || bytes.windows(11).any(|part| part == b"-----BEGIN ") {
        let found = CertificateDer::from_pem_slice(&bytes);
        let found = found.with_context(|| format!("{} holds no certificate", path.display()))?;
        return Ok(found.to_vec());
    }
    Ok(bytes)
}
