//! An issue, as its API and its messages write it.

use jiff::Timestamp;
use serde_json::Value;

use crate::model::loose;

/// The longest title that is kept.
const TITLE: usize = 300;

/// Something that goes wrong again and again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Issue {
    /// Its id.
    pub id: String,
    /// For people: `SHOP-1A`.
    pub short_id: Option<String>,
    /// What goes wrong, in one line.
    pub title: String,
    /// Where, in one line.
    pub culprit: Option<String>,
    /// `error`, `fatal`, `warning`, `info`, `debug`.
    pub level: Option<String>,
    /// `unresolved`, `resolved`, `ignored`.
    pub status: Option<String>,
    /// `new`, `ongoing`, `escalating`, `regressed`, `archived_…`.
    pub substatus: Option<String>,
    /// The project's slug.
    pub project: Option<String>,
    /// For people.
    pub url: Option<String>,
    /// How often it was seen.
    pub count: Option<u64>,
    /// When it was seen first (UTC ms).
    pub first_seen: Option<u64>,
    /// When it was seen last (UTC ms).
    pub last_seen: Option<u64>,
    /// When it came back last after it had been resolved (UTC ms); lists do not say.
    pub regressed_at: Option<u64>,
}

impl Issue {
    /// What of it can be read; an issue without an id is none.
    #[must_use]
    pub fn read(value: &Value) -> Option<Self> {
        let text = |pointer| loose::text(value, pointer, TITLE);
        let word = |pointer| loose::text(value, pointer, 40).map(|word| word.to_lowercase());
        Some(Self {
            id: loose::slug(value, "/id")?,
            short_id: loose::slug(value, "/shortId"),
            title: text("/title").map(|title| loose::line(&title, TITLE)).unwrap_or_default(),
            culprit: text("/culprit").map(|culprit| loose::line(&culprit, TITLE)),
            level: word("/level"),
            status: word("/status"),
            substatus: word("/substatus"),
            project: loose::slug(value, "/project/slug"),
            url: address(value, &["/permalink", "/web_url", "/webUrl", "/url"]),
            count: loose::number(value, "/count"),
            first_seen: text("/firstSeen").and_then(|text| instant(&text)),
            last_seen: text("/lastSeen").and_then(|text| instant(&text)),
            regressed_at: regressed_at(value),
        })
    }

    /// Whether nobody has to do anything about it at the moment.
    #[must_use]
    pub fn is_resolved(&self) -> bool {
        self.status.as_deref() == Some("resolved")
    }

    /// Whether it came back after it had been resolved.
    #[must_use]
    pub fn has_regressed(&self) -> bool {
        self.status.as_deref() == Some("unresolved") && self.substatus.as_deref() == Some("regressed")
    }
}

/// What happened to it stands in a list of its own.
fn regressed_at(value: &Value) -> Option<u64> {
    let back = loose::items(value, "/activity")
        .iter()
        .filter(|entry| loose::text(entry, "/type", 40).as_deref() == Some("set_regression"));
    back.filter_map(|entry| instant(&loose::text(entry, "/dateCreated", 40)?)).max()
}

/// A time as it writes them (UTC ms).
#[must_use]
pub fn instant(text: &str) -> Option<u64> {
    text.parse::<Timestamp>().ok().and_then(|at| u64::try_from(at.as_millisecond()).ok())
}

/// The first of several places that holds an address for people.
pub(super) fn address(value: &Value, pointers: &[&str]) -> Option<String> {
    let mut found = pointers.iter().filter_map(|pointer| loose::text(value, pointer, 500));
    found.find(|text| {
        let is_web = text.starts_with("https://") || text.starts_with("http://");
        is_web
            && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'<' | b'>' | b'\\' | b'`'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_issue_is_read_as_its_api_and_its_messages_write_it() {
        let issue = Issue::read(&json!({
            "id": "1234", "shortId": "SHOP-1A", "title": "TypeError: x is undefined", "culprit": "cart in total",
            "level": "error", "status": "unresolved", "substatus": "regressed", "project": {"slug": "shop", "id": 5},
            "permalink": "https://sentry.example/organizations/acme/issues/1234/", "count": "17",
            "lastSeen": "2026-11-28T10:00:00.123Z", "activity": [
                {"type": "set_regression", "dateCreated": "2026-11-28T09:00:00Z"}, {"type": "set_resolved"},
                {"type": "set_regression", "dateCreated": "2026-11-27T09:00:00Z"}, 7, {"type": "note", "dateCreated": "x"},
            ],
        }))
        .expect("an issue");
        assert_eq!(issue.short_id.as_deref(), Some("SHOP-1A"));
        assert_eq!((issue.count, issue.project.as_deref()), (Some(17), Some("shop")));
        assert_eq!(issue.last_seen, Some(1_795_860_000_123));
        assert_eq!(issue.regressed_at, Some(1_795_856_400_000));
        assert!(issue.has_regressed() && !issue.is_resolved());
    }

    #[test]
    fn what_is_no_issue_is_none_and_an_address_is_an_address() {
        for none in [json!(null), json!([]), json!({}), json!({"id": "a/../b"}), json!({"id": {"x": 1}})] {
            assert_eq!(Issue::read(&none), None);
        }
        let odd = json!({"id": 7, "url": "javascript:alert(1)", "permalink": "https://a.example/\"><b", "web_url": "https://a.example/7"});
        assert_eq!(Issue::read(&odd).and_then(|issue| issue.url).as_deref(), Some("https://a.example/7"));
        assert_eq!(Issue::read(&odd).map(|issue| issue.id).as_deref(), Some("7"));
    }
}
