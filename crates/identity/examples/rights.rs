//! How long decisions and tokens take: `cargo run --release -p lazuli-identity --example rights`.
//!
//! One user with 1,000 role assignments, 100 of them under a condition that does not hold, so that nothing ends early.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::too_many_lines
)]

use std::sync::Arc;
use std::time::Instant;

use lazuli_db::clock::SystemClock;
use lazuli_db::{Db, SqliteOptions, params};
use lazuli_identity::rbac::store::{RoleAssignment, put_assignment, put_definition};
use lazuli_identity::rbac::{RoleDefinition, RoleKind, policy};
use lazuli_identity::{
    Audience, Authority, DirectoryOptions, DirectoryWrite, Identity, IdentityOptions, Object,
    ObjectKind, Origin, Pull, RegistryId,
};
use lazuli_wire::Guid;
use lazuli_wire::arm_scope::ArmScope;
use lazuli_wire::entra::{Flavor, Resource, Tenant, TokenForm};
use lazuli_wire::oci::RepositoryName;
use lazuli_wire::query::{Query, QueryLimits};
use lazuli_wire::rbac::{ArmAction, Permissions};
use lazuli_wire::token::{GrantType, Scope, Secret, TokenRequest};

const REGISTRY: RegistryId = RegistryId::DEFAULT;
const SERVICE: &str = "127.0.0.1:5000";
const ASSIGNMENTS: u16 = 1000;
const CONDITIONS: u16 = 100;

fn guid(kind: u8, number: u16) -> Guid {
    let mut bytes = [kind; 16];
    bytes[14..].copy_from_slice(&number.to_be_bytes());
    Guid::from_bytes(bytes)
}

fn assign(tx: &mut lazuli_db::Tx<'_>, user: Guid) -> lazuli_db::Result<()> {
    tx.execute(
        "INSERT INTO registry_resources (registry_id, subscription_id, group_key, resource_group, location, sku,
           admin_enabled, abac, arm_tokens, tags, properties, version, created_at, created_by, updated_at, updated_by)
         VALUES (1, 's', 'g', 'g', 'local', 'Premium', 1, 1, 1, '{}', '{}', 1, 1, '', 1, '')",
        params![],
    )?;
    let registry = ArmScope::registry("s", "g", "lazuli").unwrap();
    for number in 0..ASSIGNMENTS {
        let permissions = if number < CONDITIONS {
            r#"{"dataActions": ["Microsoft.ContainerRegistry/registries/repositories/content/read"]}"#.to_owned()
        } else {
            format!(r#"{{"actions": ["Microsoft.Other/type{number}/*/read"]}}"#)
        };
        let role = RoleDefinition {
            id: guid(1, number),
            name: format!("role {number}"),
            description: String::new(),
            kind: RoleKind::Custom,
            permissions: Arc::from([serde_json::from_str::<Permissions>(&permissions).unwrap()]),
            assignable_scopes: vec![ArmScope::root()],
            created_at: 1,
            created_by: String::new(),
            updated_at: 1,
            updated_by: String::new(),
        };
        put_definition(tx, Guid::ZERO, &role).unwrap();
        let condition = format!(
            "((!(ActionMatches{{'Microsoft.ContainerRegistry/registries/repositories/content/read'}})) OR \
              (@Request[Microsoft.ContainerRegistry/registries/repositories:name] StringStartsWithIgnoreCase 'team-{number}/'))"
        );
        let assignment = RoleAssignment {
            id: guid(2, number),
            scope: registry.clone(),
            role: role.id,
            principal: user,
            principal_type: "User".to_owned(),
            description: None,
            condition: (number < CONDITIONS).then_some(condition),
            created_at: 1,
            created_by: String::new(),
            updated_at: 1,
            updated_by: String::new(),
        };
        put_assignment(tx, &assignment).unwrap();
    }
    policy::bump(tx)
}

fn request(grant_type: GrantType, scopes: &str) -> TokenRequest {
    TokenRequest {
        grant_type,
        service: None,
        scopes: Scope::parse_list([scopes]).unwrap(),
        username: None,
        password: None,
        refresh_token: None,
        access_token: None,
        tenant: None,
        account: None,
        client_id: None,
        offline: false,
    }
}

fn report(what: &str, started: Instant, rounds: u32) {
    let each = started.elapsed() / rounds;
    let a_second = f64::from(rounds) / started.elapsed().as_secs_f64();
    println!("{what}: {each:?} each, {a_second:.0} a second on one core");
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open_sqlite(SqliteOptions::new(folder.path().join("lazuli.db"))).unwrap();
    let options = IdentityOptions::new("lazuli");
    let (identity, first) =
        Identity::open(db.clone(), Arc::new(SystemClock::new()), &[7; 32], options)
            .await
            .unwrap();
    let directory = DirectoryOptions {
        domain: "lazuli.test".to_owned(),
        admin_password: None,
    };
    identity.install_directory(directory).await.unwrap();
    let may = DirectoryWrite::of_operator();
    let (id, name) = (guid(3, 0), "ann@lazuli.test");
    let mut user = Object::new(id, ObjectKind::User, name, "Ann", 1);
    user.attributes
        .insert("userPrincipalName".to_owned(), name.into());
    identity.add_object(&may, user, None).await.unwrap();
    let password = identity.set_user_password(&may, id, None).await.unwrap();
    db.write(move |tx| assign(tx, id)).await.unwrap();
    identity.policy_changed().await.unwrap();

    let form = format!(
        "grant_type=password&client_id=04b07795-8ddb-461a-bbee-02f9e1bf7b46&username=ann%40lazuli.test&password={}&scope=x",
        password.unwrap().expose()
    );
    let form = Query::parse(&form, &QueryLimits::FORM).unwrap();
    let form = TokenForm::read(&form, Flavor::V2, None).unwrap();
    let audience = |_: &Resource| Some(Audience::Registry);
    let at = Authority {
        base: "https://127.0.0.1",
        tenant: &Tenant::Common,
        flavor: Flavor::V2,
        from: Origin::LOCAL,
        audience: &audience,
    };
    let token = identity.directory_token(&at, &form).await.unwrap();
    let token = serde_json::to_value(token).unwrap();
    let token = token["access_token"].as_str().unwrap();

    let started = Instant::now();
    let mut exchange = request(GrantType::AccessToken, "");
    exchange.access_token = Some(Secret::new(token));
    let refresh = identity
        .exchange(REGISTRY, SERVICE, &exchange)
        .await
        .unwrap();
    report("first exchange, with everything loaded", started, 1);
    let rounds = 20_000;
    let started = Instant::now();
    for _ in 0..rounds {
        identity
            .exchange(REGISTRY, SERVICE, &exchange)
            .await
            .unwrap();
    }
    report("exchange", started, rounds);

    let password = first.unwrap().generated_password.unwrap();
    let mut admin = request(GrantType::Password, "");
    admin.username = Some("lazuli".to_owned());
    admin.password = Some(password);
    let started = Instant::now();
    for number in 0..rounds {
        // Another repository each time, so that nothing is issued twice.
        admin.scopes =
            Scope::parse_list([&*format!("repository:team/{number}:pull,push")]).unwrap();
        identity
            .issue_token(REGISTRY, SERVICE, Origin::LOCAL, None, &admin)
            .await
            .unwrap();
    }
    report("access token of the admin user", started, rounds);
    let mut asked = request(GrantType::RefreshToken, "");
    asked.refresh_token = Some(Secret::new(refresh.refresh_token));
    let started = Instant::now();
    for number in 0..rounds {
        asked.scopes =
            Scope::parse_list([&*format!("repository:team/{number}:pull,push")]).unwrap();
        identity
            .issue_token(REGISTRY, SERVICE, Origin::LOCAL, None, &asked)
            .await
            .unwrap();
    }
    report("access token of the user", started, rounds);

    let words = "repository:none/of/them:pull";
    asked.scopes = Scope::parse_list([words]).unwrap();
    let access = identity
        .issue_token(REGISTRY, SERVICE, Origin::LOCAL, None, &asked)
        .await
        .unwrap();
    let header = format!("Bearer {}", access.access_token);
    let principal = identity
        .authenticate(REGISTRY, SERVICE, Origin::LOCAL, Some(header.as_bytes()))
        .await
        .unwrap();
    let rounds = 200_000;
    let started = Instant::now();
    for _ in 0..rounds {
        let known = identity.authenticate_cached(REGISTRY, SERVICE, Some(header.as_bytes()));
        assert!(known.is_some());
    }
    report("verification of a token by cache", started, rounds);
    let repository = RepositoryName::parse("none/of/them").unwrap();
    let started = Instant::now();
    for _ in 0..rounds {
        let access = identity.authorize::<Pull>(&principal, REGISTRY, &repository);
        assert!(access.is_err());
    }
    report(
        "decision on a repository, 1,000 assignments and 100 conditions",
        started,
        rounds,
    );

    let audience = |_: &Resource| Some(Audience::Management);
    let at = Authority {
        audience: &audience,
        ..at
    };
    let token = identity.directory_token(&at, &form).await.unwrap();
    let token = serde_json::to_value(token).unwrap();
    let token = token["access_token"].as_str().unwrap();
    let caller = identity
        .verify_directory_token(token, Audience::Management)
        .await
        .unwrap();
    let action = ArmAction::parse("Microsoft.ContainerRegistry/registries/read").unwrap();
    let scope = ArmScope::registry("s", "g", "lazuli").unwrap();
    let started = Instant::now();
    for _ in 0..rounds {
        assert!(
            identity
                .authorize_arm(&caller, &action, &scope)
                .await
                .is_err()
        );
    }
    report(
        "decision on a resource, 1,000 assignments at it",
        started,
        rounds,
    );
}
