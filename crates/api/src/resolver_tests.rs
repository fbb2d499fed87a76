#![allow(clippy::unwrap_used, clippy::expect_used)]
use http::Request;

use super::*;

fn request(headers: &[(&'static str, &str)]) -> Parts {
    let mut request = Request::builder().uri("/v2/");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn local() -> SocketAddr {
    "127.0.0.1:5000".parse().unwrap()
}

fn resolver(options: ResolverOptions) -> Resolver {
    let resolver = Resolver::new(options);
    let hosted = |id, name: &str, hosts: &[&str]| HostedRegistry {
        id: RegistryId::new(id),
        name: name.into(),
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
    };
    resolver.update([
        hosted(1, "main", &[]),
        hosted(2, "Second", &["own.example", ":5001"]),
    ]);
    resolver
}

fn suffixed() -> ResolverOptions {
    ResolverOptions {
        suffixes: vec!["reg.example".into()],
        ..ResolverOptions::default()
    }
}

fn site(resolver: &Resolver, headers: &[(&'static str, &str)]) -> Site {
    let mut last = LastSite::default();
    let remote = "127.0.0.1:9".parse().unwrap();
    let site = resolver
        .resolve(&request(headers), Scheme::Http, local(), remote, &mut last)
        .unwrap();
    drop(last);
    Arc::try_unwrap(site).unwrap()
}

#[test]
fn a_registry_is_found_by_host_suffix_port_or_default() {
    let resolver = resolver(suffixed());
    let of = |host: &str| site(&resolver, &[("host", host)]).registry.get();
    assert_eq!(of("127.0.0.1:5000"), 1);
    assert_eq!(of("own.example"), 2);
    assert_eq!(of("OWN.example.:99"), 2);
    assert_eq!(of("second.reg.example"), 2);
    assert_eq!(of("main.reg.example:443"), 1);
    assert_eq!(of("other.reg.example"), 1);
    assert_eq!(of("xreg.example"), 1);
    let by_port = resolver.find("x", Scheme::Http, "127.0.0.1:5001".parse().unwrap());
    assert_eq!(by_port.unwrap().registry.get(), 2);
}

#[test]
fn without_a_default_unknown_hosts_have_nothing() {
    let options = ResolverOptions {
        default_registry: None,
        ..suffixed()
    };
    let resolver = resolver(options);
    let refusal = resolver.find("elsewhere", Scheme::Http, local());
    assert_eq!(refusal.unwrap_err().status(), 404);
    assert!(resolver.find("own.example", Scheme::Http, local()).is_ok());
}

#[test]
fn the_login_server_is_what_was_dialled() {
    let resolver = resolver(ResolverOptions::default());
    let site = site(&resolver, &[("host", "Registry.local:5000")]);
    assert_eq!(site.login_server, "registry.local:5000");
    assert_eq!(site.scheme, Scheme::Http);
    for bad in ["a b", "a\"b", "x@y", ""] {
        let refusal = resolver.find(bad, Scheme::Http, local());
        assert_eq!(refusal.unwrap_err().status(), 400, "{bad}");
    }
}

#[test]
fn a_public_url_replaces_what_was_dialled() {
    let options = ResolverOptions {
        public_url: PublicUrl::parse("https://registry.example/"),
        ..ResolverOptions::default()
    };
    let site = site(&resolver(options), &[("host", "10.0.0.7:5000")]);
    assert_eq!(site.login_server, "registry.example");
    assert_eq!(site.scheme, Scheme::Https);
    for bad in ["registry.example", "ftp://x", "https://", "https://a/b"] {
        assert_eq!(PublicUrl::parse(bad), None, "{bad}");
    }
}

#[test]
fn forwarded_headers_count_only_from_trusted_proxies() {
    let headers = [
        ("host", "inner:5000"),
        ("x-forwarded-host", "outer.example"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-for", "6.6.6.6, 203.0.113.9, 127.0.0.2"),
    ];
    let plain = resolver(ResolverOptions::default());
    assert_eq!(site(&plain, &headers).login_server, "inner:5000");
    assert_eq!(site(&plain, &headers).scheme, Scheme::Http);
    let trusting = resolver(ResolverOptions {
        trusted_proxies: vec![Network::parse("127.0.0.0/8").unwrap()],
        ..ResolverOptions::default()
    });
    assert_eq!(site(&trusting, &headers).login_server, "outer.example");
    assert_eq!(site(&trusting, &headers).scheme, Scheme::Https);
    let address = |resolver: &Resolver| {
        let client = resolver.client_address(&request(&headers), "127.0.0.1".parse().unwrap());
        client.to_string()
    };
    assert_eq!(address(&plain), "127.0.0.1");
    assert_eq!(address(&trusting), "203.0.113.9");
    // With ports, as some gateways write them.
    for (hop, client) in [
        ("203.0.113.9:4711", "203.0.113.9"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("203.0.113.9:", "127.0.0.1"),
        ("[203.0.113.9]", "127.0.0.1"),
        ("unknown", "127.0.0.1"),
    ] {
        let headers = [("host", "h"), ("x-forwarded-for", hop)];
        let found = trusting.client_address(&request(&headers), "127.0.0.1".parse().unwrap());
        assert_eq!(found.to_string(), client, "{hop}");
    }
}

#[test]
fn the_last_site_is_kept_until_the_directory_changes() {
    let resolver = resolver(suffixed());
    let mut last = LastSite::default();
    let mut resolve = |host: &str| {
        let request = request(&[("host", host)]);
        let remote = "127.0.0.1:9".parse().unwrap();
        resolver
            .resolve(&request, Scheme::Http, local(), remote, &mut last)
            .unwrap()
    };
    let first = resolve("second.reg.example");
    assert!(Arc::ptr_eq(&first, &resolve("second.reg.example")));
    assert_eq!(resolve("main.reg.example").registry.get(), 1);
    assert_eq!(first.registry.get(), 2);
    resolve("second.reg.example");
    resolver.update([]);
    assert_eq!(resolve("second.reg.example").registry.get(), 1);
}

#[test]
fn networks_contain_their_addresses() {
    let contains = |network: &str, address: &str| {
        Network::parse(network)
            .unwrap()
            .contains(address.parse().unwrap())
    };
    assert!(contains("10.0.0.0/8", "10.200.3.4"));
    assert!(!contains("10.0.0.0/8", "11.0.0.1"));
    assert!(contains("10.0.0.0/8", "::ffff:10.1.1.1"));
    assert!(contains("0.0.0.0/0", "1.2.3.4"));
    assert!(contains("::1", "::1") && !contains("::1", "::2"));
    assert!(contains("2001:db8::/32", "2001:db8:1::1"));
    for bad in ["10.0.0.0/33", "x", "10.0.0.0/", "10.0.0.0/-1", "::/129"] {
        assert_eq!(Network::parse(bad), None, "{bad}");
    }
}

#[test]
fn strict_transport_is_for_names_served_over_https() {
    let strict =
        |login_server: &str, scheme| Site::new(RegistryId::DEFAULT, login_server, scheme).is_strict;
    assert!(strict("registry.example:5443", Scheme::Https));
    assert!(!strict("registry.example", Scheme::Http));
    for host in [
        "localhost:5443",
        "a.localhost",
        "127.0.0.1:5443",
        "[::1]:5443",
    ] {
        assert!(!strict(host, Scheme::Https), "{host}");
    }
}
