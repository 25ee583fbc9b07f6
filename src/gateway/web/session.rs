//! How a browser brings its session: half of it in a cookie, half in a header that only our own page can set.

use axum::http::{HeaderMap, HeaderValue, header};

use crate::access::OpenedSession;

/// The header of the page's half. No other site may set it: that would need leave (CORS), which nobody gets.
pub const PAGE_HEADER: &str = "mimir-page";

/// Browsers keep cookies by host and forget the port, so gateways on several ports of one machine need several names.
/// By TLS the name begins so that no page of another host, nor one without TLS, can set it (RFC 6265bis).
fn name(port: u16, is_tls: bool) -> String {
    let prefix = if is_tls { "__Host-" } else { "" };
    format!("{prefix}mimir_{port}")
}

/// Of cookies of one name no more are looked at. Browsers bring those of longer paths first, and `/` is the shortest.
const MOST: usize = 16;

/// What a browser brought: every cookie that may be its half, and the page's half, which is there once.
///
/// A page on another port can set cookies of the same name, and which is ours is seen only when the halves are joined.
#[must_use]
pub fn brought(port: u16, is_tls: bool, headers: &HeaderMap) -> Option<(Vec<&str>, &str)> {
    let page = only(headers.get_all(PAGE_HEADER).iter().map(|value| value.to_str().ok()))?;
    let name = name(port, is_tls);
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut cookies: Vec<&str> = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).collect();
    // The last ones: ours is for the shortest path there is.
    cookies.drain(..cookies.len().saturating_sub(MOST));
    (!cookies.is_empty()).then_some((cookies, page))
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
    let (name, half) = (name(port, is_tls), opened.cookie.reveal());
    let text = format!("{name}={half}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::TokenId;
    use crate::model::names::TokenName;
    use crate::model::scope::Scopes;
    use crate::model::secret::Secret;
    use crate::model::token::{SessionStart, Token};

    /// The cookies with blanks between, and the page's half.
    fn found(headers: &[(&'static str, &str)]) -> Option<(String, String)> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).expect("a value"));
        }
        brought(8080, false, &map).map(|(cookies, page)| (cookies.join(" "), page.to_owned()))
    }

    #[test]
    fn both_halves_are_needed_and_the_pages_once() {
        let both = Some(("c".to_owned(), "p".to_owned()));
        assert_eq!(found(&[("cookie", "a=b; mimir_8080=c; d=e"), (PAGE_HEADER, "p")]), both);
        assert_eq!(found(&[("cookie", "a=b"), ("cookie", "mimir_8080=c"), (PAGE_HEADER, "p")]), both);
        for lacking in [
            &[("cookie", "mimir_8080=c")][..],
            &[(PAGE_HEADER, "p")],
            &[("cookie", "mimir_8081=c"), (PAGE_HEADER, "p")],
            &[("cookie", "mimir_8080=c"), (PAGE_HEADER, "p"), (PAGE_HEADER, "q")],
            &[("cookie", "xmimir_8080=c"), (PAGE_HEADER, "p")],
        ] {
            assert_eq!(found(lacking), None, "{lacking:?}");
        }
    }

    #[test]
    fn every_cookie_of_the_name_may_be_ours_but_not_more_than_a_few() {
        let cookies = |line: &str| found(&[("cookie", line), (PAGE_HEADER, "p")]).map(|(cookies, _)| cookies);
        assert_eq!(cookies("mimir_8080=x; mimir_8081=y; mimir_8080=c").as_deref(), Some("x c"));
        let line: Vec<String> = (0..MOST * 2).map(|at| format!("mimir_8080={at}")).collect();
        let seen = cookies(&line.join("; ")).expect("cookies");
        assert_eq!(seen.split(' ').count(), MOST);
        assert!(seen.starts_with("16 ") && seen.ends_with(" 31"), "the last ones: {seen}");
    }

    #[test]
    fn the_cookie_is_for_no_script_and_with_tls_for_tls_alone() {
        let token = Token {
            id: TokenId::from_parts(1_000, 1),
            name: TokenName::parse("web-1").expect("a name"),
            scopes: Scopes::all(),
            frames: None,
            created_at: 1_000,
            created_by: "owner".to_owned(),
            expires_at: Some(61_000),
            began_with: Some(SessionStart::Link),
            last_used_at: None,
            last_used_from: None,
            revoked_at: None,
        };
        let opened = OpenedSession { token, cookie: Secret::new("c"), page: Secret::new("p") };
        let text = |is_tls| {
            let value = cookie(8080, is_tls, &opened).expect("a cookie");
            assert!(value.is_sensitive());
            value.to_str().expect("text").to_owned()
        };
        let plain = "mimir_8080=c; Path=/; Max-Age=60; HttpOnly; SameSite=Strict";
        assert_eq!(text(false), plain);
        assert_eq!(text(true), format!("__Host-{plain}; Secure"));
        let mut map = HeaderMap::new();
        map.insert("cookie", HeaderValue::from_static("mimir_8080=x; __Host-mimir_8080=c"));
        map.insert(PAGE_HEADER, HeaderValue::from_static("p"));
        assert_eq!(brought(8080, true, &map), Some((vec!["c"], "p")), "one that was set without TLS is none");
    }
}
