//! `lazuli identity issuer`: other directories and issuers whose tokens are taken.

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, Command};
use lazuli_identity::{IssuerKind, TrustedIssuer};
use lazuli_wire::Guid;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

use super::opened::Directory;
use super::{noun, option, place, sub, text};

const EXAMPLES: &str = "\
Examples:
  lazuli identity issuer add contoso --tenant 6babcaad-604b-40ac-a9d7-9fd97c0b779f --audience a:b
  lazuli identity issuer add ci --issuer https://ci.example --audience lazuli --subject a:b --as ci
  lazuli identity issuer list
  lazuli identity issuer remove contoso

With --tenant: users and programs of this tenant of Microsoft Entra ID may sign in; roles are given to their object IDs. With \
--issuer: tokens with exactly this subject (of GitHub Actions: repo:ORG/REPO:ref:refs/heads/main; of Kubernetes: \
system:serviceaccount:NAMESPACE:NAME) stand for the service principal or managed identity after --as; --private allows an issuer in a \
private network. An audience of Azure's own, such as https://containerregistry.azure.net, lets tokens in that were made for Azure: whoever \
receives one there could use it here. Prefer an audience of your own.";

pub(super) fn command() -> Command {
    let name = || place("NAME", "What to call the issuer");
    noun(
        "issuer",
        "Other directories and issuers to trust",
        EXAMPLES,
        vec![
            sub(
                "add",
                "Trust an issuer, or change for what",
                vec![
                    name(),
                    option("tenant", "GUID", "A tenant of Microsoft Entra ID"),
                    option(
                        "issuer",
                        "URL",
                        "The iss of its tokens; of Entra only where it is not Microsoft's public cloud",
                    ),
                    option(
                        "v1-issuer",
                        "URL",
                        "The iss of Entra's tokens of version 1, likewise",
                    ),
                    option(
                        "audience",
                        "AUDIENCE",
                        "An aud that is meant for this installation; can be repeated",
                    )
                    .action(ArgAction::Append)
                    .required(true),
                    option(
                        "subject",
                        "SUBJECT",
                        "The sub of tokens that stand for --as",
                    ),
                    option(
                        "claim",
                        "NAME=VALUE",
                        "A further claim that such tokens need; can be repeated",
                    )
                    .action(ArgAction::Append),
                    option(
                        "as",
                        "NAME",
                        "The service principal or managed identity such tokens stand for",
                    ),
                    Arg::new("private")
                        .long("private")
                        .action(ArgAction::SetTrue)
                        .help("Its keys may be fetched from a private network"),
                ],
            ),
            sub("list", "List the trusted issuers", Vec::new()),
            sub("remove", "Trust an issuer no more", vec![name()]),
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
        let mut told = String::new();
        for known in identity.trusted_issuers().await? {
            let _ = writeln!(
                told,
                "{}  {}  {}  for {}",
                known.name,
                known.kind.as_str(),
                known.issuer,
                known.audiences.join(", ")
            );
        }
        return Ok(told);
    }
    let name = text(matches, "NAME");
    if verb == "remove" {
        identity.remove_issuer(may, name).await?;
        return Ok(format!("The issuer {name} is not trusted any more.\n"));
    }
    let issuer = read(name, matches, directory).await?;
    let told = format!("Tokens of {} are taken.\n", issuer.issuer);
    identity.put_issuer(may, issuer).await?;
    Ok(told)
}

async fn read(
    name: &str,
    matches: &ArgMatches,
    directory: &Directory,
) -> anyhow::Result<TrustedIssuer> {
    let given = |name: &str| matches.get_one::<String>(name).cloned();
    let audiences = matches.get_many::<String>("audience");
    let mut rules = Map::new();
    if matches.get_flag("private") {
        rules.insert("private".to_owned(), Value::Bool(true));
    }
    if let Some(v1) = given("v1-issuer") {
        rules.insert("v1_issuer".to_owned(), v1.into());
    }
    let (kind, issuer, tenant) = if let Some(tenant) = given("tenant") {
        let tenant = Guid::parse(&tenant).context("--tenant")?;
        let public = format!("https://login.microsoftonline.com/{tenant}/v2.0");
        (IssuerKind::Entra, given("issuer").unwrap_or(public), tenant)
    } else {
        let issuer = given("issuer").context("either --tenant or --issuer is needed")?;
        let target =
            given("as").context("--as says whom of this directory its tokens stand for")?;
        let target = directory.anybody(&target).await?;
        let subject = given("subject").context("--subject says which of its tokens")?;
        let mut claims = Map::new();
        claims.insert("sub".to_owned(), subject.into());
        for claim in matches.get_many::<String>("claim").into_iter().flatten() {
            let (name, value) = claim.split_once('=').context("--claim is NAME=VALUE")?;
            claims.insert(name.to_owned(), value.into());
        }
        // Further subjects of an issuer that is there already are added to those it has.
        let known = directory.identity.trusted_issuers().await?;
        let known = known.into_iter().find(|known| known.name == name);
        let had = known.and_then(|known| known.rules.get("subjects").cloned());
        let mut subjects = had
            .and_then(|had| had.as_array().cloned())
            .unwrap_or_default();
        subjects.push(json!({ "claims": claims, "object": target.id }));
        rules.insert("subjects".to_owned(), Value::Array(subjects));
        (IssuerKind::Oidc, issuer, Guid::ZERO)
    };
    Ok(TrustedIssuer {
        name: name.to_owned(),
        kind,
        issuer,
        tenant,
        audiences: audiences.into_iter().flatten().cloned().collect(),
        rules,
        enabled: true,
    })
}
