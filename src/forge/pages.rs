//! Lists of a forge, page after page.

use reqwest::header::{HeaderMap, LINK};
use serde_json::Value;
use url::Url;

use super::call::Call;
use super::error::ForgeError;
use super::json::Json;
use super::transport::Transport;
use crate::model::git::ForgeKind;

/// How many items a page has whose usual one was too long; each divides what is before it.
const SMALLER_PAGES: [usize; 3] = [25, 5, 1];
/// So many times as often as usual a forge is asked for a list whose pages are small.
const MOST_SMALL: usize = 4;

impl Transport {
    /// All items of a list, page after page, and whether there are more than are read. `list` points to the list in an
    /// answer; it goes on as long as `goes_on` says so of the last item of a page. A page that is too long is asked for
    /// in smaller ones.
    pub(super) async fn pages(
        &self,
        first: Call,
        list: &str,
        goes_on: impl Fn(Json<'_>) -> bool + Send,
    ) -> Result<(Vec<Value>, bool), ForgeError> {
        let (name, mut size) = match self.kind {
            ForgeKind::Github => ("per_page", 100),
            ForgeKind::Gitea => ("limit", 50),
        };
        let most = self.settings.pages.saturating_mul(size);
        let mut call = first.clone().with(name, &size.to_string());
        let (mut found, mut bytes, mut page) = (Vec::new(), 0, 1);
        for _ in 0..self.settings.pages.saturating_mul(MOST_SMALL) {
            let answer = match self.send(&call).await {
                Err(ForgeError::TooMuch(_)) => {
                    // The last of it is one item that nobody reads, or a forge that knows no pages.
                    let Some(smaller) = SMALLER_PAGES.into_iter().find(|smaller| *smaller < size) else {
                        break;
                    };
                    page = (page - 1) * (size / smaller) + 1;
                    size = smaller;
                    call.url = in_pages_of(&call.url, name, size, page);
                    continue;
                }
                answer => answer?,
            };
            if !answer.is_fine() {
                return Err(self.no(&answer));
            }
            let mut value = answer.value()?;
            // Gitea counts the page there, not the list: it ends with a page that is empty.
            let is_page_counted = self.kind == ForgeKind::Gitea && !list.is_empty();
            let total = Json::of(&value).at("/total_count").number().filter(|_| !is_page_counted);
            let total = total.or_else(|| answer.header("x-total-count")?.parse().ok());
            let items = match value.pointer_mut(list).map(Value::take) {
                Some(Value::Array(items)) => items,
                Some(Value::Null) if self.kind == ForgeKind::Gitea && !answer.body.is_empty() => Vec::new(),
                _ => {
                    let what = &answer.what;
                    return Err(ForgeError::Transient(format!("what it said about {what} is no list")));
                }
            };
            bytes += answer.body.len();
            let is_empty = items.is_empty();
            let is_last = items.last().is_none_or(|last| !goes_on(Json::of(last)));
            found.extend(items);
            let is_short = total.is_some_and(|total| total > found.len() as u64);
            let next = match self.next(&answer.headers)? {
                Some(url) => Some(Call { url, ..call }),
                // Some of the lists have a number of items and no link to the next of them.
                None if is_page_counted || is_short => {
                    let next = first.clone().with(name, &size.to_string());
                    Some(next.with("page", &(page + 1).to_string()))
                }
                None => None,
            };
            // What it counts and does not show may be anything.
            let Some(next) = next.filter(|_| !is_last) else { return Ok((found, is_empty && is_short)) };
            if bytes > 4 * self.settings.largest || found.len() >= most {
                break;
            }
            (call, page) = (next, page + 1);
        }
        Ok((found, true))
    }

    /// The next page of a list: of the same API, or it is none.
    fn next(&self, headers: &HeaderMap) -> Result<Option<Url>, ForgeError> {
        let links = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
        let Some(next) = links.flat_map(|value| value.split(',')).find_map(next_of) else { return Ok(None) };
        let elsewhere = || ForgeError::Refused("the next page of a list is not at the same place".to_owned());
        let url = self.base.join(next).map_err(|_| elsewhere())?;
        let is_ours = url.origin() == self.base.origin() && url.path().starts_with(self.base.path());
        if is_ours { Ok(Some(url)) } else { Err(elsewhere()) }
    }
}

/// The same place of a list, in pages of that size, the first of which is to be the one of that number.
fn in_pages_of(url: &Url, name: &str, size: usize, page: usize) -> Url {
    let pairs = url.query_pairs().map(|(key, value)| match key.as_ref() {
        // Some lists count no pages: their links say after which item it goes on.
        "page" => (key.into_owned(), page.to_string()),
        known if known == name => (key.into_owned(), size.to_string()),
        _ => (key.into_owned(), value.into_owned()),
    });
    let pairs: Vec<(String, String)> = pairs.collect();
    let mut smaller = url.clone();
    smaller.query_pairs_mut().clear().extend_pairs(pairs);
    smaller
}

/// `<https://…>; rel="next"`
fn next_of(link: &str) -> Option<&str> {
    let (url, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
    let is_next = rest.split(';').any(|word| matches!(word.trim(), "rel=\"next\"" | "rel=next"));
    is_next.then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_list_is_the_same_in_smaller_pages() {
        let of = |text: &str| {
            let url = Url::parse(text).expect("an address");
            in_pages_of(&url, "per_page", 25, 9).to_string()
        };
        assert_eq!(of("https://x/y?a=b%20c&per_page=100&page=3"), "https://x/y?a=b+c&per_page=25&page=9");
        assert_eq!(of("https://x/y?per_page=100&cursor=v1_7"), "https://x/y?per_page=25&cursor=v1_7");
    }

    #[test]
    fn the_next_page_stands_in_a_header() {
        assert_eq!(next_of(" <https://x/y?page=2>; rel=\"next\""), Some("https://x/y?page=2"));
        assert_eq!(next_of("<https://x/y?page=9>; rel=\"last\""), None);
        assert_eq!(next_of("nonsense"), None);
    }
}
