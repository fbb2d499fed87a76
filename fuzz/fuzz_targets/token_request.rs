//! Requests for tokens: the grant belongs to the endpoint, has its token, and no secret is shown.
#![no_main]

use lazuli_wire::query::{Query, QueryLimits};
use lazuli_wire::token::{GrantType, Route, TokenRequest};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let Ok(form) = Query::parse_bytes(body, &QueryLimits::FORM) else {
        return;
    };
    for route in Route::ALL {
        let Ok(request) = TokenRequest::from_form(route, &form) else {
            continue;
        };
        assert!(request.grant_type.belongs_to(route));
        match request.grant_type {
            GrantType::Password => {}
            GrantType::RefreshToken => assert!(request.refresh_token.is_some()),
            GrantType::AccessToken | GrantType::AccessTokenRefreshToken => {
                assert!(request.access_token.is_some())
            }
        }
    }
    if let Ok(request) = TokenRequest::from_query(&form) {
        assert!(
            request.password.is_none()
                && request.refresh_token.is_none()
                && request.access_token.is_none()
        );
    }
});
