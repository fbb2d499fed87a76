//! The token plane: GET and POST `/oauth2/token`, POST `/oauth2/exchange` (Docker token specification and RFC 6749, as
//! Azure Container Registry answers them).

mod answer;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Method, Request, Response};
use lazuli_identity::{Identity, Origin, RegistryId};
use lazuli_wire::query::{Query, QueryLimits};
use lazuli_wire::token::{Route, RouteError, TokenRequest, TokenRequestError};

use self::answer::Refused;

/// Answers a request whose body has been collected. `service` is the login server the client dialled, in lower case.
///
/// Credentials are taken from the `Authorization` header and the form, never from the URL: URLs end up in logs.
pub(crate) async fn handle(
    identity: &Identity,
    registry: RegistryId,
    service: &str,
    from: Origin,
    request: Request<Bytes>,
) -> Response<Bytes> {
    match answer(identity, registry, service, from, &request).await {
        Ok(response) => response,
        Err(refused) => refused.into_response(service),
    }
}

async fn answer(
    identity: &Identity,
    registry: RegistryId,
    service: &str,
    from: Origin,
    request: &Request<Bytes>,
) -> Result<Response<Bytes>, Refused> {
    let route = Route::parse(request.method(), request.uri().path())?;
    let asked = read(route, request)?;
    match route {
        Route::Token => {
            let authorization = authorization(request.headers())?;
            let issued = identity
                .issue_token(registry, service, from, authorization, &asked)
                .await?;
            Ok(answer::ok(&issued))
        }
        Route::Exchange => Ok(answer::ok(
            &identity.exchange(registry, service, &asked).await?,
        )),
    }
}

fn read(route: Route, request: &Request<Bytes>) -> Result<TokenRequest, Refused> {
    if *request.method() == Method::GET {
        let query = request.uri().query().unwrap_or_default();
        let query = Query::parse(query, &QueryLimits::QUERY).map_err(TokenRequestError::from)?;
        return Ok(TokenRequest::from_query(&query)?);
    }
    if !is_form(request.headers()) {
        return Err(Refused::NoForm);
    }
    // A query (SDKs send api-version) has no meaning here.
    let form =
        Query::parse_bytes(request.body(), &QueryLimits::FORM).map_err(TokenRequestError::from)?;
    Ok(TokenRequest::from_form(route, &form)?)
}

/// Whether the body is a form. Old clients do not say what it is.
fn is_form(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return true;
    };
    let essence = value
        .to_str()
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default();
    essence
        .trim()
        .eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// The one `Authorization` header. With two, two readers could see different callers.
fn authorization(headers: &HeaderMap) -> Result<Option<&[u8]>, Refused> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value.map(http::HeaderValue::as_bytes)),
        _ => Err(Refused::TwoAuthorizations),
    }
}

impl From<RouteError> for Refused {
    fn from(error: RouteError) -> Self {
        match error {
            RouteError::NotFound => Self::NoEndpoint,
            RouteError::MethodNotAllowed { allow } => Self::Method { allow },
        }
    }
}

#[cfg(test)]
mod tests;
