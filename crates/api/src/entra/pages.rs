//! The pages that people see. No scripts but the one line that posts a form on, nothing from elsewhere, nothing that another
//! page could frame.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    SET_COOKIE, X_FRAME_OPTIONS,
};
use http::{Response, StatusCode};
use lazuli_identity::Landing;

use crate::body::Body;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:0;background:#f3f5f9;color:#16203a}\
main{max-width:24rem;margin:8vh auto;background:#fff;padding:2rem;border:1px solid #d5dbe8;border-radius:6px}\
h1{font-size:1.3rem;margin:0 0 1rem}label{display:block;margin:.8rem 0 .2rem}\
input{box-sizing:border-box;width:100%;padding:.5rem;font:inherit;border:1px solid #8b97b3;border-radius:4px}\
button{margin:1.2rem .5rem 0 0;padding:.5rem 1.2rem;font:inherit;border:1px solid #1f4fb5;border-radius:4px;\
background:#1f4fb5;color:#fff}button.no{background:#fff;color:#1f4fb5}p.wrong{color:#a3161b}";

/// The cookie whose value comes back in a form: that of another site has none.
pub(super) const COOKIE: &str = "lazuli_sign_in";

/// Random text, for one page.
pub(super) fn fresh() -> String {
    let mut bytes = [0; 18];
    // Without random bytes there is no page that works, rather than one that can be forged.
    if getrandom::fill(&mut bytes).is_err() {
        return String::new();
    }
    BASE64.encode(bytes)
}

/// Text in a page.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// A page. `form_action`: where its form may lead besides here.
pub(super) struct Page<'a> {
    pub(super) status: StatusCode,
    pub(super) title: &'a str,
    /// HTML.
    pub(super) body: String,
    pub(super) form_action: &'a str,
    /// A line of script.
    pub(super) script: Option<&'static str>,
    pub(super) cookie: Option<String>,
}

impl Page<'_> {
    pub(super) fn into_response(self) -> Response<Body> {
        let nonce = fresh();
        let script = self.script.map_or_else(String::new, |script| {
            format!("<script nonce=\"{nonce}\">{script}</script>")
        });
        let script_source = if self.script.is_some() {
            format!("script-src 'nonce-{nonce}'; ")
        } else {
            String::new()
        };
        let html = format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
             <style nonce=\"{nonce}\">{STYLE}</style></head><body><main><h1>{title}</h1>{body}</main>{script}</body></html>\n",
            title = escape(self.title),
            body = self.body,
        );
        let mut response = Response::new(Body::full(html));
        *response.status_mut() = self.status;
        let policy = format!(
            "default-src 'none'; {script_source}style-src 'nonce-{nonce}'; form-action 'self' {}; frame-ancestors 'none'; base-uri 'none'",
            self.form_action
        );
        let headers = response.headers_mut();
        let mut set = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.append(name, value);
            }
        };
        set(CONTENT_TYPE, "text/html; charset=utf-8");
        set(CONTENT_SECURITY_POLICY, policy.trim());
        set(X_FRAME_OPTIONS, "DENY");
        set(REFERRER_POLICY, "no-referrer");
        set(CACHE_CONTROL, "no-store");
        if let Some(cookie) = &self.cookie {
            set(SET_COOKIE, cookie);
        }
        response
    }
}

/// A page that says something.
pub(super) fn message(status: StatusCode, title: &str, text: &str) -> Response<Body> {
    Page {
        status,
        title,
        body: format!("<p>{}</p>", escape(text)),
        form_action: "",
        script: None,
        cookie: None,
    }
    .into_response()
}

/// Hidden fields of a form.
pub(super) fn hidden<'f>(fields: impl IntoIterator<Item = (&'f str, &'f str)>) -> String {
    let mut inputs = String::new();
    for (name, value) in fields {
        let (name, value) = (escape(name), escape(value));
        // Writing to memory has no way to fail.
        let _ = write!(
            inputs,
            "<input type=\"hidden\" name=\"{name}\" value=\"{value}\">"
        );
    }
    inputs
}

/// Name and password.
pub(super) fn who(name: &str) -> String {
    format!(
        "<label for=\"u\">User name</label><input id=\"u\" name=\"lz_username\" value=\"{}\" autocomplete=\"username\" \
         required autofocus><label for=\"p\">Password</label>\
         <input id=\"p\" name=\"lz_password\" type=\"password\" autocomplete=\"current-password\" required>",
        escape(name)
    )
}

/// A text in a query.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

/// Brings an answer where the application wants it.
pub(super) fn landing(landing: &Landing) -> Response<Body> {
    use lazuli_wire::entra::ResponseMode;
    let fields: Vec<(&str, &str)> = landing
        .fields
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    if landing.mode == ResponseMode::FormPost {
        let action = escape(&landing.redirect_uri);
        return Page {
            status: StatusCode::OK,
            title: "Signed in",
            body: format!(
                "<form id=\"f\" method=\"post\" action=\"{action}\">{}<p>You are signed in.</p>\
                 <button>Go on</button></form>",
                hidden(fields)
            ),
            form_action: &landing.origin,
            script: Some("document.getElementById('f').submit()"),
            cookie: None,
        }
        .into_response();
    }
    let query: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{name}={}", encoded(value)))
        .collect();
    let separator = match landing.mode {
        ResponseMode::Fragment => '#',
        _ if landing.redirect_uri.contains('?') => '&',
        _ => '?',
    };
    let place = format!("{}{separator}{}", landing.redirect_uri, query.join("&"));
    let mut response = message(StatusCode::SEE_OTHER, "Signed in", "You are signed in.");
    if let Ok(value) = HeaderValue::try_from(place) {
        response.headers_mut().insert(http::header::LOCATION, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_out_of_an_attribute() {
        let page = hidden([("state", "\"><script>alert('x')</script>&")]);
        assert!(
            !page.contains("<script>") && !page.contains("\"><"),
            "{page}"
        );
        assert!(who("\" onfocus=alert(1) x=\"").contains("&quot; onfocus"));
    }
}
