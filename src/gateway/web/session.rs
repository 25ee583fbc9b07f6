//! How a browser brings its session: half of it in a cookie, half in a header that only our own page can set.

use axum::http::{HeaderMap, HeaderValue, header};

use crate::access::OpenedSession;

/// The header of the page's half. No other site may set it: that would need leave (CORS), which nobody gets.
pub const PAGE_HEADER: &str = "mimir-page";

/// Browsers keep cookies by host and forget the port, so gateways on several ports of one machine need several names.
fn name(port: u16) -> String {
    format!("mimir_{port}")
}

/// What a browser brought: the cookie's half and the page's, if both are there, each of them once.
#[must_use]
pub fn brought(port: u16, headers: &HeaderMap) -> Option<(&str, &str)> {
    let page = only(headers.get_all(PAGE_HEADER).iter().map(|value| value.to_str().ok()))?;
    let name = name(port);
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    // A page on another port can set one of the same name for a longer path; which of two is ours cannot be told.
    let cookie = only(pairs.filter(|(key, _)| *key == name).map(|(_, value)| Some(value)))?;
    Some((cookie, page))
}

/// The one that there is.
fn only<'a>(mut found: impl Iterator<Item = Option<&'a str>>) -> Option<&'a str> {
    let first = found.next()??;
    found.next().is_none().then_some(first)
}

/// The header that gives a browser the cookie's half. It is kept as long as the session lasts.
#[must_use]
pub fn cookie(port: u16, is_tls: bool, opened: &OpenedSession) -> Option<HeaderValue> {
    let token = &opened.token;
    let lasts_ms = token.expires_at.unwrap_or_default().saturating_sub(token.created_at);
    let seconds = lasts_ms.div_ceil(1000);
    let secure = if is_tls { "; Secure" } else { "" };
    let (name, half) = (name(port), opened.cookie.reveal());
    let text = format!("{name}={half}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(headers: &[(&'static str, &str)]) -> Option<(String, String)> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).expect("a value"));
        }
        brought(8080, &map).map(|(cookie, page)| (cookie.to_owned(), page.to_owned()))
    }

    #[test]
    fn both_halves_are_needed_and_each_once() {
        let both = Some(("c".to_owned(), "p".to_owned()));
        assert_eq!(found(&[("cookie", "a=b; mimir_8080=c; d=e"), (PAGE_HEADER, "p")]), both);
        assert_eq!(found(&[("cookie", "a=b"), ("cookie", "mimir_8080=c"), (PAGE_HEADER, "p")]), both);
        for lacking in [
            &[("cookie", "mimir_8080=c")][..],
            &[(PAGE_HEADER, "p")],
            &[("cookie", "mimir_8081=c"), (PAGE_HEADER, "p")],
            &[("cookie", "mimir_8080=c; mimir_8080=x"), (PAGE_HEADER, "p")],
            &[("cookie", "mimir_8080=c"), (PAGE_HEADER, "p"), (PAGE_HEADER, "q")],
            &[("cookie", "xmimir_8080=c"), (PAGE_HEADER, "p")],
        ] {
            assert_eq!(found(lacking), None, "{lacking:?}");
        }
    }
}
