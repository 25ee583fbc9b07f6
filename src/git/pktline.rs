//! Lines as git's protocol writes them: four hexadecimal digits of length, then so many bytes. Pure.

/// The longest line, its length included.
pub const LONGEST: usize = 65_520;

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// Bytes, with their line's end if it has one.
    Data(&'a [u8]),
    /// The end of a list.
    Flush,
    /// The end of a section.
    Delimiter,
    /// The end of an answer.
    End,
}

/// Bytes that are no such line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what was sent is not git's protocol")]
pub struct Malformed;

/// The first line, and how many bytes it takes; none while it is not whole.
///
/// # Errors
/// [`Malformed`], as soon as no byte more could make a line of it.
pub fn first(bytes: &[u8]) -> Result<Option<(Packet<'_>, usize)>, Malformed> {
    let digits = &bytes[..bytes.len().min(4)];
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(Malformed);
    }
    if digits.len() < 4 {
        return Ok(None);
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0) as usize;
    let length = digits.iter().fold(0, |length, byte| length << 4 | digit(*byte));
    match length {
        0 => Ok(Some((Packet::Flush, 4))),
        1 => Ok(Some((Packet::Delimiter, 4))),
        2 => Ok(Some((Packet::End, 4))),
        3 => Err(Malformed),
        length if length > LONGEST => Err(Malformed),
        length => Ok(bytes.get(4..length).map(|data| (Packet::Data(data), length))),
    }
}

/// Adds a line. What is longer than a line may be is cut.
pub fn line(out: &mut Vec<u8>, data: &[u8]) {
    let data = &data[..data.len().min(LONGEST - 4)];
    out.extend(format!("{:04x}", data.len() + 4).bytes());
    out.extend(data);
}

/// Adds the end of a list.
pub fn flush(out: &mut Vec<u8>) {
    out.extend(b"0000");
}

/// Adds bytes on one of the bands of an answer (1: what was asked for, 2: words for people), in as many lines as they need.
pub fn band(out: &mut Vec<u8>, band: u8, data: &[u8]) {
    for piece in data.chunks(LONGEST - 5) {
        out.extend(format!("{:04x}", piece.len() + 5).bytes());
        out.push(band);
        out.extend(piece);
    }
}

/// A sentence of ours for whoever runs git in the frame: `remote: mimir: …`.
pub fn told(out: &mut Vec<u8>, text: &str) {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    band(out, 2, format!("mimir: {plain}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_read_as_they_were_written() {
        let mut bytes = Vec::new();
        line(&mut bytes, b"hello\n");
        flush(&mut bytes);
        assert_eq!(bytes, b"000ahello\n0000");
        assert_eq!(first(&bytes), Ok(Some((Packet::Data(b"hello\n"), 10))));
        assert_eq!(first(&bytes[10..]), Ok(Some((Packet::Flush, 4))));
        assert_eq!(first(b"0001"), Ok(Some((Packet::Delimiter, 4))));
        assert_eq!(first(b"0004"), Ok(Some((Packet::Data(b""), 4))));
        for short in [&b""[..], b"0", b"000", b"000ahell"] {
            assert_eq!(first(short), Ok(None), "{short:?}");
        }
        for wrong in [&b"x"[..], b"00g0", b"0003", b"ffff", b"fff1", b"-001", b"+00a", b" 00a", b"\0\0\0\0"] {
            assert_eq!(first(wrong), Err(Malformed), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_said_to_people_is_one_line_on_their_band() {
        let mut bytes = Vec::new();
        told(&mut bytes, "a\nb\u{1b}[31m");
        assert_eq!(bytes, b"0015\x02mimir: a b [31m\n".to_vec());
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(Some((packet, taken))) = first(&bytes) {
                prop_assert!((4..=bytes.len()).contains(&taken));
                if let Packet::Data(data) = packet {
                    prop_assert_eq!(data.len() + 4, taken);
                }
            }
        }

        #[test]
        fn a_line_that_is_cut_anywhere_is_waited_for(data in proptest::collection::vec(any::<u8>(), 0..300), cut in 0usize..300) {
            let mut bytes = Vec::new();
            line(&mut bytes, &data);
            let cut = cut.min(bytes.len() - 1);
            prop_assert_eq!(first(&bytes[..cut]), Ok(None));
            prop_assert_eq!(first(&bytes), Ok(Some((Packet::Data(&data), data.len() + 4))));
        }

        #[test]
        fn long_bytes_go_over_a_band_in_pieces(data in proptest::collection::vec(any::<u8>(), 0..200_000)) {
            let mut bytes = Vec::new();
            band(&mut bytes, 1, &data);
            let (mut rest, mut read) = (&bytes[..], Vec::<u8>::new());
            while let Ok(Some((Packet::Data(piece), taken))) = first(rest) {
                prop_assert_eq!(piece[0], 1);
                read.extend(&piece[1..]);
                rest = &rest[taken..];
            }
            prop_assert!(rest.is_empty());
            prop_assert_eq!(read, data);
        }
    }
}
