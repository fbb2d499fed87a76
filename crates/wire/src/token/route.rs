//! Routes of the token plane.

use http::Method;

/// An endpoint of the token plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Route {
    /// GET and POST `/oauth2/token`: access tokens.
    Token,
    /// POST `/oauth2/exchange`: refresh tokens.
    Exchange,
}

/// Why a path is no route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// No endpoint has this form.
    #[error("no such endpoint")]
    NotFound,
    /// The endpoint has no such method.
    #[error("method not allowed; allowed are {allow}")]
    MethodNotAllowed {
        /// The value of the `Allow` header.
        allow: &'static str,
    },
}

impl Route {
    /// Every route.
    pub const ALL: [Self; 2] = [Self::Token, Self::Exchange];

    /// Reads the path of a request, without its query.
    pub fn parse(method: &Method, path: &str) -> Result<Self, RouteError> {
        let route = Self::ALL
            .into_iter()
            .find(|route| route.path() == path)
            .ok_or(RouteError::NotFound)?;
        let allowed = match route {
            Self::Token => matches!(*method, Method::GET | Method::POST),
            Self::Exchange => *method == Method::POST,
        };
        if allowed {
            Ok(route)
        } else {
            Err(RouteError::MethodNotAllowed {
                allow: route.allowed_methods(),
            })
        }
    }

    /// The path.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Token => "/oauth2/token",
            Self::Exchange => "/oauth2/exchange",
        }
    }

    /// The methods the endpoint has, as an `Allow` header lists them.
    pub const fn allowed_methods(self) -> &'static str {
        match self {
            Self::Token => "GET, POST",
            Self::Exchange => "POST",
        }
    }

    /// The endpoint's label in metrics and logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Exchange => "token_exchange",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_endpoint_has_its_methods_and_no_others() {
        for route in Route::ALL {
            for method in [
                Method::GET,
                Method::HEAD,
                Method::POST,
                Method::PUT,
                Method::DELETE,
            ] {
                let expected = if route
                    .allowed_methods()
                    .split(", ")
                    .any(|name| name == method.as_str())
                {
                    Ok(route)
                } else {
                    Err(RouteError::MethodNotAllowed {
                        allow: route.allowed_methods(),
                    })
                };
                assert_eq!(Route::parse(&method, route.path()), expected);
            }
        }
    }

    #[test]
    fn other_paths_are_not_found() {
        for path in [
            "",
            "/",
            "/oauth2",
            "/oauth2/",
            "/oauth2/token/",
            "/OAuth2/token",
            "/oauth2/tokens",
            "oauth2/token",
        ] {
            assert_eq!(
                Route::parse(&Method::POST, path),
                Err(RouteError::NotFound),
                "{path}"
            );
        }
    }
}
