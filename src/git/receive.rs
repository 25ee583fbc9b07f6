//! What a client of git says before it sends its objects, and what it is answered. Pure.

use super::pktline::{self, Malformed, Packet};
use crate::model::git::RefUpdate;

/// The most that is read before the objects.
const LONGEST_LIST: usize = 256 * 1024;

/// The most branches and tags of one push.
const MOST_UPDATES: usize = 64;

/// What may be asked of us, as the first line of the list says it.
const CAPABILITIES: &str = "report-status delete-refs side-band-64k quiet ofs-delta object-format=sha1";

/// The list of what a push is to move.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushRequest {
    /// In the order in which they came. Their names are whatever the client wrote.
    pub updates: Vec<RefUpdate>,
    /// Whether the client wants to know what became of each.
    pub wants_report: bool,
    /// Whether it can be told something besides.
    pub has_bands: bool,
}

impl PushRequest {
    /// Whether objects follow.
    #[must_use]
    pub fn has_objects(&self) -> bool {
        self.updates.iter().any(|update| update.to.is_some())
    }
}

/// Reads the list as it comes in.
#[derive(Debug, Default)]
pub struct ListReader {
    heard: Vec<u8>,
    done: usize,
    request: PushRequest,
}

impl ListReader {
    /// Takes more bytes. The list once it is whole, with what came behind it.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn take(&mut self, bytes: &[u8]) -> Result<Option<(PushRequest, Vec<u8>)>, Malformed> {
        self.heard.extend(bytes);
        while let Some((packet, taken)) = pktline::first(&self.heard[self.done..])? {
            let begin = self.done;
            self.done += taken;
            match packet {
                Packet::Flush => {
                    let rest = self.heard.split_off(self.done);
                    return Ok(Some((std::mem::take(&mut self.request), rest)));
                }
                Packet::Data(_) => {
                    let data = self.heard[begin + 4..self.done].to_vec();
                    self.line(&data)?;
                }
                Packet::Delimiter | Packet::End => return Err(Malformed),
            }
            if self.done > LONGEST_LIST {
                return Err(Malformed);
            }
        }
        if self.heard.len() > LONGEST_LIST { Err(Malformed) } else { Ok(None) }
    }

    fn line(&mut self, data: &[u8]) -> Result<(), Malformed> {
        let (command, said) = match data.iter().position(|byte| *byte == 0) {
            Some(at) => (&data[..at], &data[at + 1..]),
            None => (data, &b""[..]),
        };
        let command = command.strip_suffix(b"\n").unwrap_or(command);
        // Whether all of the history is there is looked at later.
        if command.starts_with(b"shallow ") {
            return Ok(());
        }
        if self.request.updates.is_empty() {
            let said = String::from_utf8_lossy(said);
            let has = |word: &str| said.split_whitespace().any(|one| one == word);
            self.request.wants_report = has("report-status");
            self.request.has_bands = has("side-band-64k");
        }
        let text = String::from_utf8_lossy(command);
        let mut parts = text.splitn(3, ' ');
        let mut id = || parts.next().and_then(object_id).ok_or(Malformed);
        let (from, to) = (id()?, id()?);
        let name = parts.next().filter(|name| !name.is_empty()).ok_or(Malformed)?;
        if (from.is_none() && to.is_none()) || self.request.updates.len() >= MOST_UPDATES {
            return Err(Malformed);
        }
        self.request.updates.push(RefUpdate { name: name.to_owned(), from, to });
        Ok(())
    }
}

/// An id, or none when it is the one of nothing. `None` around it when it is no id.
fn object_id(text: &str) -> Option<Option<String>> {
    let is_id = text.len() == 40 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    is_id.then(|| text.bytes().any(|b| b != b'0').then(|| text.to_owned()))
}

/// The first answer to a client that wants to push: what is there.
#[must_use]
pub fn advertisement<'a>(heads: impl IntoIterator<Item = (&'a String, &'a String)>) -> Vec<u8> {
    let mut out = Vec::new();
    pktline::line(&mut out, b"# service=git-receive-pack\n");
    pktline::flush(&mut out);
    let mut said = format!("\0{CAPABILITIES} agent=mimir/{}", env!("CARGO_PKG_VERSION"));
    for (name, id) in heads {
        pktline::line(&mut out, format!("{id} {name}{said}\n").as_bytes());
        said.clear();
    }
    if !said.is_empty() {
        pktline::line(&mut out, format!("{} capabilities^{{}}{said}\n", "0".repeat(40)).as_bytes());
    }
    pktline::flush(&mut out);
    out
}

/// What became of a push.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Why its objects were not taken.
    pub not_unpacked: Option<String>,
    /// Each branch or tag, and why it was not taken.
    pub refs: Vec<(String, Option<String>)>,
    /// What to say besides.
    pub told: Vec<String>,
}

impl Report {
    /// As the client wants it.
    #[must_use]
    pub fn bytes(&self, request: &PushRequest) -> Vec<u8> {
        let plain = |text: &str| -> String {
            text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(600).collect()
        };
        let mut report = Vec::new();
        if request.wants_report {
            let unpacked = self.not_unpacked.as_deref().map_or_else(|| "ok".to_owned(), plain);
            pktline::line(&mut report, format!("unpack {unpacked}\n").as_bytes());
            for (name, refused) in &self.refs {
                let text = match refused {
                    None => format!("ok {name}\n"),
                    Some(why) => format!("ng {name} {}\n", plain(why)),
                };
                pktline::line(&mut report, text.as_bytes());
            }
            pktline::flush(&mut report);
        }
        if !request.has_bands {
            return report;
        }
        let mut out = Vec::new();
        self.told.iter().for_each(|text| pktline::told(&mut out, text));
        pktline::band(&mut out, 1, &report);
        pktline::flush(&mut out);
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const NONE: &str = "0000000000000000000000000000000000000000";

    fn list(lines: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        lines.iter().for_each(|text| pktline::line(&mut out, text.as_bytes()));
        pktline::flush(&mut out);
        out
    }

    #[test]
    fn a_list_is_read_with_what_its_client_can_do() {
        let mut bytes = list(&[
            &format!("shallow {A}\n"),
            &format!("{NONE} {A} refs/heads/new\0 report-status side-band-64k agent=git/2.39"),
            &format!("{A} {NONE} refs/heads/old"),
        ]);
        bytes.extend(b"PACK");
        let (request, rest) = ListReader::default().take(&bytes).expect("a list").expect("whole");
        assert_eq!(rest, b"PACK");
        assert!(request.wants_report && request.has_bands && request.has_objects());
        let update = |name: &str, from: Option<&str>, to: Option<&str>| RefUpdate {
            name: name.to_owned(),
            from: from.map(str::to_owned),
            to: to.map(str::to_owned),
        };
        assert_eq!(
            request.updates,
            [update("refs/heads/new", None, Some(A)), update("refs/heads/old", Some(A), None)]
        );
    }

    #[test]
    fn nonsense_is_no_list() {
        for wrong in [
            list(&["hello"]),
            list(&[&format!("{A} {A}")]),
            list(&[&format!("{A} {A} ")]),
            list(&[&format!("{NONE} {NONE} refs/heads/x")]),
            list(&[&format!("{} {A} refs/heads/x", A.to_uppercase())]),
            list(&[&format!("push-cert {A}")]),
            b"0001".to_vec(),
            b"zzzz".to_vec(),
            list(&vec![format!("{NONE} {A} refs/heads/x").as_str(); MOST_UPDATES + 1]),
        ] {
            let text = String::from_utf8_lossy(&wrong).into_owned();
            assert_eq!(ListReader::default().take(&wrong), Err(Malformed), "{text}");
        }
        let endless = list(&["shallow x"; 40_000]);
        assert_eq!(ListReader::default().take(&endless), Err(Malformed));
        let empty = ListReader::default().take(b"0000").expect("a list").expect("whole");
        assert_eq!(empty, (PushRequest::default(), Vec::new()));
    }

    #[test]
    fn a_report_says_what_became_of_each() {
        let request = PushRequest { wants_report: true, has_bands: false, ..PushRequest::default() };
        let refs =
            vec![("refs/heads/a".to_owned(), None), ("refs/heads/b".to_owned(), Some("no\nway".to_owned()))];
        let report = Report { refs, told: vec!["look".to_owned()], ..Report::default() };
        assert_eq!(
            report.bytes(&request),
            b"000eunpack ok\n0014ok refs/heads/a\n001bng refs/heads/b no way\n0000"
        );
        let request = PushRequest { has_bands: true, ..request };
        assert!(report.bytes(&request).starts_with(b"0011\x02mimir: look\n"));
        assert!(report.bytes(&request).ends_with(b"0000" as &[u8]));
    }

    #[test]
    fn what_is_there_is_advertised_with_what_we_can_do_once() {
        let heads = [("refs/heads/a".to_owned(), A.to_owned()), ("refs/heads/b".to_owned(), A.to_owned())];
        let text = |heads: &[(String, String)]| {
            String::from_utf8(advertisement(heads.iter().map(|(name, id)| (name, id)))).expect("text")
        };
        assert!(text(&heads).starts_with("001f# service=git-receive-pack\n0000"));
        assert_eq!(text(&heads).matches("report-status").count(), 1);
        assert!(text(&[]).contains("capabilities^{}\0report-status"));
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_are_read_or_refused(
            bytes in proptest::collection::vec(any::<u8>(), 0..400),
            cut in 0usize..400,
        ) {
            let cut = cut.min(bytes.len());
            let whole = ListReader::default().take(&bytes);
            let mut reader = ListReader::default();
            let pieces = match reader.take(&bytes[..cut]) {
                Ok(None) => reader.take(&bytes[cut..]),
                Ok(Some((request, mut rest))) => {
                    rest.extend(&bytes[cut..]);
                    Ok(Some((request, rest)))
                }
                Err(wrong) => Err(wrong),
            };
            prop_assert_eq!(pieces.is_err(), whole.is_err());
            if let (Ok(pieces), Ok(whole)) = (pieces, whole) {
                prop_assert_eq!(pieces, whole);
            }
        }

        #[test]
        fn what_looks_like_a_list_is_read_or_refused(
            lines in proptest::collection::vec("[0a-f]{38,41} [0a-f]{40} [ -~\0]{0,30}", 0..5),
            cut in 0usize..300,
        ) {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let bytes = list(&lines);
            let mut reader = ListReader::default();
            let cut = cut.min(bytes.len());
            let first = reader.take(&bytes[..cut]);
            let all = match first {
                Ok(None) => reader.take(&bytes[cut..]),
                other => other,
            };
            if let Ok(Some((request, _))) = all {
                prop_assert!(request.updates.iter().all(|it| !it.name.is_empty() && (it.from.is_some() || it.to.is_some())));
            }
        }
    }
}
