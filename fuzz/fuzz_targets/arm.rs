//! The management plane: paths lead to routes whose rules name what the path names; filters and bodies are read or refused.
#![no_main]

use http::Method;
use lazuli_wire::arm::{
    AssignmentBody, CheckName, DefinitionBody, Filter, GenerateCredentials, GroupBody, LockBody,
    RegistryBody, Route, Rule, ScopeMapBody, TokenBody, read_object,
};
use libfuzzer_sys::fuzz_target;

const METHODS: [Method; 6] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
];

fn check(path: &str) {
    for method in &METHODS {
        let Ok(route) = Route::parse(method, path) else {
            continue;
        };
        match route.rule() {
            Ok(Rule::Public) => assert_eq!(route, Route::Metadata),
            Ok(Rule::Needs { scope, .. } | Rule::Shows { scope, .. }) => {
                // The path names the scope, so it is no longer than the path with its words written out.
                assert!(scope.as_str().len() <= path.len() + 200);
                assert!(!scope.as_str().contains(".."));
            }
            Ok(Rule::SignedIn) | Err(_) => {}
        }
        assert_eq!(Route::parse(method, &format!("/{path}")), Ok(route));
    }
}

fuzz_target!(|text: &str| {
    check(text);
    check(&format!(
        "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/{text}"
    ));
    if let Ok(filter) = Filter::parse(text) {
        assert_eq!(Filter::parse(text.trim()), Ok(filter));
    }
    if let Ok(body) = read_object(text.as_bytes()) {
        let _ = RegistryBody::read(body.clone());
        let _ = GroupBody::read(body.clone());
        let _ = CheckName::read(body.clone());
        let _ = GenerateCredentials::read(body.clone());
        let _ = ScopeMapBody::read(body.clone());
        let _ = TokenBody::read(body.clone());
        let _ = AssignmentBody::read(body.clone());
        let _ = DefinitionBody::read(body.clone());
        let _ = LockBody::read(body);
    }
});
