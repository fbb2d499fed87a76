//! Every route × everybody: who is let in, from what roles mean in Azure, not from how it is decided here.

use lazuli_testkit::http::Client;
use lazuli_wire::arm::{Route, Rule};

use crate::server::{ACCESS_ADMINISTRATOR, CONTRIBUTOR, OWNER, READER, Server, send};

const ROLE: &str = "7f951dda-4ed3-4680-a7ca-43fe172d538d";
/// A GUID of nothing.
const NOTHING: &str = "00000000-0000-4000-8000-000000000001";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Nobody,
    Stranger,
    Reader,
    Contributor,
    Owner,
    AccessAdministrator,
}

/// What a role's definition in Azure says of an action.
fn role_permits(who: Who, action: &str) -> bool {
    let action = action.to_lowercase();
    let is_read = action.ends_with("/read");
    let is_authorization = action.starts_with("microsoft.authorization/");
    match who {
        Who::Nobody | Who::Stranger => false,
        Who::Reader => is_read,
        Who::Contributor => {
            !is_authorization || !(action.ends_with("/write") || action.ends_with("/delete"))
        }
        Who::Owner => true,
        Who::AccessAdministrator => is_read || is_authorization,
    }
}

/// Each kind of route has a number: one that is not in the list below fails the test, a new one does not compile.
const fn number(route: &Route) -> usize {
    match route {
        Route::Metadata => 0,
        Route::Tenants => 1,
        Route::Subscriptions => 2,
        Route::Subscription(_) => 3,
        Route::Locations(_) => 4,
        Route::Resources(_) => 5,
        Route::Groups(_) => 6,
        Route::Group(..) => 7,
        Route::Providers(_) => 8,
        Route::Provider(..) => 9,
        Route::RegisterProvider(..) => 10,
        Route::Operations(_) => 11,
        Route::CheckName(_) => 12,
        Route::Registries(_) => 13,
        Route::Registry(..) => 14,
        Route::Usages(_) => 15,
        Route::ListCredentials(_) => 16,
        Route::RegenerateCredential(_) => 17,
        Route::GenerateCredentials(_) => 18,
        Route::ScopeMaps(_) => 19,
        Route::ScopeMap(..) => 20,
        Route::Tokens(_) => 21,
        Route::Token(..) => 22,
        Route::LaterList(..) => 23,
        Route::LaterItem(..) => 24,
        Route::LaterItemAction(..) => 25,
        Route::LaterAction(..) => 26,
        Route::OperationStatus(..) => 27,
        Route::Identities(_) => 28,
        Route::Identity(..) => 29,
        Route::RoleDefinitions(_) => 30,
        Route::RoleDefinition(..) => 31,
        Route::RoleAssignments(_) => 32,
        Route::RoleAssignment(..) => 33,
        Route::DenyAssignments(_) => 34,
        Route::DenyAssignment(..) => 35,
        Route::Locks(_) => 36,
        Route::Lock(..) => 37,
    }
}

const KINDS: usize = 38;

/// Requests that change nothing even when they are let in: names of nothing, bodies that say nothing.
fn requests(server: &Server) -> Vec<(&'static str, String)> {
    let (s, g) = (server.subscription(), server.group("lazuli"));
    let none = server.group("nothing");
    let r = server.registry("lazuli", "lazuli");
    let gone = server.registry("lazuli", "nothing");
    let acr = "providers/Microsoft.ContainerRegistry";
    let ids = "providers/Microsoft.ManagedIdentity/userAssignedIdentities";
    let auth = "providers/Microsoft.Authorization";
    let mut all = vec![
        ("GET", "/metadata/endpoints".to_owned()),
        ("GET", "/tenants".to_owned()),
        ("GET", "/subscriptions".to_owned()),
        ("GET", s.clone()),
        ("GET", format!("{s}/locations")),
        ("GET", format!("{s}/resources")),
        ("GET", format!("{g}/resources")),
        ("GET", format!("{s}/resourcegroups")),
        ("GET", "/providers".to_owned()),
        ("GET", format!("{s}/providers")),
        ("GET", format!("/{acr}")),
        ("GET", format!("{s}/{acr}")),
        ("POST", format!("{s}/{acr}/register")),
        ("GET", format!("/{acr}/operations")),
        ("POST", format!("{s}/{acr}/checkNameAvailability")),
        ("GET", format!("{s}/{acr}/registries")),
        ("GET", format!("{g}/{acr}/registries")),
        ("GET", format!("{r}/listUsages")),
        ("POST", format!("{r}/listCredentials")),
        ("POST", format!("{r}/regenerateCredential")),
        ("POST", format!("{r}/generateCredentials")),
        ("GET", format!("{r}/scopeMaps")),
        ("GET", format!("{r}/tokens")),
        ("GET", format!("{r}/webhooks")),
        ("POST", format!("{r}/webhooks/nothing/ping")),
        ("POST", format!("{r}/importImage")),
        (
            "GET",
            format!("{s}/{acr}/locations/local/operationStatuses/nothing"),
        ),
        ("GET", format!("{s}/{ids}")),
        ("GET", format!("{g}/{ids}")),
        ("GET", format!("{r}/{auth}/roleDefinitions")),
        ("GET", format!("{r}/{auth}/roleAssignments")),
        ("GET", format!("{r}/{auth}/denyAssignments")),
        ("GET", format!("{r}/{auth}/denyAssignments/{NOTHING}")),
        ("GET", format!("{r}/{auth}/locks")),
    ];
    for (path, methods) in [
        (none.clone(), "GET HEAD PUT PATCH DELETE"),
        (gone.clone(), "GET HEAD PUT PATCH DELETE"),
        (format!("{gone}/scopeMaps/nothing"), "GET PUT PATCH DELETE"),
        (format!("{gone}/tokens/nothing"), "GET PUT PATCH DELETE"),
        (format!("{gone}/cacheRules/nothing"), "GET PUT PATCH DELETE"),
        (format!("{none}/{ids}/nothing"), "GET PUT PATCH DELETE"),
        (
            format!("{s}/{auth}/roleDefinitions/{NOTHING}"),
            "GET PUT DELETE",
        ),
        (
            format!("{s}/{auth}/roleDefinitions/{ROLE}"),
            "GET PUT DELETE",
        ),
        (
            format!("{s}/{auth}/roleAssignments/{NOTHING}"),
            "GET PUT DELETE",
        ),
        (format!("{s}/{auth}/locks/nothing"), "GET PUT DELETE"),
    ] {
        all.extend(methods.split(' ').map(|method| (method, path.clone())));
    }
    all
}

#[test]
fn everybody_may_do_what_the_role_says_and_nothing_else() {
    let server = Server::start();
    let scope = server.subscription();
    let everybody: Vec<(Who, Client)> = vec![
        (Who::Nobody, server.anonymous()),
        (Who::Stranger, server.person("stranger", None)),
        (Who::Reader, server.person("reader", Some((READER, &scope)))),
        (
            Who::Contributor,
            server.person("contributor", Some((CONTRIBUTOR, &scope))),
        ),
        (Who::Owner, server.person("owner", Some((OWNER, &scope)))),
        (
            Who::AccessAdministrator,
            server.person("access", Some((ACCESS_ADMINISTRATOR, &scope))),
        ),
    ];
    let mut met = [false; KINDS];
    for (method, path) in requests(&server) {
        let route = Route::parse(&method.parse().unwrap(), &path).unwrap();
        met[number(&route)] = true;
        let rule = route.rule().unwrap();
        for (who, client) in &everybody {
            let response = send(client, method, &path, "{}");
            let status = response.status;
            let at = format!("{who:?} {method} {path}: {status}");
            assert!(status < 500, "{at}");
            let code = |response: &lazuli_testkit::http::Response| {
                response.json()["error"]["code"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            };
            match &rule {
                Rule::Public => assert_eq!(status, 200, "{at}"),
                _ if *who == Who::Nobody => {
                    assert_eq!(status, 401, "{at}");
                    let challenge = response.header("www-authenticate").unwrap();
                    assert!(
                        challenge.starts_with("Bearer authorization_uri=\""),
                        "{challenge}"
                    );
                }
                Rule::SignedIn => assert!(matches!(status, 200 | 404), "{at}"),
                Rule::Shows { action, .. } => {
                    let sees = role_permits(*who, action);
                    if let Route::Subscription(_) = route {
                        assert_eq!(status, if sees { 200 } else { 404 }, "{at}");
                    } else {
                        assert_eq!(status, 200, "{at}");
                        let is_empty = response.json()["value"].as_array().unwrap().is_empty();
                        let has_any = !matches!(route, Route::Identities(_));
                        assert_eq!(is_empty, !(sees && has_any), "{at}");
                    }
                }
                Rule::Needs { action, .. } => {
                    let is_let_in = role_permits(*who, action);
                    assert_eq!(status == 403, !is_let_in, "{at}, {action}");
                    if status == 403 && method != "HEAD" {
                        assert_eq!(code(&response), "AuthorizationFailed", "{at}");
                    }
                }
            }
        }
    }
    let missing: Vec<usize> = (0..KINDS).filter(|kind| !met[*kind]).collect();
    assert!(missing.is_empty(), "no request for {missing:?}");
}

#[test]
fn a_role_on_one_registry_shows_that_one_and_its_subscription() {
    let server = Server::start();
    let admin = server.admin();
    send(
        &admin,
        "PUT",
        &server.group("rg"),
        r#"{"location":"local"}"#,
    );
    for name in ["hub01", "hub02"] {
        let body = r#"{"location":"local","sku":{"name":"Basic"}}"#;
        let made = send(&admin, "PUT", &server.registry("rg", name), body);
        assert_eq!(made.status, 201, "{made:?}");
    }
    let one = server.registry("rg", "hub01");
    let reader = server.person("reader", Some((READER, &one)));
    let names = |path: &str| -> Vec<String> {
        let answer = send(&reader, "GET", path, "");
        assert_eq!(answer.status, 200, "{path}");
        let value = answer.json()["value"].as_array().unwrap().clone();
        value
            .iter()
            .map(|item| item["name"].as_str().unwrap_or("subscription").to_owned())
            .collect()
    };
    assert_eq!(names("/subscriptions"), ["subscription"]);
    let s = server.subscription();
    assert_eq!(names(&format!("{s}/resources")), ["hub01"]);
    let acr = "providers/Microsoft.ContainerRegistry/registries";
    assert_eq!(names(&format!("{s}/{acr}")), ["hub01"]);
    assert_eq!(names(&format!("{s}/resourcegroups")), [""; 0]);
    assert_eq!(send(&reader, "GET", &one, "").status, 200);
    // What is there and what is not is the same to who may not read it.
    for other in ["hub02", "hub99"] {
        let answer = send(&reader, "GET", &server.registry("rg", other), "");
        assert_eq!(answer.status, 403, "{other}");
    }
    for path in [server.group("rg"), server.group("none")] {
        assert_eq!(send(&reader, "GET", &path, "").status, 403);
    }
    // Data rights show the subscription too, and nothing of the registry.
    let data = "b93aa761-3e63-49ed-ac28-beffa264f7ac";
    let puller = server.person("puller", Some((data, &one)));
    let seen = send(&puller, "GET", "/subscriptions", "").json();
    assert_eq!(seen["value"].as_array().unwrap().len(), 1);
    assert_eq!(send(&puller, "GET", &one, "").status, 403);
}
