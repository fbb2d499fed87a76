//! The authority: paths, forms, scopes, requests of browsers; nothing that leads elsewhere passes for one's own computer.
#![no_main]

use lazuli_wire::entra::{
    Asked, AuthorizeRequest, Flavor, RedirectUri, Resource, Route, Tenant, TokenForm, device_form,
};
use lazuli_wire::query::{Query, QueryLimits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Some(route) = Route::parse(text) {
        assert!(!route.allowed_methods().is_empty());
    }
    if let Some(tenant) = Tenant::parse(text) {
        assert_eq!(Tenant::parse(&tenant.to_string()), Some(tenant));
    }
    if let Some(uri) = RedirectUri::parse(text)
        && uri.is_loopback()
    {
        let host = uri.origin().trim_start_matches("http://");
        assert!(["localhost", "127.0.0.1", "[::1]"].iter().any(|own| {
            host.strip_prefix(own)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
        }));
    }
    let _ = Asked::parse(text);
    if let Some(resource) = Resource::parse(text) {
        let _ = (resource.https(), resource.well_known(), resource.application());
    }
    let Ok(form) = Query::parse(text, &QueryLimits::FORM) else {
        return;
    };
    for flavor in [Flavor::V1, Flavor::V2, Flavor::Adfs] {
        if let Ok(read) = TokenForm::read(&form, flavor, None) {
            assert!(!read.client_id.is_empty());
        }
        let _ = TokenForm::read(&form, flavor, Some(("client", "secret")));
        let _ = device_form(&form, flavor);
        let _ = AuthorizeRequest::read(&form, flavor);
    }
});
