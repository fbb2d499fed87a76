//! `lazuli az-env`: the lines that point az and the Azure SDKs at this server, for `eval`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches, Command};

use crate::banner::{dialled, shell_word};
use crate::cli::{Shown, settings};
use crate::config::{Configuration, Given, Settings, absolute};
use crate::data_folder::{DataFolder, write_public};
use crate::https::Certificate;

const EXAMPLES: &str = "\
Examples:
  lazuli az-env                            print the lines for a shell
  eval \"$(lazuli az-env)\"; az login        point this shell's az at the server, and sign in
  lazuli az-env --setup names              the server has names in DNS, and listens on port 443
  lazuli az-env --setup proxy              names without DNS, by the CONNECT proxy (azure.proxy)

Set-ups:
  adfs    one port for everything; the authority is written as that of AD FS, which az asks nobody else about (default)
  entra   one port for everything; signing in with a password works on port 443 only, everything else on any
  names   management.DOMAIN, login.DOMAIN and NAME.azurecr.DOMAIN on port 443, by DNS or a hosts file
  proxy   the same names on any machine that reaches the proxy: docker needs HTTPS_PROXY, too

az keeps what it learns of a server by host name: AZURE_CONFIG_DIR gives this server a folder of its own.";

/// Where the certificates are that this system trusts.
const SYSTEM_BUNDLES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

pub(crate) fn command() -> Command {
    Command::new("az-env")
        .about("Print the lines that point az and the Azure SDKs at this server")
        .after_help(EXAMPLES)
        .arg(
            Arg::new("setup")
                .long("setup")
                .value_name("SETUP")
                .value_parser(PossibleValuesParser::new([
                    "adfs", "entra", "names", "proxy",
                ]))
                .default_value("adfs")
                .help("How az reaches the parts of the server"),
        )
        .args(settings(Shown::Common))
}

/// `lazuli az-env`
pub(crate) fn run(matches: &ArgMatches, given: &Given) -> anyhow::Result<()> {
    let settings = Configuration::load(given)?.settings;
    let setup = matches
        .get_one::<String>("setup")
        .map_or("adfs", String::as_str);
    let folder = DataFolder::existing(&settings.general.data_dir)?;
    let authority = Certificate::of(&settings, &folder).authority();
    let bundle = authority.map(|path| bundle(&path)).transpose()?;
    let text = lines(&settings, setup, bundle.as_deref())?;
    write!(std::io::stdout(), "{text}")?;
    Ok(())
}

/// The authorities of this system and our own in one file: az reads one bundle for everything.
fn bundle(authority: &Path) -> anyhow::Result<PathBuf> {
    let own = std::fs::read(authority).with_context(|| {
        let path = authority.display();
        format!("cannot read {path}; the first start makes it: start lazuli once, or name its folder with --data-dir")
    })?;
    let mut all = SYSTEM_BUNDLES
        .iter()
        .find_map(|path| std::fs::read(path).ok())
        .unwrap_or_default();
    if !all.is_empty() && !all.ends_with(b"\n") {
        all.push(b'\n');
    }
    all.extend_from_slice(&own);
    let path = absolute(&authority.with_file_name("bundle.crt"));
    if std::fs::read(&path).ok().as_deref() != Some(&all) {
        write_public(&path, &all)?;
    }
    Ok(path)
}

/// The lines, each a shell's.
fn lines(settings: &Settings, setup: &str, bundle: Option<&Path>) -> anyhow::Result<String> {
    let general = &settings.general;
    let Some(https) = general.https.address() else {
        bail!(
            "https is off: az and the Azure SDKs speak nothing else; start lazuli with --https 127.0.0.1:5443"
        );
    };
    let domain = &settings.azure.domain.0;
    let mut out = String::new();
    let mut export = |name: &str, value: &str| {
        let _ = writeln!(out, "export {name}={value}");
    };
    if let Some(bundle) = bundle {
        let bundle = shell_word(bundle);
        export("REQUESTS_CA_BUNDLE", &bundle);
        // The one request for the metadata is made by Python itself.
        export("SSL_CERT_FILE", &bundle);
    }
    let base = match &general.public_url {
        Some(url) => url.to_string(),
        None => metadata_base(general.http.address(), https),
    };
    match setup {
        "adfs" => {}
        _ => export("AZURE_CORE_INSTANCE_DISCOVERY", "false"),
    }
    let url = match setup {
        "names" => format!("https://management.{domain}/metadata/clouds/names"),
        "proxy" => {
            let Some(proxy) = settings.azure.proxy.address() else {
                bail!(
                    "azure.proxy is off: start lazuli with --azure-proxy 127.0.0.1:5480, and say so here, too"
                );
            };
            export("HTTPS_PROXY", &format!("http://{}", dialled(proxy)));
            format!("{base}/metadata/clouds/names")
        }
        style => format!("{base}/metadata/clouds/{style}"),
    };
    export("ARM_CLOUD_METADATA_URL", &url);
    export("AZURE_CONFIG_DIR", &format!("\"$HOME/.azure-{domain}\""));
    export("AZURE_CORE_COLLECT_TELEMETRY", "no");
    export("AZURE_CORE_LOGIN_EXPERIENCE_V2", "off");
    let _ = match setup {
        "names" => writeln!(
            out,
            "# These names have to lead here, on port 443: management.{domain} login.{domain} NAME.azurecr.{domain}"
        ),
        _ => Ok(()),
    };
    let _ = writeln!(out, "# az login -u admin@{domain}");
    Ok(out)
}

/// What was set for this server of what `lazuli az-env` has to know: it may run with other variables, in another folder.
pub(crate) fn flags(configuration: &Configuration) -> String {
    let settings = &configuration.settings;
    let mut flags = String::new();
    let mut add = |key: &str, value: String| {
        if configuration.is_set(key) {
            let word = shell_word(std::path::Path::new(&value));
            let _ = write!(flags, " --{} {word}", key.replace(['.', '_'], "-"));
        }
    };
    let folder = absolute(&settings.general.data_dir);
    add("data_dir", folder.display().to_string());
    for (key, address) in [
        ("http", settings.general.http),
        ("https", settings.general.https),
        ("azure.proxy", settings.azure.proxy),
    ] {
        let text = address
            .address()
            .map_or("off".to_owned(), |at| at.to_string());
        add(key, text);
    }
    add("azure.domain", settings.azure.domain.0.clone());
    flags
}

/// Plain HTTP on this machine where there is such a listener, because the metadata are no secret, else HTTPS.
fn metadata_base(http: Option<SocketAddr>, https: SocketAddr) -> String {
    match http.filter(|address| address.ip().is_loopback()) {
        Some(http) => format!("http://{}", dialled(http)),
        None => format!("https://{}", dialled(https)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn lines_of(pairs: &[(&str, &str)], setup: &str) -> anyhow::Result<String> {
        let settings = Configuration::load(&Given::of(pairs)).unwrap().settings;
        lines(&settings, setup, Some(Path::new("/data/tls/bundle.crt")))
    }

    #[test]
    fn each_set_up_names_what_az_needs() {
        let text = lines_of(&[], "adfs").unwrap();
        for line in [
            "export REQUESTS_CA_BUNDLE=/data/tls/bundle.crt",
            "export ARM_CLOUD_METADATA_URL=http://127.0.0.1:5000/metadata/clouds/adfs",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
        assert!(!text.contains("INSTANCE_DISCOVERY"));
        let text = lines_of(&[], "entra").unwrap();
        assert!(text.contains("export AZURE_CORE_INSTANCE_DISCOVERY=false"));
        assert!(text.contains("/metadata/clouds/entra"));
        let text = lines_of(&[("azure.domain", "a.example")], "names").unwrap();
        assert!(text.contains("https://management.a.example/metadata/clouds/names"));
        let text = lines_of(&[("azure.proxy", "127.0.0.1:5480")], "proxy").unwrap();
        assert!(text.contains("export HTTPS_PROXY=http://127.0.0.1:5480"));
        assert!(text.contains("http://127.0.0.1:5000/metadata/clouds/names"));
    }

    #[test]
    fn what_cannot_work_says_what_to_do() {
        let message = lines_of(&[("https", "off")], "adfs")
            .unwrap_err()
            .to_string();
        assert!(message.contains("--https"), "{message}");
        let message = lines_of(&[], "proxy").unwrap_err().to_string();
        assert!(message.contains("--azure-proxy"), "{message}");
        let text = lines_of(&[("http", "off")], "adfs").unwrap();
        assert!(text.contains("https://127.0.0.1:5443/metadata"));
    }
}
