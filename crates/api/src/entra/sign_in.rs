//! Signing in on a page: in a browser that a program opened, or on another device than the program.

use http::{Method, Response, StatusCode};
use lazuli_identity::Authority;
use lazuli_wire::entra::{AuthorizeRequest, Failure, Flavor, device_form};
use lazuli_wire::query::{Query, QueryLimits};
use lazuli_wire::token::Secret;

use super::answer::{self, Refused};
use super::pages::{self, COOKIE, Page, fresh, hidden, message, who};
use crate::api::Api;
use crate::body::Body;
use crate::resolver::Scheme;
use crate::service::Received;

const TITLE: &str = "Sign in";

/// Whether the form was made by a page of ours that this browser got: the cookie says the same as the form.
fn is_ours(request: &Received, form: &Query<'_>) -> bool {
    let site = request.parts.headers.get("sec-fetch-site");
    if site.is_some_and(|site| site != "same-origin") {
        return false;
    }
    let cookies = request.parts.headers.get_all(http::header::COOKIE).iter();
    let had = cookies
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='));
    let said = form.single("lz_form").ok().flatten();
    had.is_some_and(|had| !had.is_empty() && Some(had) == said)
}

/// The cookie of a page, and the field that repeats it.
fn guard(scheme: Scheme) -> (String, String) {
    let value = fresh();
    let secure = if scheme == Scheme::Https {
        "; Secure"
    } else {
        ""
    };
    let cookie =
        format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age=900{secure}");
    (cookie, value)
}

fn wrong(failure: &Failure) -> String {
    let text = failure.description();
    let text = text
        .split_once(": ")
        .map_or(text.as_str(), |(_, text)| text);
    format!("<p class=\"wrong\">{}</p>", pages::escape(text))
}

/// What a person is told who cannot go on.
fn stop(failure: &Failure) -> Response<Body> {
    let status = match failure {
        Failure::Locked(_) | Failure::Busy(_) => StatusCode::TOO_MANY_REQUESTS,
        Failure::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    };
    message(status, "This does not work", &failure.description())
}

/// Whether a person may try again on the same page.
fn may_retry(failure: &Failure) -> bool {
    matches!(
        failure,
        Failure::Password | Failure::Disabled | Failure::Locked(_) | Failure::Busy(_)
    )
}

/// GET and POST `/{tenant}/oauth2/v2.0/authorize`
pub(super) async fn authorize(
    api: &Api,
    request: &Received,
    at: &Authority<'_>,
    scheme: Scheme,
    body: &[u8],
) -> Response<Body> {
    let is_post = request.parts.method == Method::POST;
    let query = request.parts.uri.query().unwrap_or_default();
    // The form repeats the request: what is in it counts then.
    let read = if is_post && !body.is_empty() {
        Query::parse_bytes(body, &QueryLimits::FORM)
    } else {
        Query::parse(query, &QueryLimits::QUERY)
    };
    let Ok(form) = read else {
        return stop(&Failure::Malformed("the query"));
    };
    let asked = match AuthorizeRequest::read(&form, at.flavor) {
        Ok(asked) => asked,
        Err(error) => return stop(&error.0),
    };
    let application = match api.identity.check_authorize(at, &asked).await {
        Ok(name) => name,
        Err(failure) => return stop(&failure),
    };
    let mut told = String::new();
    let text = |name: &str| form.single(name).ok().flatten().unwrap_or_default();
    let name = text("lz_username");
    if is_post && !name.is_empty() {
        if !is_ours(request, &form) {
            return stop(&Failure::Malformed("lz_form"));
        }
        let password = Secret::new(text("lz_password"));
        match api
            .identity
            .authorize_user(at, &asked, name, &password)
            .await
        {
            Ok(landing) => return pages::landing(&landing),
            Err(failure) if may_retry(&failure) => told = wrong(&failure),
            Err(failure) => return stop(&failure),
        }
    }
    let (cookie, value) = guard(scheme);
    let repeated = form.iter().filter(|(name, _)| !name.starts_with("lz_"));
    let name = if name.is_empty() {
        asked.login_hint.as_deref().unwrap_or_default()
    } else {
        name
    };
    Page {
        status: if told.is_empty() { StatusCode::OK } else { StatusCode::BAD_REQUEST },
        title: TITLE,
        body: format!(
            "<p>to go on to <b>{}</b> at {}</p>{told}<form method=\"post\" action=\"{}\">{}{}{}<button>Sign in</button></form>",
            pages::escape(&application),
            pages::escape(asked.redirect_uri.origin()),
            pages::escape(request.parts.uri.path()),
            hidden(repeated),
            hidden([("lz_form", value.as_str())]),
            who(name),
        ),
        form_action: asked.redirect_uri.origin(),
        script: None,
        cookie: Some(cookie),
    }
    .into_response()
}

/// POST `/{tenant}/oauth2/v2.0/devicecode`
pub(super) async fn device_code(
    api: &Api,
    at: &Authority<'_>,
    flavor: Flavor,
    body: &[u8],
) -> Result<Response<Body>, Refused> {
    let form = Query::parse_bytes(body, &QueryLimits::FORM);
    let form = form.map_err(|_| Failure::Malformed("the form"))?;
    let (client, asked) = device_form(&form, flavor)?;
    let begun = api.identity.begin_device_sign_in(at, &client, &asked);
    Ok(answer::json(&begun.await?))
}

/// GET and POST `/devicelogin`
pub(super) async fn device_login(
    api: &Api,
    request: &Received,
    at: &Authority<'_>,
    scheme: Scheme,
    body: &[u8],
) -> Response<Body> {
    let is_post = request.parts.method == Method::POST;
    let query = request.parts.uri.query().unwrap_or_default();
    let read = if is_post {
        Query::parse_bytes(body, &QueryLimits::FORM)
    } else {
        Query::parse(query, &QueryLimits::QUERY)
    };
    let Ok(form) = read else {
        return stop(&Failure::Malformed("the form"));
    };
    let text = |name: &str| form.single(name).ok().flatten().unwrap_or_default();
    let code = text("code");
    if !is_post || code.is_empty() {
        return enter_code(scheme, code, "");
    }
    if !is_ours(request, &form) {
        return stop(&Failure::Malformed("lz_form"));
    }
    let (name, password) = (text("lz_username"), Secret::new(text("lz_password")));
    let outcome = if text("lz_answer") == "no" {
        api.identity
            .answer_device(at, code, None)
            .await
            .map(|()| "no")
    } else if name.is_empty() {
        Ok("")
    } else {
        let user = Some((name, &password));
        api.identity
            .answer_device(at, code, user)
            .await
            .map(|()| "yes")
    };
    let told = match outcome {
        Ok("yes") => {
            return message(
                StatusCode::OK,
                "Signed in",
                "You are signed in on your device. You can close this window.",
            );
        }
        Ok("no") => {
            return message(
                StatusCode::OK,
                "Declined",
                "The device is told that you did not sign in.",
            );
        }
        Ok(_) => String::new(),
        Err(failure) if may_retry(&failure) => wrong(&failure),
        Err(failure) => return enter_code(scheme, "", &wrong(&failure)),
    };
    let application = match api.identity.waiting_device(at, code).await {
        Ok(name) => name,
        Err(failure) => return enter_code(scheme, "", &wrong(&failure)),
    };
    let (cookie, value) = guard(scheme);
    Page {
        status: if told.is_empty() { StatusCode::OK } else { StatusCode::BAD_REQUEST },
        title: TITLE,
        body: format!(
            "<p><b>{}</b> on another device asks to sign in as you. Go on only if you began this yourself.</p>{told}\
             <form method=\"post\" action=\"/devicelogin\">{}{}<button>Sign in</button></form>\
             <form method=\"post\" action=\"/devicelogin\">{}<button class=\"no\">No, that was not me</button></form>",
            pages::escape(&application),
            hidden([("code", code), ("lz_form", value.as_str())]),
            who(name),
            hidden([("code", code), ("lz_form", value.as_str()), ("lz_answer", "no")]),
        ),
        form_action: "",
        script: None,
        cookie: Some(cookie),
    }
    .into_response()
}

/// The page on which the code is typed.
fn enter_code(scheme: Scheme, code: &str, told: &str) -> Response<Body> {
    let (cookie, value) = guard(scheme);
    Page {
        status: if told.is_empty() { StatusCode::OK } else { StatusCode::BAD_REQUEST },
        title: "Enter the code",
        body: format!(
            "<p>that your device shows.</p>{told}<form method=\"post\" action=\"/devicelogin\">{}\
             <label for=\"c\">Code</label><input id=\"c\" name=\"code\" value=\"{}\" autocomplete=\"off\" required autofocus>\
             <button>Next</button></form>",
            hidden([("lz_form", value.as_str())]),
            pages::escape(code),
        ),
        form_action: "",
        script: None,
        cookie: Some(cookie),
    }
    .into_response()
}

/// GET `/{tenant}/oauth2/v2.0/logout`: nobody is signed in to this page, so there is nothing to end.
pub(super) fn logout() -> Response<Body> {
    message(
        StatusCode::OK,
        "Signed out",
        "This page keeps nobody signed in. Programs forget their tokens by themselves.",
    )
}
