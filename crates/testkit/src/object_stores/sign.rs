//! Just enough of both signature schemes to look into a store past the code under test.

use std::io;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use lazuli_wire::oci::{Algorithm, Digest};

use crate::http::{Client, Response};
pub(super) use crate::server::base64;

/// A header to send.
pub(super) type Header = (String, String);

/// The headers that sign a request as AWS Signature Version 4 wants it, body included. `target` is path and query,
/// percent-encoded.
pub(super) fn aws(
    request: &Request<'_>,
    host: &str,
    (access_key, secret_key): (&str, &str),
    region: &str,
) -> Vec<Header> {
    let now = Moment::now();
    let (day, time) = (now.day(), now.basic());
    let payload = hex(&sha256(request.body));
    let mut headers: Vec<Header> = request.headers_in_lower_case();
    headers.push(("x-amz-content-sha256".into(), payload.clone()));
    headers.push(("x-amz-date".into(), time.clone()));
    let mut signed = headers.clone();
    signed.push(("host".into(), host.into()));
    signed.sort();
    let (path, query) = request.path_and_query();
    let mut query: Vec<String> = query
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    query.sort();
    let names: Vec<&str> = signed.iter().map(|(name, _)| name.as_str()).collect();
    let names = names.join(";");
    let mut lines = String::new();
    for (name, value) in &signed {
        lines.extend([name, ":", value.trim(), "\n"]);
    }
    let canonical = format!(
        "{}\n{path}\n{}\n{lines}\n{names}\n{payload}",
        request.method,
        query.join("&")
    );
    let scope = format!("{day}/{region}/s3/aws4_request");
    let text = format!(
        "AWS4-HMAC-SHA256\n{time}\n{scope}\n{}",
        hex(&sha256(canonical.as_bytes()))
    );
    let mut key = format!("AWS4{secret_key}").into_bytes();
    for part in [&day, region, "s3", "aws4_request"] {
        key = hmac(&key, part.as_bytes());
    }
    let signature = hex(&hmac(&key, text.as_bytes()));
    headers.push((
        "authorization".into(),
        format!("AWS4-HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders={names}, Signature={signature}"),
    ));
    headers
}

/// The headers that sign a request with an Azure account's shared key. `target` starts with the account's name, as
/// emulators have it, and is percent-encoded only where no value of its query is.
pub(super) fn shared_key(request: &Request<'_>, account: &str, key: &[u8]) -> Vec<Header> {
    let mut headers = request.headers_in_lower_case();
    headers.push(("x-ms-date".into(), Moment::now().http()));
    headers.push(("x-ms-version".into(), "2021-12-02".into()));
    let standard = |name: &str| {
        let found = headers.iter().find(|(n, _)| n == name);
        found.map_or("", |(_, value)| value.as_str())
    };
    let length = match request.body.len() {
        0 => String::new(),
        length => length.to_string(),
    };
    let mut text = format!(
        "{}\n{}\n{}\n{length}\n{}\n{}\n\n",
        request.method,
        standard("content-encoding"),
        standard("content-language"),
        standard("content-md5"),
        standard("content-type"),
    );
    for name in [
        "if-modified-since",
        "if-match",
        "if-none-match",
        "if-unmodified-since",
        "range",
    ] {
        text.extend([standard(name), "\n"]);
    }
    let mut own: Vec<&Header> = headers
        .iter()
        .filter(|(name, _)| name.starts_with("x-ms-"))
        .collect();
    own.sort();
    for (name, value) in own {
        text.extend([name, ":", value, "\n"]);
    }
    let (path, mut query) = request.path_and_query();
    text.extend(["/", account, path]);
    query.sort_unstable();
    for (name, value) in query {
        text.extend(["\n", name, ":", value]);
    }
    let signature = base64(&hmac(key, text.as_bytes()));
    headers.push((
        "authorization".into(),
        format!("SharedKey {account}:{signature}"),
    ));
    headers
}

/// A shared access signature for one container of an Azure account (service SAS of version 2021-12-02): the query of a URL
/// that may do what `permissions` lists, for an hour.
pub(super) fn container_sas(
    account: &str,
    key: &[u8],
    container: &str,
    permissions: &str,
) -> String {
    const VERSION: &str = "2021-12-02";
    let expiry = Moment::in_seconds(3600).extended();
    // Permissions, start, expiry, resource, identifier, address, protocol, version, kind, snapshot, encryption scope, and
    // five headers of answers.
    let text = format!(
        "{permissions}\n\n{expiry}\n/blob/{account}/{container}\n\n\n\n{VERSION}\nc\n\n\n\n\n\n\n"
    );
    let signature = base64(&hmac(key, text.as_bytes()));
    let escape = |text: &str| {
        text.replace('%', "%25")
            .replace('+', "%2B")
            .replace('/', "%2F")
            .replace('=', "%3D")
            .replace(':', "%3A")
    };
    format!(
        "sv={VERSION}&sr=c&sp={permissions}&se={}&sig={}",
        escape(&expiry),
        escape(&signature)
    )
}

/// A request before it is signed.
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) target: &'a str,
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) body: &'a [u8],
}

impl<'a> Request<'a> {
    /// Sends it with these headers instead of its own.
    pub(super) fn send(&self, address: SocketAddr, signed: &[Header]) -> io::Result<Response> {
        let headers: Vec<(&str, &str)> = signed
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        Client::new(address).try_send(self.method, self.target, &headers, self.body)
    }

    fn headers_in_lower_case(&self) -> Vec<Header> {
        let headers = self.headers.iter();
        headers
            .map(|(name, value)| (name.to_ascii_lowercase(), (*value).to_owned()))
            .collect()
    }

    fn path_and_query(&self) -> (&'a str, Vec<(&'a str, &'a str)>) {
        let (path, query) = self.target.split_once('?').unwrap_or((self.target, ""));
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        (
            path,
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .collect(),
        )
    }
}

/// A second in UTC.
struct Moment {
    year: i64,
    month: i64,
    date: i64,
    weekday: i64,
    second_of_day: i64,
}

impl Moment {
    fn now() -> Self {
        Self::in_seconds(0)
    }

    fn in_seconds(later: i64) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self::at(since.map_or(0, |since| since.as_secs()).cast_signed() + later)
    }

    /// Days to a date of the Gregorian calendar, in years that start in March.
    fn at(seconds: i64) -> Self {
        let days = seconds / 86_400;
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let month = if from_march < 10 {
            from_march + 3
        } else {
            from_march - 9
        };
        Self {
            year: era * 400 + year_of_era + i64::from(month <= 2),
            month,
            date: day_of_year - (153 * from_march + 2) / 5 + 1,
            weekday: (days + 4) % 7,
            second_of_day: seconds % 86_400,
        }
    }

    fn clock(&self) -> (i64, i64, i64) {
        let second = self.second_of_day;
        (second / 3600, second / 60 % 60, second % 60)
    }

    /// `20261123`
    fn day(&self) -> String {
        format!("{:04}{:02}{:02}", self.year, self.month, self.date)
    }

    /// `20261123T124737Z`
    fn basic(&self) -> String {
        let (hour, minute, second) = self.clock();
        format!("{}T{hour:02}{minute:02}{second:02}Z", self.day())
    }

    /// `2026-11-23T12:47:37Z`
    fn extended(&self) -> String {
        let (hour, minute, second) = self.clock();
        format!(
            "{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z",
            self.year, self.month, self.date
        )
    }

    /// `Mon, 23 Nov 2026 12:47:37 GMT`
    fn http(&self) -> String {
        const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
        const MONTHS: [&str; 12] = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ];
        let (hour, minute, second) = self.clock();
        let weekday = WEEKDAYS[self.weekday as usize];
        let month = MONTHS[self.month as usize - 1];
        let (date, year) = (self.date, self.year);
        format!("{weekday}, {date:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT")
    }
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    Digest::of(Algorithm::Sha256, bytes).hash().to_vec()
}

/// HMAC-SHA256 (RFC 2104).
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0; 64];
    let key = if key.len() > 64 { &sha256(key) } else { key };
    block[..key.len()].copy_from_slice(key);
    let inner = [&block.map(|byte| byte ^ 0x36), message].concat();
    sha256(&[&block.map(|byte| byte ^ 0x5c), &sha256(&inner)[..]].concat())
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmac_of_rfc_4231() {
        assert_eq!(
            hex(&hmac(b"Jefe", b"what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            hex(&hmac(
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First"
            )),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    #[test]
    fn dates() {
        for (seconds, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_795_437_999, "Mon, 23 Nov 2026 12:46:39 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        ] {
            assert_eq!(Moment::at(seconds).http(), text);
        }
        assert_eq!(Moment::at(1_795_437_999).basic(), "20261123T124639Z");
    }
}
