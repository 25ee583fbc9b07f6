//! The ways in which a secret can be written. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Shorter ones are no secrets: they can be guessed, and looking for them would tear ordinary words apart.
pub(super) const LEAST: usize = 8;

/// One letter of a form: it may stand there like this, or like that.
type Letter = [u8; 2];

/// One way to write a secret, letter by letter. Each letter may be escaped in any way (see `scan`).
pub(super) struct Form {
    letters: Vec<Letter>,
    /// What may stand between two letters.
    between: &'static [u8],
    /// So many letters at the very end of an answer are a secret that was cut off.
    pub(super) at_end: usize,
    /// So many letters, wherever they stand, are as good as the whole.
    pub(super) nearly: usize,
}

impl Form {
    fn of(letters: Vec<Letter>, between: &'static [u8], at_end: usize) -> Self {
        let nearly = (letters.len() * 3).div_ceil(4).max(at_end);
        Self { letters, between, at_end, nearly }
    }

    pub(super) fn len(&self) -> usize {
        self.letters.len()
    }

    pub(super) fn has(&self, at: usize, byte: u8) -> bool {
        self.letters[at].contains(&byte)
    }

    /// Whether `byte` may stand between what was matched and the next letter. A new line may only where a secret is
    /// likely, because every event ends with one, and would wait for the next.
    pub(super) fn bridges(&self, matched: usize, byte: u8) -> bool {
        let likely = if matches!(byte, b'\n' | b'\r') { 4 } else { 1 };
        matched >= likely && self.between.contains(&byte)
    }
}

/// All forms of a secret; none of one that is too short to be one.
pub(super) fn all(secret: &[u8]) -> Vec<Form> {
    if secret.len() < LEAST {
        return Vec::new();
    }
    let reversed: Vec<u8> = secret.iter().rev().copied().collect();
    let decimals: Vec<String> = secret.iter().map(u8::to_string).collect();
    let mut forms = vec![
        // The zero: texts of two bytes a letter.
        Form::of(exactly(secret), b"\r\n\0", 8),
        Form::of(exactly(&reversed), b"\r\n\0", 8),
        Form::of(hex(secret), b" :,-\r\n", 16),
        Form::of(exactly(decimals.join(",").as_bytes()), b" \r\n", 24),
    ];
    forms.extend((0..3).map(|before| Form::of(base64(secret, before), b" \r\n", 11)));
    forms
}

fn exactly(text: &[u8]) -> Vec<Letter> {
    text.iter().map(|byte| [*byte; 2]).collect()
}

fn hex(secret: &[u8]) -> Vec<Letter> {
    hex::encode(secret).bytes().map(|digit| [digit, digit.to_ascii_uppercase()]).collect()
}

/// The letters that belong to the secret alone when so many bytes stand before it, modulo three.
fn base64(secret: &[u8], before: usize) -> Vec<Letter> {
    let text = STANDARD.encode([&vec![0; before][..], secret].concat());
    let (first, last) = ((before * 8).div_ceil(6), (before + secret.len()) * 8 / 6);
    text.as_bytes()[first..last]
        .iter()
        .map(|letter| match letter {
            b'+' => [b'+', b'-'],
            b'/' => [b'/', b'_'],
            other => [*other; 2],
        })
        .collect()
}
